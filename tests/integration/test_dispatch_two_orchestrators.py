"""Runners and watchers at two orchestrators on one PostgreSQL."""

import asyncio
from collections.abc import Iterator

import grpc
import pytest
from athanor.runner.v1 import dispatch_service_pb2 as pb
from athanor.v1 import run_pb2, run_service_pb2

from tests.support.api import Api, refused, serving
from tests.support.databases import PostgresqlStock
from tests.support.scripted_runner import ScriptedRunner


@pytest.fixture
def url(postgresql_stock: PostgresqlStock) -> Iterator[str]:
    name = postgresql_stock.take()
    yield postgresql_stock.server.url(name)
    postgresql_stock.give_back(name)


async def start(api: Api, count: int = 1) -> list[str]:
    instance = await api.create_instance("demo")
    return [(await api.start_run(instance.id)).id for _ in range(count)]


async def test_a_run_started_and_watched_at_one_is_executed_at_the_other(url: str):
    async with serving(url) as one, serving(url) as two, ScriptedRunner(two.channel) as runner:
        await one.define("demo", "{}")
        await runner.hello()
        await runner.define("demo")
        (run_id,) = await start(one)
        seen: list[int] = []

        async def watch() -> None:
            async for item in one.runs.WatchRun(run_service_pb2.WatchRunRequest(id=run_id)):
                seen.extend(event.sequence for event in item.batch.events)

        watching = asyncio.create_task(watch())
        assignment, script = await runner.take_up()
        assert assignment.run_id == run_id
        report = await runner.report()
        await report.send(script.batch(script.started(), *script.logs(5)))
        await report.acknowledged(script.lease_id, script.last)
        await one.runs.CancelRun(run_service_pb2.CancelRunRequest(id=run_id))
        assert (await runner.hear("cancel")).lease_id == script.lease_id
        await report.send(script.batch(script.ended(run_pb2.ATTEMPT_OUTCOME_CANCELLED)))
        async with asyncio.timeout(10):
            await watching
        assert seen == list(range(1, 10))


async def test_a_runner_that_came_back_at_the_other_is_not_listened_to_at_the_first(url: str):
    async with serving(url) as one, serving(url) as two, ScriptedRunner(one.channel) as older:
        await older.hello()
        await older.define("demo")
        await one.define("demo", "{}")
        (run_id,) = await start(one)
        assignment, script = await older.take_up()
        report = await older.report()
        await report.send(script.batch(script.started()))
        await report.acknowledged(script.lease_id, 2)

        async with ScriptedRunner(two.channel, older.runner_id) as newer:
            held = pb.HeldAttempt(run_id=run_id, lease_id=assignment.lease_id, attempt=1, first_sequence=2)
            (verdict,) = (await newer.hello(2, held)).welcome.verdicts
            assert verdict.resume.next_sequence == 3

            await report.send(script.batch(script.log("from the grave"), first=3))
            for call in (report.call, older.connect):
                refusal = await refused(call)
                assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "SESSION_SUPERSEDED")
            run = (await two.runs.GetRun(run_service_pb2.GetRunRequest(id=run_id))).run
            assert (run.last_sequence, run.state) == (2, run_pb2.RUN_STATE_RUNNING)


async def test_no_run_is_given_out_twice(url: str):
    async with serving(url) as one, serving(url) as two:
        await one.define("demo", "{}")
        runners = [ScriptedRunner(api.channel) for api in (one, two, one, two)]
        for runner in runners:
            await runner.hello(slots=5)
            await runner.define("demo")
        run_ids = await start(one, 20)

        async def all_of(runner: ScriptedRunner) -> list[str]:
            return [(await runner.take_up())[0].run_id for _ in range(5)]

        given = await asyncio.gather(*(all_of(runner) for runner in runners))
        assert sorted(run_id for each in given for run_id in each) == sorted(run_ids)
        for runner in runners:
            await runner.__aexit__()


async def test_many_runs_end_at_both_at_once(url: str):
    """Rows of the same instance and of runs in any order are locked from both sides; whoever loses repeats."""
    async with serving(url) as one, serving(url) as two:
        await one.define("demo", "{}")

        async def work(api: Api) -> None:
            async with ScriptedRunner(api.channel) as runner:
                await runner.hello(slots=10)
                await runner.define("demo")
                scripts = [(await runner.take_up())[1] for _ in range(10)]
                report = await runner.report()
                await report.send(*[script.batch(script.started(), *script.logs(20)) for script in scripts])
                await report.send(*[script.batch(script.ended()) for script in reversed(scripts)])
                left = {script.lease_id: script.last for script in scripts}
                while left:
                    for answer in (await report.answer()).acknowledgements:
                        if answer.committed_sequence == left.get(answer.lease_id):
                            del left[answer.lease_id]

        run_ids = await start(one, 20)
        await asyncio.gather(work(one), work(two))
        for run_id in run_ids:
            run = (await two.runs.GetRun(run_service_pb2.GetRunRequest(id=run_id))).run
            assert (run.state, run.last_sequence) == (run_pb2.RUN_STATE_COMPLETED, 24)
