"""DrainRunner, UndrainRunner and ForgetRunner over real connections, with a runner that says what the test wants."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from athanor.runner.v1 import dispatch_service_pb2 as pb
from athanor.v1 import run_pb2, run_service_pb2, runner_pb2, runner_service_pb2
from athanor_orchestrator.engine.timings import Timings
from grpc import StatusCode

from tests.support.api import Api, refused, serving
from tests.support.databases import PostgresqlStock
from tests.support.scripted_runner import ScriptedRunner

N, R = runner_service_pb2, run_service_pb2
QUICK = Timings(unreachable_after=2.0, reaper_interval=0.2)


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with serving(database_url) as served:
        await served.define()
        yield served


@pytest.fixture
async def quick(database_url: str) -> AsyncIterator[Api]:
    """One for which a runner is away soon."""
    async with serving(database_url, timings=QUICK) as served:
        await served.define()
        yield served


async def runner_of(api: Api, id: str) -> runner_pb2.Runner:
    return (await api.runners.GetRunner(N.GetRunnerRequest(id=id))).runner


async def silent(api: Api, id: str) -> None:
    """Return once the runner counts as away."""
    async with asyncio.timeout(20):
        while (await runner_of(api, id)).connected:
            await asyncio.sleep(0.05)


async def run_of(api: Api, id: str) -> run_pb2.Run:
    return (await api.runs.GetRun(R.GetRunRequest(id=id))).run


async def test_a_drain_outlives_the_runner_s_restart_and_an_undrain_gives_out_what_waits_at_once(api: Api) -> None:
    async with ScriptedRunner(api.channel) as runner:
        await runner.hello(1)
        await runner.define("grid")
        drained = (await api.runners.DrainRunner(N.DrainRunnerRequest(id=runner.runner_id))).runner
        assert (drained.id, drained.draining) == (runner.runner_id, True)
        run = await api.start_run((await api.create_instance()).id)
    async with ScriptedRunner(api.channel, runner.runner_id) as runner:
        await runner.hello(2)
        await runner.define("grid")
        await runner.beat()
        await asyncio.sleep(0.5)
        assert (await runner_of(api, runner.runner_id)).run_ids == []
        (listed,) = (await api.runners.ListRunners(N.ListRunnersRequest())).runners
        assert (listed.connected, listed.draining) == (True, True)

        undrained = (await api.runners.UndrainRunner(N.UndrainRunnerRequest(id=runner.runner_id))).runner
        assert not undrained.draining
        assignment, _ = await runner.take_up()
        assert assignment.run_id == run.id


async def test_a_connected_runner_is_not_given_up(api: Api) -> None:
    async with ScriptedRunner(api.channel) as runner:
        await runner.hello(1)
        refusal = await refused(api.runners.ForgetRunner(N.ForgetRunnerRequest(id=runner.runner_id)))
        assert (refusal.code, refusal.reason) == (StatusCode.FAILED_PRECONDITION, "RUNNER_CONNECTED")
        assert refusal.metadata == {"runner_id": runner.runner_id}
        assert "it was heard from 0 s ago" in refusal.message
        assert "until it has been silent for 15 s or said goodbye" in refusal.message


async def test_a_silent_runner_is_given_up_and_fenced_when_it_comes_back(quick: Api) -> None:
    api = quick
    async with ScriptedRunner(api.channel) as runner:
        await runner.hello(1)
        await runner.define("grid")
        instance = await api.create_instance()
        begun, not_begun = await api.start_run(instance.id), await api.start_run(instance.id)
        report = await runner.report()
        first, script = await runner.take_up()
        second, _ = await runner.take_up()
        assert (first.run_id, second.run_id) == (begun.id, not_begun.id)
        await report.send(script.batch(script.started(), script.log()))
        await report.acknowledged(first.lease_id, 3)

    watch = api.runs.WatchRuns(R.WatchRunsRequest(active_only=True, view=R.RUN_VIEW_FULL))
    await silent(api, runner.runner_id)
    answer = await api.runners.ForgetRunner(N.ForgetRunnerRequest(id=runner.runner_id))
    assert answer.run_ids == sorted([begun.id, not_begun.id])
    for id in answer.run_ids:
        run = await run_of(api, id)
        assert (run.state, run.failure.kind) == (run_pb2.RUN_STATE_FAILED, run_pb2.Failure.KIND_RUNNER_LOST)
        assert run.failure.message == "its runner was given up by an operator"
        (attempt,) = run.attempts
        assert not attempt.log_complete
    again = await api.runners.ForgetRunner(N.ForgetRunnerRequest(id=runner.runner_id))
    assert again.run_ids == []
    told: dict[str, int] = {}
    async with asyncio.timeout(20):
        while [told.get(id) for id in answer.run_ids] != [run_pb2.RUN_STATE_FAILED] * 2:
            item = await watch.read()
            told[item.run.id] = item.run.state
    watch.cancel()

    def held(lease: Any, last: int) -> pb.HeldAttempt:
        return pb.HeldAttempt(
            run_id=lease.run_id, lease_id=lease.lease_id, attempt=1, first_sequence=2, last_sequence=last
        )

    async with ScriptedRunner(api.channel, runner.runner_id) as back:
        welcome = (await back.hello(2, held(first, 9), held(second, 1))).welcome
        assert [verdict.WhichOneof("verdict") for verdict in welcome.verdicts] == ["fence", "fence"]


@pytest.fixture
def url(postgresql_stock: PostgresqlStock) -> Iterator[str]:
    name = postgresql_stock.take()
    yield postgresql_stock.server.url(name)
    postgresql_stock.give_back(name)


async def test_what_is_wanted_at_one_orchestrator_holds_at_the_other(url: str) -> None:
    async with serving(url, timings=QUICK) as one, serving(url, timings=QUICK) as two:
        await one.define()
        async with ScriptedRunner(one.channel) as runner:
            await runner.hello(1)
            await runner.define("grid")
            await two.runners.DrainRunner(N.DrainRunnerRequest(id=runner.runner_id))
            run = await one.start_run((await one.create_instance()).id)
            await asyncio.sleep(0.3)
            assert not (await runner_of(one, runner.runner_id)).run_ids
            await two.runners.UndrainRunner(N.UndrainRunnerRequest(id=runner.runner_id))
            assignment, _ = await runner.take_up()
            assert assignment.run_id == run.id
        await silent(two, runner.runner_id)
        forgotten = await two.runners.ForgetRunner(N.ForgetRunnerRequest(id=runner.runner_id))
        assert forgotten.run_ids == [run.id]
