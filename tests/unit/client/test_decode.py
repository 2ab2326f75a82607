"""From messages to records: nothing lost, nothing rounded, nothing of protobuf left."""

import dataclasses
import json
import pickle
from datetime import UTC, datetime, timedelta

import pytest
from athanor.client import (
    AttemptEnded,
    AttemptFinding,
    AttemptOutcome,
    AttemptStarted,
    CheckpointSaved,
    FailureKind,
    LogEntry,
    LogFault,
    LogFaultKind,
    LogLevel,
    Result,
    RunState,
    StateChanged,
    UnknownEvent,
    Verdict,
    Verification,
    _decode,
)
from athanor.v1 import (
    experiment_pb2,
    instance_pb2,
    run_event_pb2,
    run_pb2,
    run_policy_pb2,
    run_service_pb2,
    runner_pb2,
    verification_pb2,
)
from google.protobuf import duration_pb2, timestamp_pb2
from google.protobuf.message import Message

STAMP = timestamp_pb2.Timestamp(seconds=1_700_000_000, nanos=123_456_789)
WHEN = datetime.fromtimestamp(1_700_000_000, UTC) + timedelta(microseconds=123_456)


def test_times_are_aware_utc_to_the_microsecond():
    assert _decode.time(STAMP) == WHEN
    assert _decode.time(STAMP).tzinfo is UTC


def test_a_time_out_of_range_does_not_make_a_log_unreadable():
    assert _decode.time(timestamp_pb2.Timestamp(seconds=10**15)).year == 9999
    assert _decode.time(timestamp_pb2.Timestamp(seconds=-(10**15))).year == 1


def test_a_run_is_taken_over_whole():
    message = run_pb2.Run(
        id="r",
        instance_id="i",
        experiment="e",
        state=run_pb2.RUN_STATE_FAILED,
        configuration_json='{"n": 9007199254740993}',
        policy=run_policy_pb2.RunPolicy(timeout=duration_pb2.Duration(seconds=90, nanos=500_000_000), max_attempts=1),
        seed=2**64 - 1,
        labels={"a": "b"},
        attempts=[
            run_pb2.Attempt(
                number=1,
                runner_id="x",
                code=experiment_pb2.CodeVersion(digest="d", module="m:x", git_dirty=True),
                start_time=STAMP,
                outcome=run_pb2.ATTEMPT_OUTCOME_FAILED,
                failure=run_pb2.Failure(kind=run_pb2.Failure.KIND_PROCESS_EXIT, message="killed", exit_status=-9),
                process_gone=True,
                last_sequence=7,
            )
        ],
        progress=run_pb2.Progress(current=73, total=100, message="m"),
        failure=run_pb2.Failure(kind=run_pb2.Failure.KIND_EXCEPTION, message="boom", detail="trace"),
        last_sequence=8,
        log_incomplete=True,
        log_count=3,
        result_count=2,
        create_time=STAMP,
    )
    run = _decode.run(message)
    assert run.state is RunState.FAILED
    assert run.ended
    assert run.log_incomplete
    assert run.configuration == {"n": 9007199254740993}
    assert run.policy.timeout == timedelta(seconds=90.5)
    assert run.policy.cancel_grace_period is None
    assert run.seed == 2**64 - 1
    assert run.create_time == WHEN
    assert run.start_time is None
    assert run.cancel_request_time is None
    [attempt] = run.attempts
    assert attempt.outcome is AttemptOutcome.FAILED
    assert attempt.code.git_dirty
    assert attempt.failure is not None
    assert attempt.failure.exit_status == -9
    assert run.failure is not None
    assert run.failure.kind is FailureKind.EXCEPTION
    assert run.failure.exit_status is None
    assert run.progress is not None
    assert run.progress.total == 100
    assert not any(isinstance(value, Message) for value in vars(run).values())


def test_a_total_that_is_not_known_is_none():
    assert _decode.progress(run_pb2.Progress(current=3)).total is None


def test_a_run_listed_without_its_configuration_says_so():
    run = _decode.run(run_pb2.Run(id="r", state=run_pb2.RUN_STATE_PENDING))
    with pytest.raises(LookupError, match="full=True"):
        _ = run.configuration


@pytest.mark.parametrize("text", ['{"a":1}', '[1,2.5,"x",null,true]', '"\\u0000"', str(10**40), "9" * 6000])
def test_json_keeps_its_text_and_its_value(text):
    event = _decode.event(
        run_event_pb2.RunEvent(sequence=3, attempt=1, time=STAMP, result=run_event_pb2.Result(key="k", value_json=text))
    )
    assert isinstance(event, Result)
    assert event.value_json == text
    if len(text) < 4000:
        assert event.value == json.loads(text)
    else:
        assert event.value == 10**6000 - 1


def test_every_alternative_of_an_event_has_a_class():
    bodies = {
        "state_change": run_event_pb2.StateChange(state=run_pb2.RUN_STATE_RUNNING, reason="why"),
        "attempt_started": run_event_pb2.AttemptStarted(runner_id="x", configuration_json='{"a":1}'),
        "attempt_ended": run_event_pb2.AttemptEnded(
            outcome=run_pb2.ATTEMPT_OUTCOME_CANCELLED, digest=b"d", stop_steps=[{"action": "SIGTERM", "time": STAMP}]
        ),
        "log": run_event_pb2.LogEntry(level=run_event_pb2.LOG_LEVEL_WARN, message="m", metadata_json='{"i":1}'),
        "result": run_event_pb2.Result(key="k", value_json="1"),
        "checkpoint": run_event_pb2.CheckpointSaved(state_json="[1]"),
    }
    alternatives = run_event_pb2.RunEvent.DESCRIPTOR.oneofs_by_name["event"].fields
    assert {field.name for field in alternatives} == set(bodies)
    seen = {
        name: _decode.event(run_event_pb2.RunEvent(sequence=5, attempt=2, time=STAMP, **{name: body}))
        for name, body in bodies.items()
    }
    assert {name: type(event) for name, event in seen.items()} == {
        "state_change": StateChanged,
        "attempt_started": AttemptStarted,
        "attempt_ended": AttemptEnded,
        "log": LogEntry,
        "result": Result,
        "checkpoint": CheckpointSaved,
    }
    assert all((event.sequence, event.attempt, event.time) == (5, 2, WHEN) for event in seen.values())
    assert seen["log"].metadata == {"i": 1}
    assert seen["log"].level is LogLevel.WARN
    assert seen["checkpoint"].state == [1]
    assert seen["attempt_started"].configuration == {"a": 1}
    assert seen["attempt_ended"].stop_steps[0].action == "SIGTERM"


def test_what_a_newer_orchestrator_knows_becomes_unknown():
    assert isinstance(_decode.event(run_event_pb2.RunEvent(sequence=1)), UnknownEvent)
    assert _decode.run_state(99) is RunState.UNKNOWN
    assert _decode.failure(run_pb2.Failure(kind=99)).kind is FailureKind.UNKNOWN
    assert a_certificate(verdict=99).verdict is Verdict.UNKNOWN
    assert a_certificate(faults=[verification_pb2.LogFault(kind=99)]).faults[0].kind is LogFaultKind.UNKNOWN


@pytest.mark.parametrize(
    ("number", "level"),
    [(0, LogLevel.DEBUG), (10, LogLevel.DEBUG), (25, LogLevel.INFO), (40, LogLevel.ERROR), (99, LogLevel.ERROR)],
)
def test_a_level_between_two_counts_as_the_lower(number, level):
    assert _decode.log_level(number) is level


def test_every_name_of_the_contract_is_known():
    states = {name.removeprefix("RUN_STATE_"): number for name, number in run_pb2.RunState.items() if number}
    assert set(states) == {state.value for state in RunState} - {"UNKNOWN"}
    assert all(_decode.run_state(number).value == name for name, number in states.items())
    kinds = {name.removeprefix("KIND_"): number for name, number in run_pb2.Failure.Kind.items() if number}
    assert set(kinds) == {kind.value for kind in FailureKind} - {"UNKNOWN"}
    assert all(_decode.failure(run_pb2.Failure(kind=number)).kind.value == name for name, number in kinds.items())
    verdicts = {name.removeprefix("VERDICT_"): number for name, number in verification_pb2.Verdict.items() if number}
    assert set(verdicts) == {verdict.value for verdict in Verdict} - {"UNKNOWN"}
    assert all(a_certificate(verdict=number).verdict.value == name for name, number in verdicts.items())
    faults = {name.removeprefix("KIND_"): number for name, number in verification_pb2.LogFault.Kind.items() if number}
    assert set(faults) == {kind.value for kind in LogFaultKind} - {"UNKNOWN"}
    for name, number in faults.items():
        (fault,) = a_certificate(faults=[verification_pb2.LogFault(kind=number)]).faults
        assert fault.kind.value == name


def a_certificate(**fields):
    return _decode.verification("r", run_service_pb2.VerifyRunResponse(**fields))


def test_a_certificate_is_taken_over_whole():
    attempt = verification_pb2.AttemptFinding(
        number=2,
        verdict=verification_pb2.VERDICT_INCOMPLETE,
        event_count=5,
        first_sequence=3,
        last_sequence=7,
        digest=b"d",
        log_complete=True,
        detail="why",
    )
    fault = verification_pb2.LogFault(
        kind=verification_pb2.LogFault.KIND_ALTERED, first_sequence=4, last_sequence=5, attempt=2, detail="how"
    )
    message = {"verdict": 3, "last_sequence": 8, "event_count": 6, "more_fault_count": 9}
    assert a_certificate(**message, attempts=[attempt], faults=[fault]) == Verification(
        "r",
        Verdict.DAMAGED,
        8,
        6,
        (AttemptFinding(2, Verdict.INCOMPLETE, 5, 3, 7, b"d", True, "why"),),
        (LogFault(LogFaultKind.ALTERED, 4, 5, 2, "how"),),
        9,
    )


def test_the_other_resources():
    experiment = _decode.experiment(
        experiment_pb2.Experiment(name="e", configuration_schema_json='{"type":"object"}', create_time=STAMP)
    )
    assert (experiment.title, experiment.configuration_schema, experiment.default_configuration) == (
        "e",
        {"type": "object"},
        {},
    )
    instance = _decode.instance(instance_pb2.Instance(id="i", configuration_json='{"a":1}', last_run_time=STAMP))
    assert (instance.configuration, instance.last_run_state, instance.last_run_time) == ({"a": 1}, None, WHEN)
    runner = _decode.runner(runner_pb2.Runner(id="x", run_ids=["r"], slots=2, connected=True))
    assert (runner.run_ids, runner.slots, runner.connected) == (("r",), 2, True)


def test_the_time_of_an_event_is_made_when_it_is_asked_for_and_is_part_of_the_event_all_the_same():
    message = run_event_pb2.RunEvent(sequence=3, attempt=1, time=STAMP, log=run_event_pb2.LogEntry(message="m"))
    event, other = _decode.event(message), _decode.event(message)
    assert "time" not in vars(event)
    assert event == other  # asks both of them
    assert vars(event)["time"] == WHEN
    assert pickle.loads(pickle.dumps(_decode.event(message))).time == WHEN
    assert dataclasses.replace(event, sequence=4).time == WHEN
    with pytest.raises(TypeError, match="time"):
        LogEntry(sequence=1, attempt=1, level=LogLevel.INFO, message="m")  # type: ignore[call-arg]


@pytest.mark.parametrize("kind", [LogEntry, Result])
def test_events_that_are_made_without_their_constructor_have_all_that_it_sets(kind):
    message = run_event_pb2.RunEvent(sequence=3, attempt=1)
    getattr(message, {LogEntry: "log", Result: "result"}[kind]).SetInParent()
    event = _decode.event(message)
    fields = {field.name: getattr(event, field.name) for field in dataclasses.fields(kind)}
    assert vars(event).keys() - {"_stamp"} == set(fields)
    assert event == kind(**fields)
    assert hash(event) == hash(kind(**fields))
    assert repr(event) == repr(kind(**fields))
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.sequence = 4
