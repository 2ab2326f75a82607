"""Between the wire and the records of the runner protocol."""

from datetime import timedelta

import pytest
from athanor.runner.v1 import dispatch_service_pb2 as pb
from athanor_orchestrator.domain.ids import new_id
from athanor_orchestrator.domain.records import DiscoveryError, Experiment, Policy, Progress
from athanor_orchestrator.engine import messages
from athanor_orchestrator.rpc import convert_dispatch as convert

LEASE, RUN = new_id(), new_id()


def test_a_hello():
    said = pb.Hello(
        runner_id="r",
        display_name="ho\0st",
        session_number=3,
        protocol_min=1,
        protocol_max=2,
        version="0.1",
        slots=4,
        held_attempts=[
            pb.HeldAttempt(run_id=RUN, lease_id=LEASE, attempt=2, first_sequence=3, last_sequence=9),
            pb.HeldAttempt(lease_id=LEASE, unreadable=True),
        ],
    )
    assert convert.hello(said) == messages.Hello(
        *("r", "ho\N{REPLACEMENT CHARACTER}st", 3, 1, 2, "0.1", 4),
        (messages.HeldAttempt(RUN, LEASE, 2, 3, 9), messages.HeldAttempt("", LEASE, 0, 0, 0, unreadable=True)),
    )


def definition(**one) -> pb.ConnectRequest:
    return pb.ConnectRequest(definition=pb.Definition(**one))


_EXPERIMENT = {"name": "n", "default_policy": {"timeout": {"seconds": 90}, "max_attempts": 3}}


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (
            pb.ConnectRequest(
                heartbeat=pb.Heartbeat(nonce=7, lease_ids=[LEASE, "x\0"], gone_lease_ids=["", LEASE], draining=True)
            ),
            messages.Heartbeat(7, (LEASE,), (LEASE,), True),
        ),
        (
            pb.ConnectRequest(decline=pb.Decline(lease_id=LEASE, reason=3, detail="full")),
            messages.Decline(LEASE, messages.DeclineReason.NO_ROOM, "full"),
        ),
        (
            pb.ConnectRequest(decline=pb.Decline(lease_id=LEASE, reason=99)),
            messages.Decline(LEASE, messages.DeclineReason.UNSPECIFIED, ""),
        ),
        (pb.ConnectRequest(decline=pb.Decline(lease_id="x")), None),
        (pb.ConnectRequest(goodbye=pb.Goodbye(reason="done")), messages.Goodbye("done")),
        (pb.ConnectRequest(), None),
        (
            definition(experiment=_EXPERIMENT),
            Experiment(
                "n",
                configuration_schema_json="",
                default_configuration_json="",
                default_policy=Policy(timeout=timedelta(seconds=90), max_attempts=3),
            ),
        ),
        (
            definition(experiment={"name": "n", "default_policy": {"timeout": {"seconds": 2**62}}}),
            Experiment("n", configuration_schema_json="", default_configuration_json=""),
        ),
        (definition(experiment={"name": ""}), None),
        (definition(experiment={"name": "n" * 201}), None),  # no call could name it, and an index may refuse it
        (definition(removal={"experiment": "n"}), messages.Removal("n")),
        (definition(error={"module": "m", "error": "E"}), DiscoveryError("m", "E")),
        (definition(error={"module": "m" * 201, "error": "E"}), DiscoveryError("m" * 199 + "…", "E")),
        (definition(), None),
        (pb.ConnectRequest(hello=pb.Hello()), None),
    ],
)
def test_what_a_runner_says(said, meant):
    assert convert.from_runner(said) == meant


def test_a_delivery():
    said = pb.Delivery(
        batches=[
            pb.EventBatch(lease_id=LEASE, first_sequence=3, events=[b"a", b"b"]),
            pb.EventBatch(lease_id="no id", first_sequence=3, events=[b"a"]),
        ],
        progress=[pb.ProgressReport(lease_id=LEASE, progress={"current": 1, "total": 2, "message": "m\0"})],
    )
    assert convert.delivery(said) == messages.Delivery(
        (messages.EventBatch(LEASE, 3, [b"a", b"b"]),),
        ((LEASE, Progress(1, 2, "m\N{REPLACEMENT CHARACTER}")),),
    )


def test_progress_of_any_length_is_short_enough_to_be_shown_with_its_run():
    said = pb.Delivery(progress=[pb.ProgressReport(lease_id=LEASE, progress={"message": "m" * 3_000_000})])
    ((_, progress),) = convert.delivery(said).progress
    assert len(progress.message) == 2000


def test_a_welcome():
    verdicts = (
        messages.Resume("a", 5),
        messages.Fence("b", "over"),
        messages.Release("c"),
        messages.Keep("d"),
    )
    welcome = convert.to_runner(messages.Welcome(1, "s", 0.5, 10, 20, verdicts)).welcome
    assert welcome.heartbeat_interval.ToTimedelta() == timedelta(milliseconds=500)
    assert (welcome.protocol, welcome.session_id) == (1, "s")
    assert (welcome.max_delivery_bytes, welcome.max_unacknowledged_bytes) == (10, 20)
    assert [(each.lease_id, each.WhichOneof("verdict")) for each in welcome.verdicts] == [
        ("a", "resume"),
        ("b", "fence"),
        ("c", "release"),
        ("d", "keep"),
    ]
    assert welcome.verdicts[0].resume.next_sequence == 5
    assert welcome.verdicts[1].fence == pb.Fence(lease_id="b", reason="over")


def test_an_assignment():
    policy = Policy(None, timedelta(seconds=10), 2, timedelta(seconds=5), timedelta(hours=24))
    said = convert.to_runner(
        messages.Assignment(
            LEASE,
            RUN,
            "i",
            "name",
            2,
            "e",
            "{}",
            policy,
            2**64 - 1,
            9,
            messages.RestoredCheckpoint(4, '{"i": 1}', 1_700_000_000_000_000),
        )
    ).assignment
    assert not said.policy.HasField("timeout")
    assert said.policy.lost_after.ToTimedelta() == timedelta(hours=24)
    assert (said.seed, said.next_sequence, said.attempt) == (2**64 - 1, 9, 2)
    assert said.checkpoint.time.seconds == 1_700_000_000


def test_an_assignment_without_a_checkpoint_says_none():
    said = convert.to_runner(messages.Assignment(LEASE, RUN, "i", "n", 1, "e", "{}", Policy(), 0, 2))
    assert not said.assignment.HasField("checkpoint")


def test_the_rest_that_a_session_is_told():
    cancel, fence = messages.Cancel("a", "why"), messages.Fence("b", "over")
    reply = convert.to_runner(messages.HeartbeatReply(7, (cancel,), (fence,))).heartbeat_reply
    assert (reply.nonce, reply.cancels[0].reason, reply.fences[0].lease_id) == (7, "why", "b")
    assert convert.to_runner(cancel).cancel == pb.Cancel(lease_id="a", reason="why")
    drain = convert.to_runner(messages.Drain(True, 1.0)).drain
    assert (drain.reconnect, drain.reconnect_after.seconds) == (True, 1)
    assert not convert.refusal("no", None).refusal.HasField("retry_after")
    assert convert.refusal("later", 2.0).refusal.retry_after.seconds == 2


def test_answers():
    report = messages.Report((messages.Acknowledgement("a", 5, True),), (messages.Fence("b", "over"),))
    assert convert.report(report) == pb.ReportResponse(
        acknowledgements=[pb.Acknowledgement(lease_id="a", committed_sequence=5, rewind=True)],
        fences=[pb.Fence(lease_id="b", reason="over")],
    )
