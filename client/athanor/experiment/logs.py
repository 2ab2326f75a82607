"""The standard `logging` module, and warnings, become log entries."""

import logging
import os
from collections.abc import Callable

from athanor.experiment import recorder, text, wire
from athanor.experiment.context import Level
from athanor.experiment.errors import RecordingError
from athanor.experiment.recorder import Recorder

# What is longer becomes several entries, in bytes.
_MAX_MESSAGE_BYTES = 512 << 10
_STDERR = 2
_OF_LEVEL: dict[Level, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}


class RecordingHandler(logging.Handler):
    """Records what is logged; the source is the logger. In a forked child and after the end it goes to stderr."""

    def __init__(self, record: Recorder) -> None:
        super().__init__()
        self._recorder = record

    def emit(self, record: logging.LogRecord) -> None:
        """Record one."""
        try:
            message = text.encode(self.format(record))
            try:
                self._record(record, message)
            except RecordingError:
                os.write(_STDERR, f"{record.levelname}:{record.name}:".encode(errors="replace") + message + b"\n")
        except Exception:  # noqa: BLE001 - what `logging` asks of every handler
            self.handleError(record)

    def _record(self, record: logging.LogRecord, message: bytes) -> None:
        head = wire.level_field(_level_of(record.levelno))
        source = text.encode(record.name)
        starts = range(0, len(message) or 1, _MAX_MESSAGE_BYTES)
        pieces = [text.decode(message[start : start + _MAX_MESSAGE_BYTES]).encode() for start in starts]
        self._recorder.record_many(recorder.LOG, [head + wire.log_fields(piece, b"", source) for piece in pieces])


def _level_of(number: int) -> int:
    if number >= logging.ERROR:
        return wire.LEVELS["error"]
    if number >= logging.WARNING:
        return wire.LEVELS["warn"]
    return wire.LEVELS["info"] if number >= logging.INFO else wire.LEVELS["debug"]


def install(record: Recorder, level: Level, replaced: tuple[object, ...]) -> Callable[[], None]:
    """Record what the root logger gets, and warnings; answer what undoes it.

    A level that the author has set on the root logger stays. Handlers that write to `replaced` streams, as
    `logging.basicConfig` and libraries make them, are put aside: what they write would be recorded twice.
    """
    root = logging.getLogger()
    level_before = root.level
    before = [(logger, list(logger.handlers)) for logger in _reaching(root)]
    for logger, handlers in before:
        for handler in handlers:
            if getattr(handler, "stream", None) in replaced:
                logger.removeHandler(handler)
    root.addHandler(RecordingHandler(record))
    if root.level == logging.WARNING:  # nobody has set one
        root.setLevel(_OF_LEVEL[level])
    logging.captureWarnings(True)

    def undo() -> None:
        logging.captureWarnings(False)
        for logger, handlers in before:
            logger.handlers[:] = handlers
        root.setLevel(level_before)

    return undo


def _reaching(root: logging.Logger) -> list[logging.Logger]:
    """The root logger, and those whose records get to it."""
    found: list[logging.Logger] = [root]
    for logger in root.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            at: logging.Logger | None = logger
            while at is not None and at.propagate:
                at = at.parent
            if at is None:
                found.append(logger)
    return found
