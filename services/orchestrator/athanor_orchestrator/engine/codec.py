"""Between the bytes of a RunEvent and the records that the engine decides over.

Bytes that came from a runner are kept as they are: decoding only reads out what stands in columns beside them. The two
events that the orchestrator writes itself are built here.
"""

from dataclasses import dataclass
from typing import NamedTuple

from athanor.v1 import experiment_pb2, run_event_pb2, run_pb2
from google.protobuf import timestamp_pb2
from google.protobuf.message import DecodeError

from athanor_orchestrator.domain.records import (
    AttemptOutcome,
    CodeVersion,
    EventKind,
    EventRow,
    Failure,
    FailureKind,
    ResultRow,
    RunState,
)

_US = 1_000_000

# What a Timestamp may say (years 1 to 9999); anything beyond is drawn to the edge, so that it fits a column.
_EARLIEST_US = -62_135_596_800 * _US
_LATEST_US = 253_402_300_800 * _US - 1


class MalformedEvent(ValueError):
    """The bytes are not a RunEvent, or one without content."""


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """What an attempt is made of."""

    time_us: int
    code: CodeVersion
    restored_sequence: int  # results that earlier attempts recorded after it are superseded


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """How an attempt ended, as its runner says."""

    time_us: int
    outcome: AttemptOutcome
    failure: Failure | None
    event_count: int  # of the attempt, this event included
    digest: bytes  # chained over the events before it; empty: not known


class Decoded(NamedTuple):
    """One event: its row and, for the kinds that have consequences, what it says."""

    row: EventRow
    result: ResultRow | None = None
    started: AttemptStarted | None = None
    ended: AttemptEnded | None = None


_KINDS = {
    "state_change": EventKind.STATE_CHANGE,
    "attempt_started": EventKind.ATTEMPT_STARTED,
    "attempt_ended": EventKind.ATTEMPT_ENDED,
    "log": EventKind.LOG,
    "result": EventKind.RESULT,
    "checkpoint": EventKind.CHECKPOINT,
}


def decode(payload: bytes) -> Decoded:
    """Read one event. Raises MalformedEvent when the bytes are none."""
    try:
        event = run_event_pb2.RunEvent.FromString(payload)
    except DecodeError as error:
        raise MalformedEvent("not a RunEvent") from error

    name = event.WhichOneof("event")
    if name is None:
        raise MalformedEvent("an event without content, or of a kind that this version does not know")

    kind = _KINDS[name]
    time_us = _time_us(event.time)
    sequence, attempt = event.sequence, event.attempt

    if kind is EventKind.LOG:
        return Decoded(EventRow(sequence, attempt, kind, int(event.log.level), None, time_us, payload))

    if kind is EventKind.RESULT:
        key = event.result.key
        return Decoded(
            EventRow(sequence, attempt, kind, None, key, time_us, payload),
            result=ResultRow(sequence, attempt, key, event.result.value_json, time_us),
        )

    row = EventRow(sequence, attempt, kind, None, None, time_us, payload)
    if kind is EventKind.ATTEMPT_STARTED:
        return Decoded(row, started=_started(event.attempt_started, time_us))
    if kind is EventKind.ATTEMPT_ENDED:
        return Decoded(row, ended=_ended(event.attempt_ended, time_us))
    return Decoded(row)


def log_message(payload: bytes) -> str:
    """Return the text of a log entry; empty for any other event."""
    return run_event_pb2.RunEvent.FromString(payload).log.message


def has_text(row: EventRow, text: str) -> bool:
    """Tell whether a filter's `text` lets an event through: of log entries those that contain it, of others all."""
    return not text or row.kind is not EventKind.LOG or text in log_message(row.payload)


def new_state(payload: bytes) -> RunState | None:
    """Return where a StateChange has moved the run; None for a state that this version does not know."""
    try:
        return RunState(run_event_pb2.RunEvent.FromString(payload).state_change.state)
    except ValueError:
        return None


def checkpoint_state(payload: bytes) -> str:
    """Return the state that a checkpoint saved, as JSON text; empty for any other event."""
    return run_event_pb2.RunEvent.FromString(payload).checkpoint.state_json


def state_change(sequence: int, attempt: int, time_us: int, state: RunState, reason: str) -> EventRow:
    """Build the event that records a transition. `attempt` is 0 when it belongs to none."""
    event = run_event_pb2.RunEvent(
        sequence=sequence,
        attempt=attempt,
        time=_timestamp(time_us),
        state_change=run_event_pb2.StateChange(state=run_pb2.RunState.ValueType(state), reason=_text(reason)),
    )
    return _row(event, EventKind.STATE_CHANGE, time_us)


def attempt_ended(sequence: int, attempt: int, time_us: int, failure: Failure, event_count: int) -> EventRow:
    """Build the end of an attempt that the orchestrator gives up: FAILED, and without digest."""
    event = run_event_pb2.RunEvent(
        sequence=sequence,
        attempt=attempt,
        time=_timestamp(time_us),
        attempt_ended=run_event_pb2.AttemptEnded(
            outcome=run_pb2.ATTEMPT_OUTCOME_FAILED,
            failure=run_pb2.Failure(
                kind=run_pb2.Failure.Kind.ValueType(failure.kind),
                message=_text(failure.message),
                detail=_text(failure.detail),
                exit_status=failure.exit_status,
            ),
            event_count=event_count,
        ),
    )
    return _row(event, EventKind.ATTEMPT_ENDED, time_us)


def _row(event: run_event_pb2.RunEvent, kind: EventKind, time_us: int) -> EventRow:
    payload = event.SerializeToString(deterministic=True)
    return EventRow(event.sequence, event.attempt, kind, None, None, time_us, payload)


def _started(message: run_event_pb2.AttemptStarted, time_us: int) -> AttemptStarted:
    return AttemptStarted(time_us, code_version(message.code), message.restored_sequence)


def code_version(message: experiment_pb2.CodeVersion) -> CodeVersion:
    """Convert a CodeVersion."""
    return CodeVersion(
        digest=storable(message.digest),
        module=storable(message.module),
        distribution=storable(message.distribution),
        git_commit=storable(message.git_commit),
        git_dirty=message.git_dirty,
    )


def storable(text: str) -> str:
    """Return text without NUL, which PostgreSQL refuses; the mark that takes its place shows."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _ended(message: run_event_pb2.AttemptEnded, time_us: int) -> AttemptEnded:
    try:
        outcome = AttemptOutcome(message.outcome)
    except ValueError:
        outcome = AttemptOutcome.UNSPECIFIED

    return AttemptEnded(
        time_us=time_us,
        outcome=outcome,
        failure=_failure(message.failure) if message.HasField("failure") else None,
        event_count=message.event_count,
        digest=message.digest,
    )


def _failure(message: run_pb2.Failure) -> Failure:
    try:
        kind = FailureKind(message.kind)
    except ValueError:
        # A newer runner may know more kinds. Of those that this version knows, this one claims least.
        kind = FailureKind.PROCESS_EXIT

    exit_status = message.exit_status if message.HasField("exit_status") else None
    return Failure(kind, storable(message.message), storable(message.detail), exit_status)


def _time_us(time: timestamp_pb2.Timestamp) -> int:
    time_us = time.seconds * _US + time.nanos // 1000
    return time_us if _EARLIEST_US <= time_us <= _LATEST_US else min(max(time_us, _EARLIEST_US), _LATEST_US)


def _timestamp(time_us: int) -> timestamp_pb2.Timestamp:
    return timestamp_pb2.Timestamp(seconds=time_us // _US, nanos=time_us % _US * 1000)


def _text(text: str) -> str:
    # Protobuf refuses lone surrogates; a reason that somebody typed must not be what stops a transition.
    return text.encode("utf-8", "replace").decode("utf-8")
