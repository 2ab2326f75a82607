"""From messages of the contract to the records that callers see. No message leaves the client."""

from collections.abc import Callable
from datetime import datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from athanor.client import _time, events, resources
from athanor.client.enums import AttemptOutcome, FailureKind, LogFaultKind, LogLevel, RunState, Verdict
from athanor.client.errors import Violation
from athanor.v1 import (
    experiment_pb2,
    experiment_service_pb2,
    instance_pb2,
    run_event_pb2,
    run_pb2,
    run_policy_pb2,
    run_service_pb2,
    runner_pb2,
    verification_pb2,
)

_new = object.__new__

_STATES: dict[int, RunState] = {
    run_pb2.RUN_STATE_PENDING: RunState.PENDING,
    run_pb2.RUN_STATE_RUNNING: RunState.RUNNING,
    run_pb2.RUN_STATE_COMPLETED: RunState.COMPLETED,
    run_pb2.RUN_STATE_FAILED: RunState.FAILED,
    run_pb2.RUN_STATE_CANCELLED: RunState.CANCELLED,
}
_LEVELS: dict[int, LogLevel] = {int(level): level for level in LogLevel}
_OUTCOMES: dict[int, AttemptOutcome] = {
    run_pb2.ATTEMPT_OUTCOME_COMPLETED: AttemptOutcome.COMPLETED,
    run_pb2.ATTEMPT_OUTCOME_FAILED: AttemptOutcome.FAILED,
    run_pb2.ATTEMPT_OUTCOME_CANCELLED: AttemptOutcome.CANCELLED,
}
_FAILURES: dict[int, FailureKind] = {
    number: FailureKind(name.removeprefix("KIND_"))
    for name, number in run_pb2.Failure.Kind.items()
    if name.removeprefix("KIND_") in FailureKind.__members__
}

_VERDICTS: dict[int, Verdict] = {
    number: Verdict(name.removeprefix("VERDICT_"))
    for name, number in verification_pb2.Verdict.items()
    if name.removeprefix("VERDICT_") in Verdict.__members__
}
_LOG_FAULTS: dict[int, LogFaultKind] = {
    number: LogFaultKind(name.removeprefix("KIND_"))
    for name, number in verification_pb2.LogFault.Kind.items()
    if name.removeprefix("KIND_") in LogFaultKind.__members__
}


def time(stamp: Timestamp) -> datetime:
    """A moment, to the microsecond."""
    return _time.moment(stamp.seconds, stamp.nanos)


def _duration(value: Duration) -> timedelta:
    return timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)


def run_state(number: int) -> RunState:
    """A state; UNKNOWN for one that this client does not know."""
    return _STATES.get(number, RunState.UNKNOWN)


def log_level(number: int) -> LogLevel:
    """A level; one between two that are known counts as the lower."""
    return max((level for level in LogLevel if level <= number), default=LogLevel.DEBUG)


def code_version(message: experiment_pb2.CodeVersion) -> resources.CodeVersion:
    """A version of code."""
    return resources.CodeVersion(
        digest=message.digest,
        module=message.module,
        distribution=message.distribution,
        git_commit=message.git_commit,
        git_dirty=message.git_dirty,
    )


def policy(message: run_policy_pb2.RunPolicy) -> resources.RunPolicy:
    """A policy."""
    return resources.RunPolicy(
        timeout=_duration(message.timeout) if message.HasField("timeout") else None,
        cancel_grace_period=_duration(message.cancel_grace_period) if message.HasField("cancel_grace_period") else None,
        max_attempts=message.max_attempts if message.HasField("max_attempts") else None,
        retry_backoff=_duration(message.retry_backoff) if message.HasField("retry_backoff") else None,
        lost_after=_duration(message.lost_after) if message.HasField("lost_after") else None,
    )


def experiment(message: experiment_pb2.Experiment) -> resources.ExperimentRecord:
    """An experiment."""
    return resources.ExperimentRecord(
        name=message.name,
        title=message.title or message.name,
        description=message.description,
        configuration_schema_json=message.configuration_schema_json,
        default_configuration_json=message.default_configuration_json,
        code=code_version(message.code),
        other_versions=tuple(map(code_version, message.other_versions)),
        default_policy=policy(message.default_policy),
        available_runner_count=message.available_runner_count,
        create_time=time(message.create_time) if message.HasField("create_time") else None,
        update_time=time(message.update_time) if message.HasField("update_time") else None,
    )


def discovery_error(message: experiment_service_pb2.DiscoveryError) -> resources.DiscoveryError:
    """A module that could not be loaded."""
    return resources.DiscoveryError(runner_id=message.runner_id, module=message.module, error=message.error)


def validation(message: experiment_service_pb2.ValidateConfigurationResponse) -> resources.Validation:
    """An answer about a configuration."""
    return resources.Validation(
        violations=tuple(Violation(violation.path, violation.description) for violation in message.violations),
        configuration_json=message.configuration_json,
    )


def instance(message: instance_pb2.Instance) -> resources.InstanceRecord:
    """An instance."""
    return resources.InstanceRecord(
        id=message.id,
        experiment=message.experiment,
        name=message.name,
        description=message.description,
        configuration_json=message.configuration_json,
        labels=dict(message.labels),
        etag=message.etag,
        create_time=time(message.create_time) if message.HasField("create_time") else None,
        update_time=time(message.update_time) if message.HasField("update_time") else None,
        run_count=message.run_count,
        last_run_state=run_state(message.last_run_state) if message.last_run_state else None,
        last_run_time=time(message.last_run_time) if message.HasField("last_run_time") else None,
    )


def failure(message: run_pb2.Failure) -> resources.Failure:
    """A failure."""
    return resources.Failure(
        kind=_FAILURES.get(message.kind, FailureKind.UNKNOWN),
        message=message.message,
        detail=message.detail,
        exit_status=message.exit_status if message.HasField("exit_status") else None,
    )


def progress(message: run_pb2.Progress) -> resources.Progress:
    """A progress report."""
    return resources.Progress(current=message.current, total=message.total or None, message=message.message)


def attempt(message: run_pb2.Attempt) -> resources.Attempt:
    """An attempt."""
    return resources.Attempt(
        number=message.number,
        runner_id=message.runner_id,
        code=code_version(message.code),
        start_time=time(message.start_time) if message.HasField("start_time") else None,
        end_time=time(message.end_time) if message.HasField("end_time") else None,
        outcome=_OUTCOMES.get(message.outcome, AttemptOutcome.UNKNOWN) if message.outcome else None,
        failure=failure(message.failure) if message.HasField("failure") else None,
        process_gone=message.process_gone,
        log_complete=message.log_complete,
        last_sequence=message.last_sequence,
    )


def run(message: run_pb2.Run) -> resources.RunRecord:
    """A run."""
    return resources.RunRecord(
        id=message.id,
        instance_id=message.instance_id,
        experiment=message.experiment,
        state=run_state(message.state),
        configuration_json=message.configuration_json,
        policy=policy(message.policy),
        seed=message.seed,
        labels=dict(message.labels),
        attempts=tuple(map(attempt, message.attempts)),
        next_attempt_time=time(message.next_attempt_time) if message.HasField("next_attempt_time") else None,
        progress=progress(message.progress) if message.HasField("progress") else None,
        failure=failure(message.failure) if message.HasField("failure") else None,
        last_sequence=message.last_sequence,
        log_count=message.log_count,
        result_count=message.result_count,
        cancel_request_time=time(message.cancel_request_time) if message.HasField("cancel_request_time") else None,
        cancel_reason=message.cancel_reason,
        unreachable_since=time(message.unreachable_since) if message.HasField("unreachable_since") else None,
        create_time=time(message.create_time) if message.HasField("create_time") else None,
        start_time=time(message.start_time) if message.HasField("start_time") else None,
        end_time=time(message.end_time) if message.HasField("end_time") else None,
        log_incomplete=message.log_incomplete,
    )


def verification(run_id: str, message: run_service_pb2.VerifyRunResponse) -> resources.Verification:
    """A certificate."""
    return resources.Verification(
        run_id=run_id,
        verdict=_verdict(message.verdict),
        last_sequence=message.last_sequence,
        event_count=message.event_count,
        attempts=tuple(map(_attempt_finding, message.attempts)),
        faults=tuple(map(_log_fault, message.faults)),
        more_fault_count=message.more_fault_count,
    )


def _verdict(number: int) -> Verdict:
    return _VERDICTS.get(number, Verdict.UNKNOWN)


def _attempt_finding(message: verification_pb2.AttemptFinding) -> resources.AttemptFinding:
    return resources.AttemptFinding(
        number=message.number,
        verdict=_verdict(message.verdict),
        event_count=message.event_count,
        first_sequence=message.first_sequence,
        last_sequence=message.last_sequence,
        digest=message.digest,
        log_complete=message.log_complete,
        detail=message.detail,
    )


def _log_fault(message: verification_pb2.LogFault) -> resources.LogFault:
    return resources.LogFault(
        kind=_LOG_FAULTS.get(message.kind, LogFaultKind.UNKNOWN),
        first_sequence=message.first_sequence,
        last_sequence=message.last_sequence,
        attempt=message.attempt,
        detail=message.detail,
    )


def runner(message: runner_pb2.Runner) -> resources.RunnerRecord:
    """A runner."""
    return resources.RunnerRecord(
        id=message.id,
        display_name=message.display_name,
        connected=message.connected,
        draining=message.draining,
        slots=message.slots,
        run_ids=tuple(message.run_ids),
        experiments=tuple(message.experiments),
        version=message.version,
        last_seen_time=time(message.last_seen_time) if message.HasField("last_seen_time") else None,
    )


def result(message: run_service_pb2.RunResult) -> events.Result:
    """A result of a listing."""
    return events.Result(
        sequence=message.sequence,
        attempt=message.attempt,
        time=time(message.time),
        key=message.result.key,
        value_json=message.result.value_json,
        superseded=message.superseded,
    )


def event(message: run_event_pb2.RunEvent) -> events.Event:
    """An event; UnknownEvent for a sort that this client does not know."""
    kind = message.WhichOneof("event")
    if kind != "log":
        return _EVENTS[kind](message) if kind else events.UnknownEvent(*_place(message))
    # A log has millions of these. A frozen dataclass sets each of its fields by a call: that takes longer than all the
    # rest of decoding one.
    body, stamp = message.log, message.time
    entry = _new(events.LogEntry)
    fields = entry.__dict__
    fields["sequence"] = message.sequence
    fields["attempt"] = message.attempt
    fields["_stamp"] = stamp.seconds, stamp.nanos
    fields["level"] = _LEVELS.get(body.level) or log_level(body.level)
    fields["message"] = body.message
    fields["metadata_json"] = body.metadata_json
    fields["source"] = body.source
    return entry


def _place(message: run_event_pb2.RunEvent) -> tuple[int, int, datetime]:
    return message.sequence, message.attempt, time(message.time)


def _state_changed(message: run_event_pb2.RunEvent) -> events.Event:
    body = message.state_change
    return events.StateChanged(*_place(message), state=run_state(body.state), reason=body.reason)


def _attempt_started(message: run_event_pb2.RunEvent) -> events.Event:
    body = message.attempt_started
    return events.AttemptStarted(
        *_place(message),
        runner_id=body.runner_id,
        code=code_version(body.code),
        configuration_json=body.configuration_json,
        restored_sequence=body.restored_sequence,
    )


def _attempt_ended(message: run_event_pb2.RunEvent) -> events.Event:
    body = message.attempt_ended
    return events.AttemptEnded(
        *_place(message),
        outcome=_OUTCOMES.get(body.outcome, AttemptOutcome.UNKNOWN),
        failure=failure(body.failure) if body.HasField("failure") else None,
        event_count=body.event_count,
        digest=body.digest,
        stop_steps=tuple(events.StopStep(step.action, time(step.time)) for step in body.stop_steps),
    )


def _result(message: run_event_pb2.RunEvent) -> events.Event:
    body, stamp = message.result, message.time
    result = _new(events.Result)
    fields = result.__dict__
    fields["sequence"] = message.sequence
    fields["attempt"] = message.attempt
    fields["_stamp"] = stamp.seconds, stamp.nanos
    fields["key"] = body.key
    fields["value_json"] = body.value_json
    fields["superseded"] = False
    return result


def _checkpoint(message: run_event_pb2.RunEvent) -> events.Event:
    return events.CheckpointSaved(*_place(message), state_json=message.checkpoint.state_json)


_EVENTS: dict[str, Callable[[run_event_pb2.RunEvent], events.Event]] = {
    "state_change": _state_changed,
    "attempt_started": _attempt_started,
    "attempt_ended": _attempt_ended,
    "result": _result,
    "checkpoint": _checkpoint,
}
