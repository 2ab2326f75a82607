"""Watches of many by the client, against the real orchestrator: the picture stays right over restarts."""

import asyncio
from pathlib import Path

from athanor.client import AsyncClient, Begun, InstanceChanged, RunChanged, RunDeleted, RunState, Synced
from athanor_orchestrator.domain import records
from athanor_orchestrator.server import Orchestrator
from athanor_orchestrator.settings import Settings
from grpc import aio

from tests.support.api import Api


async def test_a_picture_of_all_runs_stays_right_over_restarts_of_the_orchestrator(database_url: str) -> None:
    port = 0

    async def start() -> Orchestrator:
        settings = Settings(
            host="127.0.0.1", port=port, data=Path("/nonexistent"), database_url=database_url, stop_grace=0.5
        )
        orchestrator = Orchestrator(settings)
        await orchestrator.start()
        return orchestrator

    orchestrator = await start()
    port = orchestrator.port
    known: dict[str, RunState] = {}
    begun = 0

    async def watch(client: AsyncClient) -> None:
        nonlocal begun
        seen = set[str]()
        async for item in client.runs.watch_all():
            match item:
                case Begun():
                    begun += 1
                    seen = set[str]()
                case RunChanged(run):
                    known[run.id] = run.state
                    seen.add(run.id)
                case RunDeleted(id):
                    known.pop(id, None)
                case Synced():
                    for id in known.keys() - seen:
                        del known[id]

    async def until(expected: dict[str, RunState]) -> None:
        async with asyncio.timeout(20):
            while known != expected:
                await asyncio.sleep(0.01)

    async with AsyncClient(f"127.0.0.1:{port}") as client, aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        api = Api(orchestrator, channel)
        await api.define()
        instance = await client.instances.create("grid")
        watching = asyncio.create_task(watch(client))
        expected: dict[str, RunState] = {}
        for number in range(3):
            ended, left = await client.runs.start(instance.id), await client.runs.start(instance.id)
            expected |= {ended.id: RunState.PENDING, left.id: RunState.PENDING}
            await until(expected)
            await orchestrator.stop()
            orchestrator = api.orchestrator = await start()
            # Perhaps before the watch is back: then by what stands, else as a change.
            await api.end(ended.id, records.RunState.FAILED)
            if number:
                await client.runs.delete(ended.id)
                del expected[ended.id]
            else:
                expected[ended.id] = RunState.FAILED
            await until(expected)
        assert begun >= 4
        watching.cancel()
        await asyncio.wait({watching})

        async with client.instances.watch_all(experiment="grid") as instances:
            assert isinstance(await anext(instances), Begun)
            item = await anext(instances)
            assert isinstance(item, InstanceChanged)
            assert (item.instance.id, item.instance.run_count) == (instance.id, len(expected))
    await orchestrator.stop()
