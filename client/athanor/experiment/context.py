"""What an experiment is handed: its configuration, and the calls that record what it does."""

from collections.abc import Callable, Generator, Iterable, Mapping, Sized
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, Protocol, TypeVar

from athanor.experiment import jsontext, recorder, text, wire
from athanor.experiment.control import MAX_PROGRESS_MESSAGE_BYTES
from athanor.experiment.errors import (
    CompletedSignal,
    EndSignal,
    EventTooLargeError,
    FailedSignal,
    InvalidValueError,
    RunCancelled,
)

if TYPE_CHECKING:
    import random

ConfigT = TypeVar("ConfigT")
ItemT = TypeVar("ItemT")

Level = Literal["debug", "info", "warn", "error"]
LogTuple = tuple[Level, str, Mapping[str, Any] | None] | tuple[Level, str]

MAX_KEY_BYTES = 500
MAX_CHECKPOINT_BYTES = 512 << 10

# What the way of every log line needs, found without looking into a module.
_LOG = recorder.LOG
_encode = jsontext.encode
_varint, _SINGLE = wire.varint, wire.SINGLE

_LEVEL_FIELDS: dict[str, bytes] = {name: wire.level_field(number) for name, number in wire.LEVELS.items()}
_MESSAGE, _METADATA = wire.tag(2), wire.tag(3)
_LEAST_64, _GREATEST_64 = -(1 << 63), (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class RunInfo:
    """The run, as an experiment sees it."""

    id: str
    attempt: int  # from 1
    max_attempts: int = 1
    timeout_s: float | None = None  # None: no limit
    runner_id: str = ""


@dataclass(frozen=True, slots=True)
class InstanceInfo:
    """The instance that the run executes."""

    id: str
    name: str
    experiment: str


class Control(Protocol):
    """What the runner and the run tell each other beside the log."""

    @property
    def cancelled(self) -> bool:
        """Whether cancellation was requested."""
        ...

    def cancel_reason(self) -> str:
        """What was given with the request."""
        ...

    def write_progress(self, current: int, total: int, message: bytes) -> None:
        """Replace the progress."""
        ...


class RunContext(Generic[ConfigT]):
    """One attempt at a run. Threads may use it freely; in a forked child what records raises ForkedChildError.

    After the experiment's function has ended, everything that records raises RunEndedError.
    """

    config: ConfigT
    """The configuration: the pydantic model that the experiment declares, else the same as `configuration`."""
    configuration: dict[str, Any]
    """The configuration as a plain dict, every default filled in."""
    run: RunInfo
    instance: InstanceInfo
    seed: int
    """The run's seed, from 0 to 2**64 - 1, the same for every attempt."""
    restored: Any
    """What the last attempt saved with `checkpoint`, or None."""

    def __init__(
        self,
        record: "recorder.Recorder",
        control: Control,
        *,
        config: ConfigT,
        configuration: dict[str, Any],
        run: RunInfo,
        instance: InstanceInfo,
        seed: int,
        restored: Any = None,
    ) -> None:
        """Not for experiments: they are handed one. In a test use `athanor.experiment.testing`."""
        self.config = config
        self.configuration = configuration
        self.run = run
        self.instance = instance
        self.seed = seed
        self.restored = restored
        self._recorder = record
        self._record: Callable[[bytes, bytes], None] = record.record
        self._control = control
        self._cancellation_seen = False
        self._said: EndSignal | None = None

    def log(self, level: Level, message: str, metadata: Mapping[str, Any] | None = None) -> None:
        """Record a log entry.

        Args:
            level: one of `debug`, `info`, `warn`, `error`.
            message: the text. A NUL or lone surrogate in it is spelled out.
            metadata: structured data, a dict that is JSON.

        Raises InvalidValueError, EventTooLargeError (1 MiB), RunEndedError, ForkedChildError.
        """
        self._record(_LOG, _log_body(level, message, metadata))

    def debug(self, message: str, metadata: Mapping[str, Any] | None = None) -> None:
        """Record internal details; see `log`."""
        self._record(_LOG, _log_body("debug", message, metadata))

    def info(self, message: str, metadata: Mapping[str, Any] | None = None) -> None:
        """Record a major step; see `log`."""
        self._record(_LOG, _log_body("info", message, metadata))

    def warn(self, message: str, metadata: Mapping[str, Any] | None = None) -> None:
        """Record recoverable trouble; see `log`."""
        self._record(_LOG, _log_body("warn", message, metadata))

    def error(self, message: str, metadata: Mapping[str, Any] | None = None) -> None:
        """Record a failure that affects results; see `log`."""
        self._record(_LOG, _log_body("error", message, metadata))

    def log_batch(self, entries: Iterable[LogTuple]) -> None:
        """Record many log entries at once, each `(level, message, metadata)` or `(level, message)`; faster than singly.

        Raises as `log` does, before any of them is recorded; the path begins with `entries/<index>`.
        """
        self._recorder.record_many(_LOG, [_entry_body(entry, index) for index, entry in enumerate(entries)])

    def result(self, key: str, value: Any) -> None:
        """Record a result: any JSON value under a key of 1 to 500 bytes, which may repeat.

        Raises InvalidValueError with the path of the value, as in `value/trials/3/score is NaN`; EventTooLargeError (1
        MiB), RunEndedError, ForkedChildError.
        """
        name = _key(key)
        data = jsontext.encode(value, "value")
        self._record(recorder.RESULT, b"\x0a" + wire.varint(len(name)) + name + b"\x12" + wire.varint(len(data)) + data)

    def progress(self, current: int, total: int | None = None, message: str | None = None) -> None:
        """Say how far it is. The latest value alone counts, and it is not in the log.

        Args:
            current: units done.
            total: units in all; None when unknown.
            message: free text, at most 1000 bytes.

        Raises InvalidValueError, RunEndedError, ForkedChildError.
        """
        self._recorder.check()
        shown = text.encode(str(message)) if message else b""
        if len(shown) > MAX_PROGRESS_MESSAGE_BYTES:
            raise InvalidValueError(f"message is {len(shown)} bytes, at most {MAX_PROGRESS_MESSAGE_BYTES}")
        self._control.write_progress(_integer("current", current), _integer("total", total or 0), shown)

    def track(
        self, iterable: Iterable[ItemT], total: int | None = None, *, done: int = 0
    ) -> Generator[ItemT, None, None]:
        """Go through `iterable`, reporting progress, and stop when cancellation is requested.

        `total` is the number of units in all, by default `done` and the iterable's length if it has one. `done` is how
        many there were before, as after a checkpoint of an earlier attempt. Raises RunCancelled between two items.
        """
        if total is None and isinstance(iterable, Sized):
            total = done + len(iterable)
        self.progress(done, total)
        for reached, item in enumerate(iterable, start=done + 1):
            self.raise_if_cancelled()
            yield item
            self.progress(reached, total)

    def complete(self) -> NoReturn:
        """End the experiment as completed, at once. To return does the same.

        It unwinds by an exception that is no `Exception`. In another thread than the experiment's own it ends that
        thread, and counts when the experiment's function returns. Raises RunEndedError, ForkedChildError.
        """
        self._recorder.check()
        self._said = CompletedSignal()
        raise self._said

    def fail(self, error: str | BaseException) -> NoReturn:
        """End the experiment as failed, at once, for a reason; see `complete` for how.

        To raise fails it, too; this says that the experiment itself has found that it failed.
        """
        self._recorder.check()
        self._said = FailedSignal(error)
        raise self._said

    @property
    def cancelled(self) -> bool:
        """Whether cancellation was requested. An experiment that has seen it and returns counts as cancelled."""
        if self._control.cancelled:
            self._cancellation_seen = True
            return True
        return False

    @property
    def cancel_reason(self) -> str:
        """What was given with the request; empty when there is none."""
        return self._control.cancel_reason() if self._control.cancelled else ""

    def raise_if_cancelled(self) -> None:
        """Raise RunCancelled when cancellation was requested. `track` does this between two items."""
        if self.cancelled:
            raise RunCancelled(self._control.cancel_reason())

    def checkpoint(self, state: Any) -> None:
        """Save a state to resume from: JSON, at most 512 KiB. When it returns the state survives a power cut.

        Raises InvalidValueError, EventTooLargeError, RunEndedError, ForkedChildError.
        """
        data = jsontext.encode(state, "state")
        if len(data) > MAX_CHECKPOINT_BYTES:
            raise EventTooLargeError(
                f"state is {len(data)} bytes; a checkpoint is at most {MAX_CHECKPOINT_BYTES} bytes (512 KiB). "
                "Put larger things into storage that all runners reach, and their names into the checkpoint"
            )
        self._record(recorder.CHECKPOINT, b"\x0a" + wire.varint(len(data)) + data)
        self._recorder.flush()

    @cached_property
    def rng(self) -> "random.Random":
        """A random.Random made from the seed."""
        import random

        return random.Random(self.seed)

    @property
    def cancellation_seen(self) -> bool:
        """Whether the experiment was told so by `cancelled`, `track` or `raise_if_cancelled`."""
        return self._cancellation_seen

    @property
    def said(self) -> BaseException | None:
        """What `complete` or `fail`, whichever was called last, raised; None when neither was."""
        return self._said


def _entry_body(entry: LogTuple, index: int) -> bytes:
    try:
        match entry:
            case (level, message, metadata):
                return _log_body(level, message, metadata)
            case (level, message):
                return _log_body(level, message, None)
            case _:
                pass
    except InvalidValueError as error:
        raise InvalidValueError(f"entries/{index}/{error}") from None
    raise InvalidValueError(f"entries/{index} is {entry!r}, not (level, message, metadata)")


def _log_body(level: str, message: str, metadata: Mapping[str, Any] | None) -> bytes:
    """Write the body of a log entry as `wire.log_entry` does, with less to do on the way."""
    try:
        field = _LEVEL_FIELDS[level]
    except (KeyError, TypeError):
        levels = ", ".join(_LEVEL_FIELDS)
        raise InvalidValueError(f"level is {level!r}, not one of {levels}") from None
    try:
        shown = message.encode()
    except (AttributeError, UnicodeEncodeError):
        shown = text.encode(str(message))
    if 0 in shown:
        shown = text.encode(shown.decode())
    if shown:
        size = len(shown)
        field = b"".join((field, _MESSAGE, _SINGLE[size] if size < 0x80 else _varint(size), shown))
    if not metadata:
        return field
    if not isinstance(metadata, dict):
        raise InvalidValueError(f"metadata is of type {type(metadata).__name__}, not a dict")
    data = _encode(metadata, "metadata")
    size = len(data)
    return b"".join((field, _METADATA, _SINGLE[size] if size < 0x80 else _varint(size), data))


def _key(key: str) -> bytes:
    if not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidValueError(f"key is of type {type(key).__name__}, not text")
    if fault := jsontext.find_fault(key, "key"):
        raise InvalidValueError(fault)
    name = key.encode()
    if not 1 <= len(name) <= MAX_KEY_BYTES:
        raise InvalidValueError(f"key is {len(name)} bytes, not 1 to {MAX_KEY_BYTES}")
    return name


def _integer(name: str, value: int) -> int:
    if not isinstance(value, int):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidValueError(f"{name} is of type {type(value).__name__}, not int")
    if not _LEAST_64 <= value <= _GREATEST_64:
        raise InvalidValueError(f"{name} is beyond 64 bits")
    return value
