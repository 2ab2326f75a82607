"""What stands in for sys.stdout and sys.stderr while an experiment runs: each line becomes a log entry."""

import io
import os
import threading
from collections.abc import Iterable
from typing import Any

from athanor.experiment import recorder, text, wire
from athanor.experiment.capture import LEVEL
from athanor.experiment.errors import RecordingError
from athanor.experiment.recorder import Recorder


class OutputStream(io.TextIOBase):
    """A text stream whose lines are recorded.

    Each thread's unfinished line is kept apart, so that two that print at once do not mix. Where nothing can be
    recorded, in a forked child or after the end, it writes to the file descriptor, from which it becomes log entries by
    another way.
    """

    def __init__(self, record: Recorder, source: str, descriptor: int) -> None:
        super().__init__()
        self._recorder = record
        self._source = source.encode()
        self._head = wire.level_field(LEVEL)
        self._descriptor = descriptor
        self._unfinished: dict[int, bytes] = {}
        self._bytes = _ByteStream(self)
        self.name = f"<{source}>"
        self.mode = "w"

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What text is written as."""
        return "utf-8"

    @property
    def errors(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What happens to text that cannot be written."""
        return "backslashreplace"

    @property
    def buffer(self) -> "_ByteStream":
        """The same stream for bytes."""
        return self._bytes

    @property
    def line_buffering(self) -> bool:
        """Whether a line is recorded when it is finished."""
        return True

    def writable(self) -> bool:
        """Answers True."""
        return True

    def fileno(self) -> int:
        """The descriptor behind it, for subprocesses; what is written there becomes log entries, too."""
        return self._descriptor

    def reconfigure(self, **_: Any) -> None:
        """Changes nothing: encoding and buffering are what they are."""

    def write(self, written: str) -> int:
        """Record the lines that are finished with this."""
        if not isinstance(written, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"write() argument must be str, not {type(written).__name__}")
        self.write_bytes(text.encode(written))
        return len(written)

    def writelines(self, lines: Iterable[str]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Write one after the other."""
        for line in lines:
            self.write(line)

    def write_bytes(self, data: bytes) -> None:
        """Record the lines that are finished with these bytes of UTF-8."""
        if self._recorder.refusing:
            self._pass_on(data)
            return
        thread = threading.get_ident()
        data = self._unfinished.pop(thread, b"") + data
        *lines, rest = data.split(b"\n")
        if len(rest) > text.MAX_LINE_BYTES:
            *cut, rest = text.pieces(text.last_shown(rest))
            lines += cut
        if rest:
            self._unfinished[thread] = text.last_shown(rest)
        if lines:
            self._record(lines)

    def finish(self) -> None:
        """Record every unfinished line: no more will come."""
        unfinished, self._unfinished = self._unfinished, {}
        for line in unfinished.values():
            self._record([line])

    def _record(self, lines: list[bytes]) -> None:
        shown = [piece for line in lines for piece in text.pieces(text.fold(line))]
        bodies = [self._head + wire.log_fields(text.decode(line).encode(), b"", self._source) for line in shown]
        try:
            self._recorder.record_many(recorder.LOG, bodies)
        except RecordingError:  # it ended between the look above and here
            self._pass_on(b"\n".join(lines) + b"\n")

    def _pass_on(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]


class _ByteStream(io.RawIOBase):
    """`sys.stdout.buffer`: bytes that are not UTF-8 are spelled out."""

    def __init__(self, stream: OutputStream) -> None:
        super().__init__()
        self._stream = stream

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._stream.fileno()

    def write(self, data: Any, /) -> int:
        written = bytes(data)
        self._stream.write_bytes(written)
        return len(written)
