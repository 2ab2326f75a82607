"""What a run's log is made of, and what a watch gives.

An event has its place in the log (`sequence`: 1, 2, 3 ... without gaps), the attempt it belongs to and its time; order
is by sequence, never by time. JSON documents are kept as their exact text; see `resources`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, TypeAlias

from athanor.client import _json, _time
from athanor.client.enums import AttemptOutcome, EventKind, LogLevel, RunState
from athanor.client.resources import CodeVersion, Failure, Progress, RunRecord


@dataclass(frozen=True)
class Event:
    """One entry of a run's log; always one of the classes below."""

    sequence: int
    attempt: int  # from 1; 0: belongs to none
    time: datetime  # by the clock of the machine on which it happened


class _Time:
    """Makes an event's time when it is asked for: a log has millions of them, and few are looked at.

    Those that were given it have it in their own dictionary, which comes first.
    """

    def __get__(self, event: Event | None, kind: type[Event]) -> Any:
        if event is None:
            raise AttributeError("time")
        fields = event.__dict__
        fields["time"] = made = _time.moment(*fields["_stamp"])
        return made


# Not in the class itself, where it would be the field's default.
setattr(Event, "time", _Time())  # noqa: B010


@dataclass(frozen=True)
class StateChanged(Event):
    """The run moved to a new state."""

    state: RunState
    reason: str = ""  # who caused it and why, for people


@dataclass(frozen=True)
class AttemptStarted(Event):
    """An attempt's process started."""

    runner_id: str
    code: CodeVersion
    configuration_json: str = "{}"
    restored_sequence: int = 0  # of the checkpoint it resumes from; 0: from the beginning

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """The configuration as the experiment sees it, every default filled in."""
        return _json.parse(self.configuration_json or "{}")

    def supersedes(self, result: "Result") -> bool:
        """Whether a result does not stand any more once this attempt has started: an earlier one recorded it after the
        checkpoint that this one resumes from. What lists results leaves those out; who gathers them from a watch, or a
        listing of events, does it by this.
        """
        return result.attempt < self.attempt and result.sequence > self.restored_sequence


@dataclass(frozen=True)
class StopStep:
    """One thing that was done to stop an attempt."""

    action: str
    time: datetime


@dataclass(frozen=True)
class AttemptEnded(Event):
    """An attempt is over, and its processes are gone."""

    outcome: AttemptOutcome
    failure: Failure | None = None
    event_count: int = 0  # of this attempt, this one included
    digest: bytes = b""  # SHA-256 chained over the attempt's earlier events; empty: not known
    stop_steps: tuple[StopStep, ...] = ()  # what was done to stop it; empty: it ended by itself


@dataclass(frozen=True)
class LogEntry(Event):
    """A log line."""

    level: LogLevel
    message: str
    metadata_json: str = ""  # empty: none
    source: str = ""  # empty: the experiment's own call; else `stdout`, `stderr` or the logger's name

    def __str__(self) -> str:
        """For people, as the command line shows it: local time, level, source, message and metadata."""
        source = f"{self.source}: " if self.source else ""
        metadata = f"  {self.metadata_json}" if self.metadata_json else ""
        return f"{self.time.astimezone():%H:%M:%S} {self.level.label:<5} {source}{self.message}{metadata}"

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """Structured data; empty when there is none."""
        return _json.parse(self.metadata_json) if self.metadata_json else {}


@dataclass(frozen=True)
class Result(Event):
    """A recorded value. A key may repeat."""

    key: str
    value_json: str
    superseded: bool = False  # a later attempt has superseded it; known in listings of results only

    @cached_property
    def value(self) -> Any:
        """The value."""
        return _json.parse(self.value_json)


@dataclass(frozen=True)
class CheckpointSaved(Event):
    """A state that a later attempt may resume from."""

    state_json: str

    @cached_property
    def state(self) -> Any:
        """The state."""
        return _json.parse(self.state_json)


@dataclass(frozen=True)
class UnknownEvent(Event):
    """An event of a sort that a newer orchestrator knows and this client does not."""


@dataclass(frozen=True)
class RunUpdated:
    """The run as it stands: first in a watch, again when it changes, and last, in its terminal state."""

    run: RunRecord


@dataclass(frozen=True)
class ProgressUpdated:
    """The latest progress."""

    progress: Progress


WatchItem: TypeAlias = RunUpdated | Event | ProgressUpdated


@dataclass(frozen=True)
class EventFilter:
    """Selects events. What is not set selects everything."""

    kinds: Collection[EventKind] = ()  # empty: all
    minimum_level: LogLevel | None = None  # of log entries, only those at least this severe
    result_key: str = ""  # of results, only those with this key
    text: str = ""  # of log entries, only those whose message contains this, case-sensitive
    attempt: int = 0  # only events of this attempt; 0: any
