"""Verifying a run through the API, on both databases: what a runner delivered, spoiled in the database itself."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import sqlalchemy
from athanor.client import AsyncClient, LogFaultKind, NotFoundError
from athanor.client import Verdict as ClientVerdict
from athanor.v1 import run_pb2, run_service_pb2, verification_pb2
from athanor_orchestrator.engine import verification
from athanor_orchestrator.engine.timings import Timings
from grpc import StatusCode

from tests.support.api import Api, refused, serving
from tests.support.recorded import other_message
from tests.support.runner_script import Script
from tests.support.scripted_runner import ReportCall, ScriptedRunner

R, V = run_service_pb2, verification_pb2
QUICK = Timings(heartbeat_interval=0.2, reaper_interval=0.2, poll=0.2, reconnect_after=0.1)
MISSING = "01890000-0000-7000-8000-00000000dead"


class Held:
    """A run that a runner holds."""

    def __init__(self, api: Api, url: str, run_id: str, script: Script, report: ReportCall) -> None:
        self.api = api
        self.run_id = run_id
        self.script = script
        self._report = report
        self._engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)

    async def record(self, *events: bytes) -> None:
        await self._report.send(self.script.batch(*events))
        await self._report.acknowledged(self.script.lease_id, self.script.last)

    async def verify(self) -> run_service_pb2.VerifyRunResponse:
        return await self.api.runs.VerifyRun(R.VerifyRunRequest(id=self.run_id))

    async def get(self) -> run_pb2.Run:
        return (await self.api.runs.GetRun(R.GetRunRequest(id=self.run_id))).run

    async def execute(self, sql: str, **parameters: object) -> None:
        """Change the database behind the orchestrator's back."""

        def work() -> None:
            with self._engine.begin() as connection:
                parameters["run"] = self.run_id
                assert connection.execute(sqlalchemy.text(f"{sql} AND run_id = :run"), parameters).rowcount > 0

        await asyncio.to_thread(work)


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with serving(database_url, timings=QUICK) as api:
        await api.define("demo", "{}")
        yield api


@pytest.fixture
async def held(api: Api, database_url: str) -> AsyncIterator[Held]:
    async with ScriptedRunner(api.channel) as runner:
        await runner.hello()
        await runner.define("demo")
        run_id = (await api.start_run((await api.create_instance("demo")).id)).id
        _, script = await runner.take_up()
        yield Held(api, database_url, run_id, script, await runner.report())


async def test_a_run_is_under_way_then_complete(held: Held) -> None:
    script = held.script
    await held.record(script.started(), *script.logs(5), script.result())
    answer = await held.verify()
    assert (answer.verdict, answer.last_sequence, answer.event_count) == (V.VERDICT_UNDER_WAY, 8, 8)
    assert answer.attempts[0].digest == script.digest
    assert (await held.get()).attempts[0].last_sequence == 8, "also while it is under way"

    digest = script.digest
    await held.record(script.ended())
    answer = await held.verify()
    attempt = V.AttemptFinding(
        number=1,
        verdict=V.VERDICT_COMPLETE,
        event_count=8,
        first_sequence=2,
        last_sequence=9,
        digest=digest,
        log_complete=True,
    )
    assert answer == R.VerifyRunResponse(
        verdict=V.VERDICT_COMPLETE, last_sequence=10, event_count=10, attempts=[attempt]
    )
    assert not (await held.get()).log_incomplete


async def test_a_deleted_and_an_altered_event_are_named(held: Held) -> None:
    script = held.script
    await held.record(script.started(), *script.logs(20), script.ended())
    await held.execute("DELETE FROM run_events WHERE sequence = 7")
    changed = other_message(script.written[9])
    await held.execute("UPDATE run_events SET payload = :payload WHERE sequence = 11", payload=changed)

    answer = await held.verify()
    assert answer.verdict == answer.attempts[0].verdict == V.VERDICT_DAMAGED
    found = [(fault.kind, fault.first_sequence, fault.last_sequence) for fault in answer.faults]
    assert found == [(V.LogFault.KIND_MISSING, 7, 7), (V.LogFault.KIND_ALTERED, 11, 11)]

    async with AsyncClient(f"127.0.0.1:{held.api.orchestrator.port}") as client:
        certificate = await client.runs.verify(held.run_id)
        assert (certificate.run_id, certificate.verdict) == (held.run_id, ClientVerdict.DAMAGED)
        assert [fault.kind for fault in certificate.faults] == [LogFaultKind.MISSING, LogFaultKind.ALTERED]
        assert not certificate.intact
        with pytest.raises(NotFoundError):
            await client.runs.verify(MISSING)


async def test_a_run_that_lost_its_tail_is_never_whole(held: Held) -> None:
    script = held.script
    await held.record(script.started(), *script.logs(20), script.ended())
    await held.execute("DELETE FROM run_events WHERE sequence > 15")
    answer = await held.verify()
    assert answer.verdict == V.VERDICT_DAMAGED
    (fault,) = answer.faults
    assert (fault.kind, fault.first_sequence, fault.last_sequence) == (V.LogFault.KIND_MISSING, 16, 24)


async def test_a_lost_attempt_is_said_wherever_the_run_is(held: Held) -> None:
    await held.record(held.script.started(), held.script.log())
    assert not (await held.get()).log_incomplete
    # Its end has the digest of something else than came.
    await held.record(held.script.ended(digest=b"x" * 32))
    answer = await held.verify()
    assert (answer.verdict, list(answer.faults)) == (V.VERDICT_INCOMPLETE, [])
    assert answer.attempts[0].detail == "it reaches to event 4; its runner had other bytes than came here"

    assert (await held.get()).log_incomplete
    for view in (R.RUN_VIEW_BASIC, R.RUN_VIEW_FULL):
        (run,) = (await held.api.runs.ListRuns(R.ListRunsRequest(view=view))).runs
        assert run.log_incomplete
    items = [item async for item in held.api.runs.WatchRun(R.WatchRunRequest(id=held.run_id))]
    assert items[-1].run.log_incomplete


async def test_a_call_that_is_cancelled_stops_reading(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "PAGE_EVENTS", 1)
    pages: list[int] = []
    advance = verification._advance

    def slowly(tx, run_id, audit):
        pages.append(audit.position)
        time.sleep(0.02)
        advance(tx, run_id, audit)

    monkeypatch.setattr(verification, "_advance", slowly)
    await held.record(held.script.started(), *held.script.logs(3000))
    call = held.api.runs.VerifyRun(R.VerifyRunRequest(id=held.run_id))
    calling = asyncio.ensure_future(call)
    async with asyncio.timeout(20):
        while len(pages) < 3:
            await asyncio.sleep(0.01)
    assert (await held.get()).id == held.run_id, "others are served meanwhile"
    call.cancel()
    await asyncio.wait({calling})

    async def stopped() -> bool:
        before = len(pages)
        await asyncio.sleep(0.3)
        return len(pages) == before

    async with asyncio.timeout(20):
        while not await stopped():
            pass
    assert len(pages) < 1000
    refusal = await refused(held.api.runs.VerifyRun(R.VerifyRunRequest(id=held.run_id), timeout=0.3))
    assert refusal.code is StatusCode.DEADLINE_EXCEEDED
