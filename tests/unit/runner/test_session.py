"""A session against a scripted other side, in virtual time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from athanor.runner.v1 import dispatch_service_pb2 as pb
from athanor_runner.catalogue import Description
from athanor_runner.ports import StreamEnded
from athanor_runner.session import Identity, Reconnect, Refused, Session
from athanor_runner.settings import Timings

from tests.support.runner_fakes import Clock, Connection, welcome
from tests.support.virtual_time import virtual_time
from tests.unit.runner.test_catalogue import definition

ME = Identity("runner", "name", "1.2", slots=4)


class Roster:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.draining = False
        self.gone: dict[str, Path | None] = {}
        self.declines: asyncio.Queue[pb.Decline] = asyncio.Queue()
        self.holds: list[pb.HeldAttempt] = []
        self.told: list[tuple[Any, ...]] = []
        self.lease_ids: list[str] = []

    async def held(self) -> list[pb.HeldAttempt]:
        return self.holds

    def judge(self, held: Any, verdicts: Any, hello_sent_at: float) -> None:
        self.told.append(("judge", [verdict.lease_id for verdict in verdicts], hello_sent_at))

    def accept(self, assignment: pb.Assignment, renewed_at: float, awake: bool) -> None:
        self.told.append(("accept", assignment.lease_id, renewed_at, awake))

    def cancel(self, cancel: pb.Cancel) -> None:
        self.told.append(("cancel", cancel.lease_id, cancel.reason))

    def fence(self, lease_id: str, reason: str) -> None:
        self.told.append(("fence", lease_id, reason))

    def leases(self) -> list[str]:
        return list(self.lease_ids)

    def renewed(self, leases: Any, sent_at: float) -> None:
        self.told.append(("renewed", list(leases), sent_at))

    async def gone_known(self, leases: list[str]) -> None:
        for lease_id in leases:
            self.gone.pop(lease_id, None)


class Catalogue:
    """Descriptions by hand."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Description] = asyncio.Queue()

    async def wait_changed(self, known: Description | None) -> Description:
        return await self.queue.get()


class Reporter:
    async def run(self, connection: Any, terms: Any) -> None:
        self.terms = terms
        await asyncio.Event().wait()


class Stage:
    def __init__(self) -> None:
        self.clock, self.connection, self.roster = Clock(), Connection(), Roster()
        self.catalogue, self.reporter = Catalogue(), Reporter()
        self.session = Session(
            self.connection,
            self.roster,
            self.catalogue,
            self.reporter,
            self.clock,
            Timings(),  # type: ignore[arg-type]
        )
        self.welcomes = 0

    @property
    def control(self) -> Any:
        return self.connection.control

    def heartbeats(self) -> list[pb.Heartbeat]:
        return [message.heartbeat for message in self.control.sent if message.HasField("heartbeat")]

    def answer(self, **more: Any) -> None:
        self.control.say(
            pb.ConnectResponse(heartbeat_reply=pb.HeartbeatReply(nonce=self.heartbeats()[-1].nonce, **more))
        )

    @contextlib.asynccontextmanager
    async def running(self, *first: pb.ConnectResponse) -> AsyncIterator["asyncio.Task[None]"]:
        self.control.say(*(first or (welcome(),)))
        task = asyncio.create_task(self.session.run(ME, 7, self._welcomed), name="session")
        await asyncio.sleep(0.1)
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _welcomed(self) -> None:
        self.welcomes += 1


@virtual_time
async def test_hello_comes_first_and_names_what_is_held() -> None:
    stage = Stage()
    stage.roster.holds = [pb.HeldAttempt(run_id="r", lease_id="l", attempt=1, first_sequence=2, last_sequence=9)]
    verdict = pb.Verdict(lease_id="l", resume=pb.Resume(next_sequence=5))
    async with stage.running(welcome(verdict)):
        hello = stage.control.sent[0].hello
        assert (hello.runner_id, hello.display_name, hello.session_number, hello.slots) == ("runner", "name", 7, 4)
        assert (hello.protocol_min, hello.protocol_max, hello.version) == (1, 1, "1.2")
        assert list(hello.held_attempts) == stage.roster.holds
        assert stage.roster.told[0] == ("judge", ["l"], 1000.0)
        assert stage.welcomes == 1
        assert stage.reporter.terms.session_id == "session"


@virtual_time
async def test_nothing_follows_hello_before_welcome() -> None:
    stage = Stage()
    stage.catalogue.queue.put_nowait(Description({"hello": definition()}))
    task = asyncio.create_task(stage.session.run(ME, 1, lambda: None), name="session")
    await asyncio.sleep(3)
    assert stage.control.kinds() == ["hello"]
    stage.control.say(welcome())
    await asyncio.sleep(0.1)
    assert sorted(stage.control.kinds()) == ["definition", "heartbeat", "hello"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert stage.control.cancelled


@virtual_time
async def test_no_welcome_ends_the_session() -> None:
    stage = Stage()
    with pytest.raises(StreamEnded, match="no Welcome within 20 s"):
        await stage.session.run(ME, 1, lambda: None)


@virtual_time
async def test_a_refusal_says_when_to_come_back_or_that_never() -> None:
    later = pb.Refusal(reason="busy")
    later.retry_after.FromSeconds(7)
    for refusal, after in ((later, 7.0), (pb.Refusal(reason="too old"), None)):
        stage = Stage()
        stage.control.say(pb.ConnectResponse(refusal=refusal))
        with pytest.raises(Refused) as refused:
            await stage.session.run(ME, 1, lambda: None)
        assert refused.value.retry_after == after


@virtual_time
async def test_an_answered_heartbeat_renews_what_it_named_from_when_it_was_sent() -> None:
    stage = Stage()
    stage.roster.lease_ids = ["a", "b"]
    stage.roster.gone = {"g": None}
    async with stage.running():
        first = stage.heartbeats()[0]
        assert (list(first.lease_ids), list(first.gone_lease_ids), first.draining) == (["a", "b"], ["g"], False)
        await asyncio.sleep(2)
        stage.roster.lease_ids = ["a", "b", "younger"]
        stage.answer(cancels=[pb.Cancel(lease_id="a", reason="enough")], fences=[pb.Fence(lease_id="b", reason="over")])
        await asyncio.sleep(0.1)
        assert stage.roster.told[1:] == [
            ("cancel", "a", "enough"), ("fence", "b", "over"), ("renewed", ["a"], 1000.0),
        ]  # fmt: skip
        assert stage.roster.gone == {}
        await asyncio.sleep(5)
        assert len(stage.heartbeats()) == 2


@virtual_time
async def test_what_is_gone_is_said_until_a_heartbeat_that_named_it_is_answered() -> None:
    stage = Stage()
    async with stage.running():
        stage.roster.gone = {"g": None}
        stage.answer()  # to a heartbeat that did not name it
        await asyncio.sleep(6)
        assert stage.roster.gone == {"g": None}
        assert list(stage.heartbeats()[-1].gone_lease_ids) == ["g"]


@virtual_time
async def test_heartbeats_without_an_answer_end_the_session() -> None:
    stage = Stage()
    async with stage.running() as task:
        await asyncio.sleep(40)
        with pytest.raises(StreamEnded, match="no heartbeat was answered"):
            task.result()


@virtual_time
async def test_answered_heartbeats_keep_it_for_hours() -> None:
    stage = Stage()
    async with stage.running() as task:
        for _ in range(720):
            stage.answer()
            await asyncio.sleep(5)
        assert not task.done()
        assert stage.session._named.keys() <= {stage.heartbeats()[-1].nonce, stage.heartbeats()[-2].nonce}


@virtual_time
async def test_an_assignment_read_after_standing_still_is_marked_as_doubtful() -> None:
    stage = Stage()
    async with stage.running():
        stage.clock.suspended = 60
        stage.control.say(pb.ConnectResponse(assignment=pb.Assignment(lease_id="old")))
        await asyncio.sleep(0.1)
        assert stage.roster.told[-1] == ("accept", "old", 1000.0, False)
        await asyncio.sleep(6)  # a heartbeat goes out ...
        stage.control.say(pb.ConnectResponse(assignment=pb.Assignment(lease_id="still old")))
        await asyncio.sleep(0.1)
        assert stage.roster.told[-1][3] is False
        stage.answer()  # ... and is answered
        await asyncio.sleep(0.1)
        stage.control.say(pb.ConnectResponse(assignment=pb.Assignment(lease_id="new")))
        await asyncio.sleep(0.1)
        assert stage.roster.told[-1] == ("accept", "new", 1065.0, True)


@virtual_time
async def test_drain_with_reconnect_ends_the_session_with_the_delay() -> None:
    stage = Stage()
    drain = pb.Drain(reconnect=True)
    drain.reconnect_after.FromMilliseconds(1500)
    async with stage.running() as task:
        stage.control.say(pb.ConnectResponse(drain=drain))
        await asyncio.sleep(0.1)
        with pytest.raises(Reconnect) as going:
            task.result()
        assert going.value.after == 1.5


@virtual_time
async def test_drain_without_reconnect_declines_what_still_comes() -> None:
    stage = Stage()
    async with stage.running():
        stage.control.say(
            pb.ConnectResponse(drain=pb.Drain()), pb.ConnectResponse(assignment=pb.Assignment(lease_id="l"))
        )
        await asyncio.sleep(0.1)
        decline = stage.control.sent[-1].decline
        assert (decline.lease_id, decline.reason) == ("l", pb.DECLINE_REASON_DRAINING)


@virtual_time
async def test_a_message_of_a_later_version_is_left_out() -> None:
    stage = Stage()
    async with stage.running() as task:
        stage.control.say(pb.ConnectResponse())
        await asyncio.sleep(0.1)
        assert not task.done()


@virtual_time
async def test_a_newer_session_is_told_apart() -> None:
    stage = Stage()
    async with stage.running() as task:
        stage.control.say(StreamEnded("superseded", superseded=True))
        await asyncio.sleep(0.1)
        with pytest.raises(StreamEnded) as ended:
            task.result()
        assert ended.value.superseded


@virtual_time
async def test_only_what_changed_is_told_again() -> None:
    stage = Stage()
    async with stage.running():
        stage.catalogue.queue.put_nowait(Description({"a": definition("a"), "b": definition("b")}, {"m": "Traceback"}))
        await asyncio.sleep(0.1)
        stage.catalogue.queue.put_nowait(Description({"b": definition("b", "new"), "c": definition("c")}))
        await asyncio.sleep(0.1)
        told = [message.definition for message in stage.control.sent if message.HasField("definition")]
        assert [entry.experiment.name for entry in told[:2]] == ["a", "b"]
        assert (told[2].error.module, told[2].error.error) == ("m", "Traceback")
        assert [entry.experiment.name for entry in told[3:5]] == ["b", "c"]
        assert told[5].removal.experiment == "a"
        assert (told[6].error.module, told[6].error.error) == ("m", "")
        policy = told[0].experiment.default_policy
        assert (policy.timeout.ToMilliseconds(), policy.max_attempts) == (3500, 2)
        assert not policy.HasField("cancel_grace_period")


@virtual_time
async def test_leaving_says_goodbye_last() -> None:
    stage = Stage()
    async with stage.running() as task:
        stage.session.leave("stopped")
        await asyncio.sleep(0.1)
        assert stage.control.sent[-1].goodbye.reason == "stopped"
        assert stage.control.finished
        with pytest.raises(StreamEnded):
            task.result()


@virtual_time
async def test_a_heartbeat_can_be_hastened() -> None:
    stage = Stage()
    async with stage.running():
        stage.roster.draining = True
        stage.session.beat()
        await asyncio.sleep(0.1)
        assert [beat.draining for beat in stage.heartbeats()] == [False, True]
