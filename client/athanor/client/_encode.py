"""From what callers pass to messages of the contract."""

from collections.abc import Iterable
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from athanor.client.enums import EventKind, LogLevel, RunState
from athanor.client.events import EventFilter
from athanor.client.resources import RunPolicy
from athanor.v1 import run_event_pb2, run_pb2, run_policy_pb2, run_service_pb2


def run_states(states: Iterable[RunState | str] | str) -> list[run_pb2.RunState.ValueType]:
    """States to filter by: one, or several."""
    chosen = [states] if isinstance(states, str) else states
    return [run_pb2.RunState.Value(f"RUN_STATE_{RunState(state)}") for state in chosen]


def event_filter(value: EventFilter | None) -> run_service_pb2.RunEventFilter | None:
    """A filter of events; None selects everything."""
    if value is None:
        return None
    return run_service_pb2.RunEventFilter(
        kinds=[run_service_pb2.RunEventKind.Value(f"RUN_EVENT_KIND_{EventKind(kind)}") for kind in value.kinds],
        minimum_level=_log_level(value.minimum_level),
        result_key=value.result_key,
        text=value.text,
        attempt=value.attempt,
    )


def _log_level(level: LogLevel | None) -> run_event_pb2.LogLevel.ValueType:
    return (
        run_event_pb2.LOG_LEVEL_UNSPECIFIED
        if level is None
        else run_event_pb2.LogLevel.Value(f"LOG_LEVEL_{LogLevel(level).name}")
    )


def policy(value: RunPolicy | None) -> run_policy_pb2.RunPolicy | None:
    """A policy; None says nothing."""
    if value is None:
        return None
    return run_policy_pb2.RunPolicy(
        timeout=_duration(value.timeout),
        cancel_grace_period=_duration(value.cancel_grace_period),
        max_attempts=value.max_attempts,
        retry_backoff=_duration(value.retry_backoff),
        lost_after=_duration(value.lost_after),
    )


def _duration(value: timedelta | None) -> Duration | None:
    if value is None:
        return None
    message = Duration()
    message.FromTimedelta(value)
    return message
