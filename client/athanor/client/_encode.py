"""From what callers pass to messages of the contract."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from numbers import Real
from typing import Any, cast

from google.protobuf.duration_pb2 import Duration

from athanor.client.enums import EventKind, LogLevel, RunState
from athanor.client.events import EventFilter
from athanor.client.resources import RunPolicy
from athanor.v1 import run_event_pb2, run_pb2, run_policy_pb2, run_service_pb2


def run_states(states: Iterable[RunState | str] | str | None) -> list[run_pb2.RunState.ValueType]:
    """States to filter by: one, or several; none of them for any."""
    chosen = [states] if isinstance(states, str) else states or ()
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
    if not isinstance(value, RunPolicy):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"a policy is a RunPolicy, for example RunPolicy(max_attempts=3), not {value!r}")
    return run_policy_pb2.RunPolicy(
        timeout=_duration(value.timeout, "timeout"),
        cancel_grace_period=_duration(value.cancel_grace_period, "cancel_grace_period"),
        max_attempts=value.max_attempts,
        retry_backoff=_duration(value.retry_backoff, "retry_backoff"),
        lost_after=_duration(value.lost_after, "lost_after"),
    )


def labels(value: Mapping[str, str] | None) -> dict[str, str]:
    """Labels; what is no text is refused in words, where a message would say nothing of it."""
    given: Any = {} if value is None else value
    if not isinstance(given, Mapping):
        raise TypeError(f"labels are names with values, {{'sweep': 'lr'}}, not {given!r}")
    for key, text in cast("Mapping[Any, Any]", given).items():
        if not (isinstance(key, str) and isinstance(text, str)):
            raise TypeError(f"labels are text: {key!r} is {text!r}")
    return dict(value or {})


def seed(value: int | None) -> int | None:
    """A seed; None has one drawn."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"a seed is a whole number, not {value!r}")
    if value is not None and not 0 <= value < 2**64:
        raise ValueError(f"a seed is a whole number from 0 to 2**64 - 1, not {value}")
    return value


def seconds(value: float, field: str) -> float:
    """A number of seconds; what is none is refused in words."""
    if isinstance(value, bool) or not isinstance(value, Real):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(
            f"{field} is a number of seconds, for example 3600 or timedelta(hours=1).total_seconds(), not {value!r}"
        )
    return value


def text(value: str, field: str) -> str:
    """A text for people; what is none, or cannot be sent as UTF-8, is refused in words."""
    if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"{field} is a text, not {value!r}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UnicodeError(f"{field} has half of a character in it (a lone surrogate): {value!r}") from None
    return value


def _duration(value: timedelta | None, field: str) -> Duration | None:
    if value is None:
        return None
    if not isinstance(value, timedelta):  # pyright: ignore[reportUnnecessaryIsInstance] - of a caller who does not check
        raise TypeError(f"policy.{field} is a timedelta, for example timedelta(minutes=5), not {value!r}")
    message = Duration()
    message.FromTimedelta(value)
    return message
