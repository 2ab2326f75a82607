"""Between bytes and records."""

import pytest
from athanor.v1 import run_event_pb2, run_pb2
from athanor_orchestrator.domain.records import (
    AttemptOutcome,
    CodeVersion,
    EventKind,
    Failure,
    FailureKind,
    ResultRow,
    RunState,
)
from athanor_orchestrator.engine import codec
from hypothesis import given
from hypothesis import strategies as st

from tests.support.runner_script import BASE_SECONDS, Script

TIME_US = 1_700_000_000_123_456


def script() -> Script:
    return Script("lease", 5, attempt=2)


def test_a_log_entry():
    payload = script().log("text", level=30)
    event = codec.decode(payload)
    assert event.row.payload is payload
    assert (event.row.sequence, event.row.attempt, event.row.kind) == (5, 2, EventKind.LOG)
    assert (event.row.level, event.row.key, event.row.time_us) == (30, None, (BASE_SECONDS + 5) * 1_000_000)
    assert codec.log_message(payload) == "text"


def test_a_result():
    event = codec.decode(script().result("k", "[1.0]"))
    assert event.row.key == "k"
    assert event.result == ResultRow(5, 2, "k", "[1.0]", event.row.time_us)


def test_a_checkpoint():
    payload = script().checkpoint('{"i": 1}')
    assert codec.decode(payload).row.kind is EventKind.CHECKPOINT
    assert codec.checkpoint_state(payload) == '{"i": 1}'


def test_an_attempts_start():
    started = codec.decode(script().started(restored_sequence=3)).started
    assert started is not None
    assert started.code == CodeVersion(digest="abc", module="demo:run")
    assert started.restored_sequence == 3


def test_an_attempts_end():
    writer = script()
    writer.started()
    digest = writer.digest
    ended = codec.decode(writer.ended(run_pb2.ATTEMPT_OUTCOME_FAILED, run_pb2.Failure.KIND_EXCEPTION, "no\0")).ended
    assert ended is not None
    assert (ended.outcome, ended.event_count, ended.digest) == (AttemptOutcome.FAILED, 2, digest)
    assert ended.failure == Failure(FailureKind.EXCEPTION, "no\N{REPLACEMENT CHARACTER}")


@pytest.mark.parametrize("status", [None, 0, 3, -9])
def test_an_exit_status_of_zero_is_not_an_unknown_one(status):
    event = run_event_pb2.RunEvent(sequence=1, attempt=1)
    event.attempt_ended.failure.kind = run_pb2.Failure.KIND_PROCESS_EXIT
    if status is not None:
        event.attempt_ended.failure.exit_status = status
    ended = codec.decode(event.SerializeToString()).ended
    assert ended is not None
    assert ended.failure is not None
    assert ended.failure.exit_status == status


def test_kinds_and_outcomes_of_a_newer_runner():
    event = run_event_pb2.RunEvent(sequence=1, attempt=1)
    event.attempt_ended.outcome = 77  # pyright: ignore[reportAttributeAccessIssue]
    event.attempt_ended.failure.kind = 88  # pyright: ignore[reportAttributeAccessIssue]
    ended = codec.decode(event.SerializeToString()).ended
    assert ended is not None
    assert ended.failure is not None
    assert (ended.outcome, ended.failure.kind) == (AttemptOutcome.UNSPECIFIED, FailureKind.PROCESS_EXIT)


@pytest.mark.parametrize("seconds", [-(2**63), 2**63 - 1])
def test_a_time_beyond_the_calendar_is_drawn_to_its_edge(seconds):
    event = run_event_pb2.RunEvent(sequence=1, attempt=1, log=run_event_pb2.LogEntry())
    event.time.seconds = seconds
    assert abs(codec.decode(event.SerializeToString()).row.time_us) < 2**63


@given(st.binary(max_size=200))
def test_whatever_comes_is_an_event_or_malformed(payload):
    try:
        event = codec.decode(payload)
    except codec.MalformedEvent:
        return
    assert event.row.payload == payload


def test_a_state_change():
    row = codec.state_change(7, 0, TIME_US, RunState.CANCELLED, "because \ud800")
    event = run_event_pb2.RunEvent.FromString(row.payload)
    assert (event.sequence, event.attempt, event.state_change.state) == (7, 0, run_pb2.RUN_STATE_CANCELLED)
    assert event.state_change.reason == "because ?"
    assert event.time.ToMicroseconds() == TIME_US == row.time_us
    assert codec.decode(row.payload).row == row


def test_the_end_of_an_attempt_that_is_given_up():
    failure = Failure(FailureKind.RUNNER_LOST, "silent", exit_status=None)
    row = codec.attempt_ended(9, 2, TIME_US, failure, 5)
    assert row.kind is EventKind.ATTEMPT_ENDED
    ended = codec.decode(row.payload).ended
    assert ended is not None
    assert (ended.outcome, ended.failure, ended.event_count, ended.digest) == (AttemptOutcome.FAILED, failure, 5, b"")
