"""The end of an attempt's spool: what the runner adds once no process is left, captured output, then the outcome."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from athanor.experiment import capture, dropped, wire
from athanor.experiment.assignment import Assignment
from athanor.experiment.capture import OutputCapture
from athanor.experiment.spool import Claim, SpoolFullError, SpoolReader, SpoolWriter, scan

from athanor_runner.attempt_folder import SPOOL
from athanor_runner.ending import Ending, Failure

MESSAGE_CHARACTERS = 2_000  # of a failure's one line; a longer one is cut
LITTLE_OUTPUT = 64 << 10  # bytes of captured output that may use the room that is kept for the end
DETAIL_CHARACTERS = (
    60_000  # of a failure's detail: with every character at its longest a quarter of what an event may be
)


class MustWait(Exception):
    """The spool, or the disk, is full: try again when more is acknowledged, or in a while."""


class DiskFull(MustWait):
    """It is the disk."""


@dataclass(frozen=True)
class StopStep:
    """One thing that was done to stop an attempt."""

    action: str
    time_ns: int  # since the epoch


@dataclass(frozen=True)
class Found:
    """A spool as it was found. Sequences are 0 when there is no event."""

    first_sequence: int
    last_sequence: int
    event_count: int  # of the attempt, up to the last
    ended: bool  # its last event is the attempt's end


def look(folder: Path) -> Found:
    """Looks at the spool of an attempt's folder. Blocks."""
    found = scan(folder / SPOOL)
    count = found.end.event_count if found.end is not None else 0
    if found.last_sequence == 0:
        return Found(0, 0, count, ended=False)
    reader = SpoolReader(folder / SPOOL)
    try:
        reader.rewind(found.last_sequence)
        last = reader.read(1)
    finally:
        reader.close()
    ended = bool(last) and wire.read_sequence_kind(last[0])[1] == wire.ATTEMPT_ENDED
    return Found(found.first_sequence, found.last_sequence, count, ended)


class SpoolTail:
    """Writes the end of one attempt's spool, and holds its lock meanwhile.

    Every method blocks. After MustWait it may be called again.
    """

    def __init__(
        self,
        folder: Path,
        assignment: Assignment,
        next_sequence: int,
        recorded_sequence: int,
        acknowledged: Callable[[], int],
    ) -> None:
        """Cuts what is torn and goes on behind the last whole event, or at `next_sequence` where that is higher.

        `recorded_sequence` is of an event that must still be there, or 0; `acknowledged` says how many bytes of records
        are acknowledged. Raises SpoolError, SpoolDamagedError when that event is not there, OSError or MustWait.
        """
        self._attempt = assignment.attempt
        self._ended = False
        self._writer = SpoolWriter.resume(
            folder / SPOOL,
            assignment.next_sequence,
            next_sequence=next_sequence,
            recorded_sequence=recorded_sequence,
            segment_bytes=assignment.segment_bytes,
            limit_bytes=assignment.spool_limit_bytes,
            acknowledged=acknowledged,
            sleep=_must_wait,
        )
        self._capture = OutputCapture(folder, self._writer.position)

    @property
    def last_sequence(self) -> int:
        """Sequence of the last event in the spool."""
        return self._writer.next_sequence - 1

    def record_output(self, time_ns: int) -> bool:
        """Turns a piece of what was captured into log entries. False when nothing is left. Raises MustWait, OSError.

        What is little has room like the end: else the end of an attempt would wait for a disk that stays full.
        """
        claim = Claim.END if self._capture.pending() <= LITTLE_OUTPUT else Claim.LOG
        try:
            return self._capture.record(self._writer, self._attempt, time_ns, final=True, claim=claim) > 0
        except SpoolFullError as error:
            raise MustWait(str(error)) from None

    def record_dropped(self, count: int, time_ns: int) -> None:
        """Records that log entries were dropped, of which the process could not tell. Raises MustWait or OSError."""
        sequence = self._writer.next_sequence
        event = wire.run_event(sequence, self._attempt, time_ns, wire.LOG, dropped.entry(count))
        self._writer.append([event], claim=Claim.END)

    def record_end(self, ending: Ending, steps: Sequence[StopStep], time_ns: int, whole: bool) -> int:
        """Records the attempt's end, flushed to disk; returns its sequence. Raises MustWait or OSError.

        `whole` is False when a part of the attempt was in a spool that had to be put aside, or may have been lost by a
        power cut: then no digest covers all of it.
        """
        if self._ended:  # recorded by a call that could not flush it
            self._writer.flush()
            return self.last_sequence
        position = self._writer.position
        body = wire.attempt_ended(
            ending.outcome,
            None if ending.failure is None else _failure(ending.failure),
            position.event_count + 1,
            position.digest if whole else b"",
            [wire.stop_step(step.action, step.time_ns) for step in steps],
        )
        sequence = self._writer.next_sequence
        event = wire.run_event(sequence, self._attempt, time_ns, wire.ATTEMPT_ENDED, body)
        self._writer.append([event], claim=Claim.END)
        self._ended = True
        self._writer.flush()
        return sequence

    def close(self) -> None:
        """Lets go of the spool."""
        self._capture.close()
        self._writer.close()


def stderr_tail(folder: Path) -> str:
    """The end of what was written to standard error, for a failure's detail. Blocks."""
    return capture.tail(folder / capture.STDERR)


def _failure(failure: Failure) -> bytes:
    return wire.failure(
        failure.kind,
        _cut(failure.message, MESSAGE_CHARACTERS),
        _cut(failure.detail, DETAIL_CHARACTERS),
        failure.exit_status,
    )


def _cut(text: str, characters: int) -> str:
    # A traceback says most at its end.
    return text if len(text) <= characters else f"[{len(text) - characters} characters left out]\n{text[-characters:]}"


def _must_wait(_: float) -> None:
    # Beyond what the end of an attempt may claim there is only the disk.
    raise DiskFull("the disk is full")
