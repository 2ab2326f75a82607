"""Between the records of the domain and the messages of athanor.v1."""

from datetime import timedelta

from athanor.v1 import (
    experiment_pb2,
    experiment_service_pb2,
    instance_pb2,
    run_event_pb2,
    run_pb2,
    run_policy_pb2,
    run_service_pb2,
    runner_pb2,
)
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from athanor_orchestrator.domain import policy as policies
from athanor_orchestrator.domain.records import (
    Attempt,
    CodeVersion,
    DiscoveryError,
    EventFilter,
    EventKind,
    Experiment,
    Failure,
    Instance,
    Policy,
    Progress,
    ResultRow,
    Run,
    Runner,
)
from athanor_orchestrator.rpc.validate import Faults

_US = 1_000_000

_KINDS = {
    run_service_pb2.RUN_EVENT_KIND_LIFECYCLE: (
        EventKind.STATE_CHANGE,
        EventKind.ATTEMPT_STARTED,
        EventKind.ATTEMPT_ENDED,
    ),
    run_service_pb2.RUN_EVENT_KIND_LOG: (EventKind.LOG,),
    run_service_pb2.RUN_EVENT_KIND_RESULT: (EventKind.RESULT,),
    run_service_pb2.RUN_EVENT_KIND_CHECKPOINT: (EventKind.CHECKPOINT,),
}


def timestamp(time_us: int | None) -> Timestamp | None:
    """Convert microseconds since the epoch; None stays unset."""
    if time_us is None:
        return None
    seconds, rest = divmod(time_us, _US)
    return Timestamp(seconds=seconds, nanos=rest * 1000)


def duration(value: timedelta | None) -> Duration | None:
    """Convert a duration; None stays unset."""
    if value is None:
        return None
    return Duration(seconds=value.days * 86_400 + value.seconds, nanos=value.microseconds * 1000)


def policy(record: Policy) -> run_policy_pb2.RunPolicy:
    """Convert a policy; what it does not say stays unset."""
    return run_policy_pb2.RunPolicy(
        timeout=duration(record.timeout),
        cancel_grace_period=duration(record.cancel_grace_period),
        max_attempts=record.max_attempts,
        retry_backoff=duration(record.retry_backoff),
        lost_after=duration(record.lost_after),
    )


def policy_record(faults: Faults, field: str, message: run_policy_pb2.RunPolicy) -> Policy:
    """Read a policy, noting durations that are none."""

    def read(name: str, value: Duration) -> timedelta | None:
        return faults.duration(f"{field}.{name}", value) if message.HasField(name) else None  # pyright: ignore[reportArgumentType]

    return Policy(
        timeout=read("timeout", message.timeout),
        cancel_grace_period=read("cancel_grace_period", message.cancel_grace_period),
        max_attempts=message.max_attempts if message.HasField("max_attempts") else None,
        retry_backoff=read("retry_backoff", message.retry_backoff),
        lost_after=read("lost_after", message.lost_after),
    )


def code_version(record: CodeVersion) -> experiment_pb2.CodeVersion:
    """Convert a code version."""
    return experiment_pb2.CodeVersion(
        digest=record.digest,
        module=record.module,
        distribution=record.distribution,
        git_commit=record.git_commit,
        git_dirty=record.git_dirty,
    )


def experiment(record: Experiment) -> experiment_pb2.Experiment:
    """Convert an experiment."""
    return experiment_pb2.Experiment(
        name=record.name,
        title=record.title or record.name,
        description=record.description,
        configuration_schema_json=record.configuration_schema_json,
        default_configuration_json=record.default_configuration_json,
        code=code_version(record.code),
        default_policy=policy(record.default_policy),
        other_versions=[code_version(version) for version in record.other_versions],
        available_runner_count=record.available_runner_count,
        create_time=timestamp(record.create_time_us),
        update_time=timestamp(record.update_time_us),
    )


def discovery_error(record: DiscoveryError) -> experiment_service_pb2.DiscoveryError:
    """Convert a discovery error."""
    return experiment_service_pb2.DiscoveryError(runner_id=record.runner_id, module=record.module, error=record.error)


def instance(record: Instance) -> instance_pb2.Instance:
    """Convert an instance."""
    return instance_pb2.Instance(
        id=record.id,
        experiment=record.experiment,
        name=record.name,
        description=record.description,
        configuration_json=record.configuration_json,
        labels=record.labels,
        etag=record.etag,
        create_time=timestamp(record.create_time_us),
        update_time=timestamp(record.update_time_us),
        run_count=record.run_count,
        last_run_state=run_pb2.RunState.ValueType(record.last_run_state or 0),
        last_run_time=timestamp(record.last_run_time_us),
    )


def run(record: Run, *, full: bool = True) -> run_pb2.Run:
    """Convert a run; without `full` configuration and attempts are left out."""
    message = run_pb2.Run(
        id=record.id,
        instance_id=record.instance_id,
        experiment=record.experiment,
        state=run_pb2.RunState.ValueType(record.state),
        policy=policy(policies.in_force(record)),
        seed=record.seed,
        labels=record.labels,
        next_attempt_time=timestamp(record.next_attempt_time_us),
        progress=None if record.progress is None else progress(record.progress),
        failure=None if record.failure is None else failure(record.failure),
        last_sequence=record.last_sequence,
        log_count=record.log_count,
        result_count=record.result_count,
        cancel_request_time=timestamp(record.cancel_request_time_us),
        cancel_reason=record.cancel_reason,
        unreachable_since=timestamp(record.unreachable_since_us),
        create_time=timestamp(record.create_time_us),
        start_time=timestamp(record.start_time_us),
        end_time=timestamp(record.end_time_us),
        log_incomplete=record.log_incomplete,
    )
    if full:
        message.configuration_json = record.configuration_json
        message.attempts.extend(attempt(one) for one in record.attempts)
    return message


def attempt(record: Attempt) -> run_pb2.Attempt:
    """Convert an attempt."""
    return run_pb2.Attempt(
        number=record.number,
        runner_id=record.runner_id,
        code=code_version(record.code),
        start_time=timestamp(record.start_time_us),
        end_time=timestamp(record.end_time_us),
        outcome=run_pb2.AttemptOutcome.ValueType(record.outcome),
        failure=None if record.failure is None else failure(record.failure),
        process_gone=record.process_gone,
        log_complete=record.log_complete,
        last_sequence=record.last_sequence,
    )


def progress(record: Progress) -> run_pb2.Progress:
    """Convert progress."""
    return run_pb2.Progress(current=record.current, total=record.total, message=record.message)


def failure(record: Failure) -> run_pb2.Failure:
    """Convert a failure."""
    return run_pb2.Failure(
        kind=run_pb2.Failure.Kind.ValueType(record.kind),
        message=record.message,
        detail=record.detail,
        exit_status=record.exit_status,
    )


def result(record: ResultRow) -> run_service_pb2.RunResult:
    """Convert a result."""
    return run_service_pb2.RunResult(
        sequence=record.sequence,
        attempt=record.attempt,
        time=timestamp(record.time_us),
        result=run_event_pb2.Result(key=record.key or "", value_json=record.value_json or ""),
        superseded=record.superseded,
    )


def runner(record: Runner) -> runner_pb2.Runner:
    """Convert a runner."""
    return runner_pb2.Runner(
        id=record.id,
        display_name=record.display_name,
        connected=record.connected,
        draining=record.draining or record.drain_request_time_us is not None,
        slots=record.slots,
        run_ids=record.run_ids,
        experiments=record.experiments,
        version=record.version,
        last_seen_time=timestamp(record.last_seen_us),
    )


def event_filter(faults: Faults, message: run_service_pb2.RunEventFilter) -> EventFilter:
    """Read a filter of events, noting what is wrong with it."""
    faults.specified("filter.kinds", message.kinds)
    faults.key("filter.result_key", message.result_key)
    faults.length("filter.text", message.text, 1000)
    faults.not_negative("filter.attempt", message.attempt)
    return EventFilter(
        kinds=frozenset(kind for selected in message.kinds for kind in _KINDS.get(selected, ())),
        minimum_level=message.minimum_level,
        result_key=message.result_key,
        text=message.text,
        attempt=message.attempt,
    )
