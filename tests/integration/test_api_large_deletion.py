"""A large deletion: gone at once, taken off the disk in steps that delay nobody, over restarts too."""

import asyncio
import time
from pathlib import Path

import pytest
from athanor.v1 import instance_service_pb2, run_service_pb2
from athanor_orchestrator.domain.records import EventKind, EventRow, RunState
from athanor_orchestrator.storage import events, runs
from athanor_orchestrator.storage.schema import run_events
from athanor_orchestrator.storage.transaction import Transaction
from grpc import StatusCode
from sqlalchemy import func, select

from tests.support.api import Api, log, refused, serving

I, R = instance_service_pb2, run_service_pb2  # noqa: E741
EVENTS = 300_000
BYTES = 100  # of an event
LARGE_EVENTS, LARGE_BYTES = 6000, 16 * 1024  # a step frees more of these than it gives back by itself
PAGE_SIZE = 8192


async def a_large_run(api: Api, count: int = EVENTS, size: int = BYTES) -> tuple[str, str]:
    """Make an instance with a run of very many events; their ids."""
    await api.define()
    instance = await api.create_instance()
    run = await api.start_run(instance.id)
    for first in range(2, count, 2000):

        def append(tx: Transaction, first: int = first) -> None:
            numbers = range(first, first + 2000)
            rows = [EventRow(n, 1, EventKind.LOG, 20, None, n, b"x" * size) for n in numbers]
            events.append_events(tx, [(run.id, rows)])
            runs.update_run(tx, run.id, last_sequence=rows[-1].sequence)

        await api.orchestrator.database.write(append)
    await api.end(run.id, RunState.COMPLETED)
    return instance.id, run.id


async def left(api: Api) -> int:
    """How many events there are on the disk."""
    count = select(func.count()).select_from(run_events)
    return await api.orchestrator.database.read(lambda tx: tx.connection.execute(count).scalar_one())


async def start_and_append(api: Api, instance_id: str) -> float:
    """Start a run and record an event of it; how long the slower of the two took, in seconds."""
    begun = time.perf_counter()
    run = await api.start_run(instance_id)
    started = time.perf_counter()
    await api.record(run.id, log("meanwhile"))
    return max(started - begun, time.perf_counter() - started)


@pytest.mark.timeout(180)
async def test_it_delays_nobody(database_url: str) -> None:
    async with serving(database_url) as api:
        instance_id, run_id = await a_large_run(api)
        other = (await api.create_instance()).id
        watch = api.runs.WatchRuns(R.WatchRunsRequest())
        while not (await watch.read()).HasField("synced"):
            pass

        begun = time.perf_counter()
        await api.instances.DeleteInstance(I.DeleteInstanceRequest(id=instance_id))
        took = [time.perf_counter() - begun]
        assert (await refused(api.runs.GetRun(R.GetRunRequest(id=run_id)))).code is StatusCode.NOT_FOUND
        assert (await refused(api.runs.WatchRun(R.WatchRunRequest(id=run_id)))).code is StatusCode.NOT_FOUND
        assert (await watch.read()).deleted.id == run_id
        watch.cancel()

        while await left(api) > 1000:
            took.append(await start_and_append(api, other))
            await asyncio.sleep(0.005)
        lasted = time.perf_counter() - begun
        took.sort()
        print(f"{len(took)} calls in {lasted:.1f} s: median {took[len(took) // 2] * 1e3:.1f} ms, "
              f"99 % {took[len(took) * 99 // 100] * 1e3:.1f} ms, most {took[-1] * 1e3:.1f} ms")  # fmt: skip
        assert len(took) > 20, "there were calls meanwhile"
        assert took[len(took) * 99 // 100] < 0.5


@pytest.mark.timeout(180)
async def test_a_restart_goes_on_with_it_and_the_room_is_given_back(database_url: str, backend: str) -> None:
    async with serving(database_url) as api:
        instance_id, _ = await a_large_run(api, LARGE_EVENTS, LARGE_BYTES)
        await api.instances.DeleteInstance(I.DeleteInstanceRequest(id=instance_id))
        assert await left(api) > 0  # stopped in the midst of it, or before it has begun

    path = Path(database_url.removeprefix("sqlite:///"))
    before = path.stat().st_size if backend == "sqlite" else 0
    async with serving(database_url) as api:
        async with asyncio.timeout(120):
            while await left(api):
                await asyncio.sleep(0.05)
            while backend == "sqlite" and await pages(api) > before // PAGE_SIZE // 20:
                await asyncio.sleep(0.05)
    # What a commit has cut off goes with the next checkpoint, the latest of which is at the stop.
    assert backend != "sqlite" or path.stat().st_size < before // 20


async def pages(api: Api) -> int:
    """How many pages the SQLite file has."""

    def count(tx: Transaction) -> int:
        return tx.connection.exec_driver_sql("PRAGMA page_count").scalar_one()

    return await api.orchestrator.database.read(count)
