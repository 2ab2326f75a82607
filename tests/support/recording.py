"""A run's context for unit tests, over memory or over a real spool, and its events as protobuf reads them."""

from collections.abc import Callable, Iterable
from typing import Any

from athanor.experiment.context import InstanceInfo, RunContext, RunInfo
from athanor.experiment.recorder import Recorder
from athanor.experiment.spool import Claim, Position
from athanor.v1 import run_event_pb2


class Memory:
    """A spool that keeps its events."""

    def __init__(self, first_sequence: int = 2) -> None:
        self.events: list[bytes] = []
        self.writes: list[int] = []  # how many events each had
        self.flushes = 0
        self.closed = False
        self.interrupt: Callable[[], None] | None = None  # called once, inside an append
        self._first = first_sequence

    @property
    def next_sequence(self) -> int:
        return self._first + len(self.events)

    @property
    def position(self) -> Position:
        return Position(self.next_sequence - 1, len(self.events))

    def append(self, events: Iterable[bytes], *, claim: Claim = Claim.RECORD) -> None:
        interrupt, self.interrupt = self.interrupt, None
        if interrupt is not None:
            interrupt()
        added = list(events)
        self.events += added
        self.writes.append(len(added))

    def append_output(self, events: Iterable[bytes], offsets: Any, *, claim: Claim = Claim.LOG) -> None:
        self.append(events)

    def has_room(self, size: int) -> bool:
        return True

    def flush(self) -> None:
        self.flushes += 1

    def close(self) -> None:
        self.closed = True

    @property
    def parsed(self) -> list[run_event_pb2.RunEvent]:
        return [run_event_pb2.RunEvent.FromString(event) for event in self.events]

    @property
    def logs(self) -> list[tuple[int, str, str, str]]:
        """Level, message, metadata and source of every log entry."""
        entries = [event.log for event in self.parsed if event.HasField("log")]
        return [(entry.level, entry.message, entry.metadata_json, entry.source) for entry in entries]


class Page:
    """The runner, to a context."""

    def __init__(self) -> None:
        self.cancelled = False
        self.reason = ""
        self.progress: list[tuple[int, int, bytes]] = []

    def cancel_reason(self) -> str:
        return self.reason

    def write_progress(self, current: int, total: int, message: bytes) -> None:
        self.progress.append((current, total, message))


def context_over(recorder: Recorder, page: Page | None = None, **changes: Any) -> RunContext[Any]:
    """A context whose run is called `run`."""
    values: dict[str, Any] = {
        "config": {},
        "configuration": {},
        "run": RunInfo("run", 1),
        "instance": InstanceInfo("instance", "name", "experiment"),
        "seed": 7,
    }
    return RunContext(recorder, page or Page(), **{**values, **changes})
