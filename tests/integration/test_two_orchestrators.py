"""What two orchestrators on one PostgreSQL owe each other: not a moment's wait, not a word too many, and no clock."""

import asyncio
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from athanor.v1 import run_pb2, run_service_pb2
from athanor_orchestrator.domain.records import Experiment, LeaseEnd, RunState
from athanor_orchestrator.engine import dispatcher, reaper
from athanor_orchestrator.engine.dispatcher import Candidate
from athanor_orchestrator.engine.hello import register
from athanor_orchestrator.engine.messages import Hello
from athanor_orchestrator.engine.timings import Timings
from athanor_orchestrator.storage import attempts, events, experiments, leases
from athanor_orchestrator.storage.database import Database
from athanor_orchestrator.storage.notifications import CHANNEL
from athanor_orchestrator.storage.postgresql import PostgresqlDialect
from athanor_orchestrator.storage.transaction import Transaction

from tests.support.api import Api, serving
from tests.support.databases import OpenDatabase, PostgresqlStock
from tests.support.rows import a_lease, a_run, an_attempt, an_instance, get, store
from tests.support.runner_script import OTHER_RUNNER, RUNNER, hello
from tests.support.scripted_runner import ScriptedRunner

LATE = 0.5  # seconds; the poll comes after two


@pytest.fixture
def database_url(postgresql_stock: PostgresqlStock) -> Iterator[str]:
    name = postgresql_stock.take()
    yield postgresql_stock.server.url(name)
    postgresql_stock.give_back(name)


@pytest.fixture(params=[True, False], ids=["heard", "lost"])
def heard(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether notifications arrive."""
    if not request.param:
        monkeypatch.setattr(PostgresqlDialect, "notify", lambda self, connection, topics: None)
    return request.param


async def started(api: Api) -> str:
    return (await api.start_run((await api.create_instance("demo")).id)).id


async def in_time(what, heard: bool) -> None:
    """See that something comes by the doorbell, or at the next poll when that was not heard."""
    began = time.monotonic()
    await what
    took = time.monotonic() - began
    assert took < (1.0 if heard else Timings().poll + 1.0)


# Claims


async def connect(database: Database, hello: Hello) -> None:
    """Have a runner connected that can execute what instances here are of."""

    def command(tx: Transaction) -> None:
        register(tx, hello, "session")
        experiments.upsert_experiment(tx, Experiment("digits"), hello.runner_id)

    await database.write(command)


async def test_two_who_claim_at_the_same_time_neither_wait_for_each_other_nor_get_the_same(
    open_database: OpenDatabase,
) -> None:
    one, two = await open_database(), await open_database()
    instance = an_instance()
    made = [a_run(instance) for _ in range(12)]
    await store(one, instance, *made)
    await connect(one, hello(RUNNER))
    await connect(two, hello(OTHER_RUNNER))
    granted, proceed = threading.Event(), threading.Event()

    def claim_and_hold(tx: Transaction):
        claims = dispatcher.claim(tx, [Candidate(RUNNER, 1)], {})
        granted.set()
        assert proceed.wait(20)
        return claims

    holding = asyncio.create_task(one.write(claim_and_hold))
    try:
        await asyncio.to_thread(granted.wait, 20)
        async with asyncio.timeout(15):
            second = await two.write(lambda tx: dispatcher.claim(tx, [Candidate(OTHER_RUNNER, 1)], {}))
        assert not holding.done(), "the second was there while the first held what it had claimed"
    finally:
        proceed.set()
    first = await holding
    taken = [assignment.run_id for _, assignment in (*first, *second)]
    assert len(first) == len(second) == 4
    assert taken == [run.id for run in made[:8]], "the oldest, and each once"


# Doorbells


async def test_a_cancellation_at_one_reaches_the_runner_of_the_other(database_url: str, heard: bool) -> None:
    async with serving(database_url) as one, serving(database_url) as two, ScriptedRunner(two.channel) as runner:
        await one.define("demo", "{}")
        await runner.hello()
        await runner.define("demo")
        run_id = await started(two)
        assignment, _ = await runner.take_up()
        assert assignment.run_id == run_id
        await asyncio.sleep(LATE)  # what the start has rung is over
        await one.runs.CancelRun(run_service_pb2.CancelRunRequest(id=run_id))
        await in_time(runner.hear("cancel"), heard)


async def test_a_run_started_at_one_reaches_the_runner_of_the_other(database_url: str, heard: bool) -> None:
    async with serving(database_url) as one, serving(database_url) as two, ScriptedRunner(two.channel) as runner:
        await one.define("demo", "{}")
        await runner.hello()
        await runner.define("demo")
        await runner.beat()
        await asyncio.sleep(LATE)
        await started(one)
        await in_time(runner.hear("assignment"), heard)


async def test_a_watch_at_one_is_live_for_a_run_that_reports_to_the_other(database_url: str, heard: bool) -> None:
    async with serving(database_url) as one, serving(database_url) as two, ScriptedRunner(two.channel) as runner:
        await one.define("demo", "{}")
        await runner.hello()
        await runner.define("demo")
        run_id = await started(one)
        _, script = await runner.take_up()
        watch = one.runs.WatchRun(run_service_pb2.WatchRunRequest(id=run_id))

        async def until(sequence: int) -> None:
            while True:
                item = await watch.read()
                if item.batch.events and item.batch.events[-1].sequence >= sequence:
                    return

        report = await runner.report()
        await report.send(script.batch(script.started()))
        await until(2)
        for _ in range(3):
            await report.send(script.batch(script.log("live")))
            await in_time(until(script.last), heard)
        watch.cancel()


async def test_a_commit_is_one_notification_whatever_it_holds(open_database: OpenDatabase, database_url: str) -> None:
    one = await open_database()
    entered, leave = threading.Event(), threading.Event()

    def gate(tx: Transaction) -> None:
        entered.set()
        assert leave.wait(20)

    def waking(number: int):
        def command(tx: Transaction) -> None:
            tx.wake("runs")
            tx.wake(f"run:{number:036}")

        return command

    with psycopg.connect(database_url, autocommit=True) as ear:
        ear.execute(f"LISTEN {CHANNEL}")
        held = asyncio.create_task(one.write(gate))
        await asyncio.to_thread(entered.wait, 20)
        waiting = [asyncio.create_task(one.write(waking(number))) for number in range(100)]
        await asyncio.sleep(0)
        leave.set()
        await asyncio.gather(held, *waiting)
        await one.write(lambda tx: None)
        notifications = list(await asyncio.to_thread(lambda: list(ear.notifies(timeout=0.5))))
    assert len(notifications) == 1
    assert len(notifications[0].payload.split()) == 1 + 1 + 100


# The reaper


async def test_of_two_reapers_that_give_up_the_same_lease_one_does(open_database: OpenDatabase) -> None:
    """Both have seen it go unrenewed. The second waits for the run's row, then looks again and finds it done."""
    one, two = await open_database(), await open_database()
    instance = an_instance()
    run = a_run(instance, state=RunState.RUNNING, attempt_count=1)
    lease = a_lease(run, event_count=1)
    await store(one, instance, run, lease)
    await one.write(lambda tx: attempts.insert_attempt(tx, run.id, lease.id, an_attempt(runner_id=lease.runner_id)))
    ended, proceed = threading.Event(), threading.Event()

    def expire_and_hold(tx: Transaction) -> bool:
        done = reaper.expire(tx, lease)
        ended.set()
        assert proceed.wait(20)
        return done

    first = asyncio.create_task(one.write(expire_and_hold))
    await asyncio.to_thread(ended.wait, 20)
    second = asyncio.create_task(two.write(lambda tx: reaper.expire(tx, lease)))
    await asyncio.sleep(0.3)
    assert not second.done()
    proceed.set()
    assert (await first, await second) == (True, False)

    after = await get(two, run)
    assert after.state is RunState.FAILED
    page = await two.read(lambda tx: events.read_events(tx, run.id, limit=100, max_bytes=1 << 20))
    assert [row.kind.name for row in page.items] == ["ATTEMPT_ENDED", "STATE_CHANGE"]
    known = await two.read(lambda tx: leases.get_leases(tx, [lease.id]))
    assert known[lease.id].end is LeaseEnd.LOST


# Clocks


class Wrong:
    """A clock that somebody has set wrong."""

    def __init__(self, by: timedelta) -> None:
        self._by_us = by // timedelta(microseconds=1)

    def now_us(self) -> int:
        return time.time_ns() // 1000 + self._by_us


@pytest.mark.parametrize("days", [-2, 2])
async def test_the_clock_of_an_orchestrator_decides_nothing(
    database_url: str, days: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leases, silence, order, and what is kept: the database's clock says."""
    wrong, right = Wrong(timedelta(days=days)), time.time_ns
    monkeypatch.setattr(
        "athanor_orchestrator.domain.ids.time.time_ns", lambda: right() + days * 24 * 3600 * 1_000_000_000
    )
    timings = Timings(reaper_interval=0.1, unreachable_after=0.5, purge_interval=0.1)
    async with (
        serving(database_url, timings=timings, clock=wrong) as one,
        serving(database_url, timings=timings, clock=Wrong(timedelta(0))) as two,
        ScriptedRunner(one.channel) as runner,
    ):
        await one.define("demo", "{}")
        begun = datetime.now(UTC) - timedelta(seconds=1)
        request = run_service_pb2.StartRunRequest(
            instance_id=(await one.create_instance("demo")).id, request_id="kept for a day"
        )
        run = (await one.runs.StartRun(request)).run
        later = (await two.runs.StartRun(run_service_pb2.StartRunRequest(instance_id=run.instance_id))).run
        for each in (run, later):
            assert begun < each.create_time.ToDatetime(UTC) < datetime.now(UTC) + timedelta(seconds=1)
            assert uuid.UUID(each.id).int >> 80 == each.create_time.ToMilliseconds(), "so is the order of ids"
        assert run.id < later.id

        await runner.hello(slots=1)
        await runner.define("demo")
        assignment, script = await runner.take_up()
        assert assignment.run_id == run.id, "the older one first"
        report = await runner.report()
        await report.send(script.batch(script.started(), script.log()))
        await report.acknowledged(script.lease_id, script.last)
        for _ in range(10):
            await asyncio.sleep(0.15)
            await runner.beat(script.lease_id)
            for api in (one, two):
                run = (await api.runs.GetRun(run_service_pb2.GetRunRequest(id=run.id))).run
                assert run.state == run_pb2.RUN_STATE_RUNNING
                assert not run.HasField("unreachable_since")
        assert (await two.runs.StartRun(request)).run.id == run.id
