"""Between the messages of athanor.runner.v1 and the records of `engine.messages`.

What a runner sends is read with tolerance: a newer one may say more, and one wrong text must not keep the rest from
being heard.
"""

from datetime import timedelta

from athanor.runner.v1 import dispatch_service_pb2 as pb
from athanor.v1 import experiment_pb2, run_pb2, run_policy_pb2
from google.protobuf.duration_pb2 import Duration

from athanor_orchestrator.domain.ids import is_id
from athanor_orchestrator.domain.records import DiscoveryError, Experiment, Policy, Progress
from athanor_orchestrator.engine import codec
from athanor_orchestrator.engine.json_text import shorten
from athanor_orchestrator.engine.messages import (
    Assignment,
    Cancel,
    Decline,
    DeclineReason,
    Definition,
    Delivery,
    Drain,
    EventBatch,
    Fence,
    FromRunner,
    Goodbye,
    Heartbeat,
    HeartbeatReply,
    HeldAttempt,
    Hello,
    Keep,
    Release,
    Removal,
    Report,
    Resume,
    ToRunner,
    Verdict,
    Welcome,
)
from athanor_orchestrator.rpc import convert
from athanor_orchestrator.rpc.validate import NAME_CHARACTERS

PROGRESS_CHARACTERS = 2000


def hello(message: pb.Hello) -> Hello:
    """Read a Hello."""
    return Hello(
        runner_id=message.runner_id,
        display_name=codec.storable(message.display_name),
        session_number=message.session_number,
        protocol_min=message.protocol_min,
        protocol_max=message.protocol_max,
        version=codec.storable(message.version),
        slots=message.slots,
        held_attempts=tuple(
            HeldAttempt(
                held.run_id, held.lease_id, held.attempt, held.first_sequence, held.last_sequence, held.unreadable
            )
            for held in message.held_attempts
        ),
    )


def from_runner(message: pb.ConnectRequest) -> FromRunner | None:
    """Read what a runner says behind its Hello; None when this version does not know it."""
    match message.WhichOneof("message"):
        case "heartbeat":
            return Heartbeat(
                nonce=message.heartbeat.nonce,
                lease_ids=tuple(id for id in message.heartbeat.lease_ids if is_id(id)),
                gone_lease_ids=tuple(id for id in message.heartbeat.gone_lease_ids if is_id(id)),
                draining=message.heartbeat.draining,
            )
        case "definition":
            return _definition(message.definition)
        case "decline":
            return _decline(message.decline)
        case "goodbye":
            return Goodbye(message.goodbye.reason)
        case _:
            return None


def _decline(message: pb.Decline) -> Decline | None:
    if not is_id(message.lease_id):
        return None
    try:
        reason = DeclineReason(message.reason)
    except ValueError:
        reason = DeclineReason.UNSPECIFIED
    return Decline(message.lease_id, reason, message.detail)


def _definition(message: pb.Definition) -> Definition | None:
    match message.WhichOneof("definition"):
        case "experiment" if 0 < len(message.experiment.name) <= NAME_CHARACTERS:
            return _experiment(message.experiment)
        case "removal":
            return Removal(codec.storable(message.removal.experiment))
        case "error":
            module = shorten(codec.storable(message.error.module), NAME_CHARACTERS)
            return DiscoveryError(module, codec.storable(message.error.error))
        case _:
            return None


def _experiment(message: experiment_pb2.Experiment) -> Experiment:
    return Experiment(
        name=codec.storable(message.name),
        title=codec.storable(message.title),
        description=codec.storable(message.description),
        configuration_schema_json=codec.storable(message.configuration_schema_json),
        default_configuration_json=codec.storable(message.default_configuration_json),
        code=codec.code_version(message.code),
        default_policy=_policy(message.default_policy),
    )


def _policy(message: run_policy_pb2.RunPolicy) -> Policy:
    return Policy(
        timeout=_duration(message.timeout) if message.HasField("timeout") else None,
        cancel_grace_period=_duration(message.cancel_grace_period) if message.HasField("cancel_grace_period") else None,
        max_attempts=message.max_attempts if message.HasField("max_attempts") else None,
        retry_backoff=_duration(message.retry_backoff) if message.HasField("retry_backoff") else None,
        lost_after=_duration(message.lost_after) if message.HasField("lost_after") else None,
    )


def _duration(message: Duration) -> timedelta | None:
    try:
        return message.ToTimedelta()
    except (OverflowError, ValueError):
        return None


def delivery(message: pb.Delivery) -> Delivery:
    """Read a delivery. What names no lease is left out: a lease that is not known is ignored."""
    return Delivery(
        batches=tuple(
            EventBatch(batch.lease_id, batch.first_sequence, list(batch.events))
            for batch in message.batches
            if is_id(batch.lease_id)
        ),
        progress=tuple(
            (
                report.lease_id,
                _progress(report.progress),
            )
            for report in message.progress
        ),
    )


def _progress(message: run_pb2.Progress) -> Progress:
    return Progress(message.current, message.total, shorten(codec.storable(message.message), PROGRESS_CHARACTERS))


def to_runner(message: ToRunner) -> pb.ConnectResponse:
    """Write what a session is told."""
    match message:
        case Welcome():
            return pb.ConnectResponse(welcome=_welcome(message))
        case Assignment():
            return pb.ConnectResponse(assignment=_assignment(message))
        case Cancel():
            return pb.ConnectResponse(cancel=_cancel(message))
        case HeartbeatReply(nonce, cancels, fences):
            return pb.ConnectResponse(
                heartbeat_reply=pb.HeartbeatReply(
                    nonce=nonce,
                    cancels=[_cancel(cancel) for cancel in cancels],
                    fences=[_fence(fence) for fence in fences],
                )
            )
        case Drain(reconnect, reconnect_after):
            return pb.ConnectResponse(drain=pb.Drain(reconnect=reconnect, reconnect_after=_seconds(reconnect_after)))


def refusal(reason: str, retry_after: float | None) -> pb.ConnectResponse:
    """Write a refusal; `retry_after` is in seconds."""
    wait = None if retry_after is None else _seconds(retry_after)
    return pb.ConnectResponse(refusal=pb.Refusal(reason=reason, retry_after=wait))


def report(message: Report) -> pb.ReportResponse:
    """Write the answers of a commit."""
    return pb.ReportResponse(
        acknowledgements=[
            pb.Acknowledgement(
                lease_id=acknowledgement.lease_id,
                committed_sequence=acknowledgement.committed_sequence,
                rewind=acknowledgement.rewind,
            )
            for acknowledgement in message.acknowledgements
        ],
        fences=[_fence(fence) for fence in message.fences],
    )


def _welcome(message: Welcome) -> pb.Welcome:
    return pb.Welcome(
        protocol=message.protocol,
        session_id=message.session_id,
        heartbeat_interval=_seconds(message.heartbeat_interval),
        max_delivery_bytes=message.max_delivery_bytes,
        max_unacknowledged_bytes=message.max_unacknowledged_bytes,
        verdicts=[_verdict(verdict) for verdict in message.verdicts],
    )


def _verdict(verdict: Verdict) -> pb.Verdict:
    match verdict:
        case Resume(lease_id, next_sequence):
            return pb.Verdict(lease_id=lease_id, resume=pb.Resume(next_sequence=next_sequence))
        case Fence(lease_id):
            return pb.Verdict(lease_id=lease_id, fence=_fence(verdict))
        case Release(lease_id):
            return pb.Verdict(lease_id=lease_id, release=pb.Release())
        case Keep(lease_id):
            return pb.Verdict(lease_id=lease_id, keep=pb.Keep())


def _assignment(message: Assignment) -> pb.Assignment:
    restored = message.checkpoint
    return pb.Assignment(
        lease_id=message.lease_id,
        run_id=message.run_id,
        instance_id=message.instance_id,
        instance_name=message.instance_name,
        attempt=message.attempt,
        experiment=message.experiment,
        configuration_json=message.configuration_json,
        policy=convert.policy(message.policy),
        seed=message.seed,
        next_sequence=message.next_sequence,
        checkpoint=None
        if restored is None
        else pb.RestoredCheckpoint(
            sequence=restored.sequence,
            state_json=restored.state_json,
            time=convert.timestamp(restored.time_us),
        ),
    )


def _cancel(message: Cancel) -> pb.Cancel:
    return pb.Cancel(lease_id=message.lease_id, reason=message.reason)


def _fence(message: Fence) -> pb.Fence:
    return pb.Fence(lease_id=message.lease_id, reason=message.reason)


def _seconds(seconds: float) -> Duration:
    whole, nanos = divmod(round(seconds * 1_000_000_000), 1_000_000_000)
    return Duration(seconds=whole, nanos=nanos)
