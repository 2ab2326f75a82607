"""Captured output: what C code, subprocesses and a dying interpreter write to descriptors 1 and 2 becomes log entries.

The descriptors are files in the attempt's folder. The run's process turns them into events while the experiment calls
its context, the runner does the rest when no process is left; both through this module. How far a file has become
events stands in every record of the spool, so that a kill at any moment neither doubles a line nor loses one.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from athanor.experiment import text, wire
from athanor.experiment.spool import Claim, Position

STDOUT, STDERR = "stdout", "stderr"

# Output says nothing of how severe it is: progress bars go to stderr, too. Its source is on the entry.
LEVEL = wire.LEVELS["info"]

# Read at most this much at a time, in bytes; more than any line, so that every reading gets on.
CHUNK_BYTES = 4 * text.MAX_LINE_BYTES


class Line(NamedTuple):
    """One log entry's worth of a captured file."""

    text: bytes  # UTF-8, repaired
    end: int  # offset behind it


class Lines(NamedTuple):
    """What a piece of a captured file amounts to."""

    lines: list[Line]
    end: int  # how far it is dealt with; what is behind waits for the rest of its line


def split(data: bytes, *, final: bool) -> Lines:
    """Split a piece of output into lines, carriage returns folded, long ones cut.

    An unfinished line waits for its end, unless it is too long to wait for or `final` says that nothing will follow.
    """
    lines: list[Line] = []
    start = 0
    while (stop := data.find(b"\n", start)) >= 0:
        lines += _shown(data, start, stop, stop + 1)
        start = stop + 1

    if final and start < len(data):
        lines += _shown(data, start, len(data), len(data))
        start = len(data)
    elif len(data) - start > text.MAX_LINE_BYTES:
        cut = _shown(data, start, len(data), len(data))
        # What the last piece becomes is still open. If it is the only one, this is a progress bar: what was overwritten
        # is gone.
        lines += cut[:-1]
        start = cut[-2].end if len(cut) > 1 else len(data) - len(text.last_shown(data[start:]))
    return Lines(lines, start)


def _shown(data: bytes, start: int, stop: int, end: int) -> list[Line]:
    """Make the lines of one line between `start` and `stop`; the last of them deals with everything up to `end`."""
    line = data[start:stop]
    offset = start + len(line) - len(text.last_shown(line))
    lines: list[Line] = []
    for piece in text.pieces(text.fold(line)):
        offset += len(piece)
        lines.append(Line(text.decode(piece).encode(), offset))
    lines[-1] = lines[-1]._replace(end=end)
    return lines


class Writer(Protocol):
    """What a spool's writer is to captured output."""

    @property
    def position(self) -> Position:
        """How far the spool goes."""
        ...

    def append_output(
        self, events: Sequence[bytes], offsets: Sequence[tuple[int, int]], *, claim: Claim = Claim.LOG
    ) -> None:
        """Record events, each with the offsets of the captured files behind it."""
        ...


class OutputCapture:
    """Turns the captured files of one attempt into log events, from where the spool says that this was left."""

    def __init__(self, folder: Path, position: Position | None = None) -> None:
        """Args: the attempt's folder, and the end of its spool; None for an attempt that begins."""
        self._paths = (folder / STDOUT, folder / STDERR)
        self._offsets = [0, 0] if position is None else [position.stdout_offset, position.stderr_offset]
        self._files = [-1, -1]

    def pending(self) -> int:
        """How many bytes have not become events."""
        return sum(self._size(index) - offset for index, offset in enumerate(self._offsets))

    def record(
        self, writer: Writer, attempt: int, time_ns: int, *, final: bool = False, claim: Claim = Claim.LOG
    ) -> int:
        """Record what is new as log events of the given time, at most CHUNK_BYTES of each file.

        Args:
            writer: takes the events.
            attempt: number of the attempt.
            time_ns: the time to put on them, nanoseconds since the epoch.
            final: nothing is written to the files any more; an unfinished last line is recorded, too.
            claim: on the room of the spool, as the writer has it.

        Returns: how many bytes were dealt with. With `final`, call until it is 0. Raises as the writer does.
        """
        return sum(self._record_file(index, writer, attempt, time_ns, final, claim) for index in (0, 1))

    def close(self) -> None:
        """Let go of the files."""
        for file in self._files:
            if file >= 0:
                os.close(file)
        self._files = [-1, -1]

    def _record_file(self, index: int, writer: Writer, attempt: int, time_ns: int, final: bool, claim: Claim) -> int:
        # What the spool says counts: an append may have been broken off behind the writing.
        here = writer.position
        start = max(self._offsets[index], (here.stdout_offset, here.stderr_offset)[index])
        size = self._size(index)
        if size <= start:
            return 0
        data = os.pread(self._files[index], CHUNK_BYTES, start)
        lines, end = split(data, final=final and start + len(data) >= size)
        sequence = here.last_sequence + 1
        source = (STDOUT, STDERR)[index].encode()
        level = wire.level_field(LEVEL)
        events = [
            wire.run_event(
                sequence + count, attempt, time_ns, wire.LOG, level + wire.log_fields(line.text, b"", source)
            )
            for count, line in enumerate(lines)
        ]
        offsets = [self._behind(index, start + line.end) for line in lines]
        writer.append_output(events, offsets, claim=claim)
        self._offsets[index] = start + end
        return end

    def _behind(self, index: int, offset: int) -> tuple[int, int]:
        return (offset, self._offsets[1]) if index == 0 else (self._offsets[0], offset)

    def _size(self, index: int) -> int:
        if self._files[index] < 0:
            try:
                self._files[index] = os.open(self._paths[index], os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return 0
        return os.fstat(self._files[index]).st_size


def tail(path: Path, max_bytes: int = 4096) -> str:
    """Read the end of a captured file, from the beginning of a line if there is one; empty when there is no file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - max_bytes))
            data = file.read(max_bytes)
    except FileNotFoundError:
        return ""
    if size > max_bytes:
        _, _, whole = data.partition(b"\n")
        data = whole or data
    return "\n".join(text.decode(text.fold(line)) for line in data.rstrip(b"\r\n").split(b"\n"))
