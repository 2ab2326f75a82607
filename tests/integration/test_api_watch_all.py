"""WatchRuns and WatchInstances over a real connection, on both databases."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from athanor.v1 import instance_pb2, instance_service_pb2, run_pb2, run_service_pb2
from athanor_orchestrator.domain.errors import WatchOutrun
from athanor_orchestrator.domain.records import ResourceFilter, RunState
from athanor_orchestrator.engine.timings import Timings
from athanor_orchestrator.engine.watching import Synced
from athanor_orchestrator.storage import runs
from athanor_orchestrator.storage.transaction import Transaction
from google.protobuf.field_mask_pb2 import FieldMask
from grpc import StatusCode, aio

from tests.support.api import Api, log, refused, serving
from tests.support.databases import PostgresqlStock

I, R = instance_service_pb2, run_service_pb2  # noqa: E741
SECONDS = 20


@dataclass
class Picture:
    """What one stream has told, item by item."""

    call: Any
    items: list[Any] = field(default_factory=list)

    async def next(self) -> Any:
        async with asyncio.timeout(SECONDS):
            item = await self.call.read()
        assert item is not aio.EOF, "the stream has ended"
        self.items.append(item)
        return item

    async def synced(self) -> list[Any]:
        """What stands."""
        stood = []
        while not (item := await self.next()).HasField("synced"):
            stood.append(item)
        return stood

    async def run(self) -> run_pb2.Run:
        item = await self.next()
        assert item.HasField("run"), item
        return item.run

    async def until(self, run_id: str, state: RunState) -> run_pb2.Run:
        """The run, once it is told in this state."""
        while True:
            item = await self.next()
            if item.run.id == run_id and item.run.state == state:
                return item.run

    async def deleted(self) -> str:
        """The next one that is told to be deleted."""
        while not (item := await self.next()).HasField("deleted"):
            pass
        return item.deleted.id


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with serving(database_url) as served:
        await served.define()
        yield served


async def test_runs_as_they_stand_then_created_cancelled_deleted(api: Api) -> None:
    instance = await api.create_instance()
    first = await api.start_run(instance.id)
    seen = Picture(api.runs.WatchRuns(R.WatchRunsRequest()))
    (stood,) = await seen.synced()
    assert (stood.run.id, stood.run.state, stood.run.configuration_json) == (first.id, RunState.PENDING, "")

    second = await api.start_run(instance.id)
    assert (await seen.run()).id == second.id
    await api.record(second.id, log("no change of state"))
    await api.runs.CancelRun(R.CancelRunRequest(id=first.id, reason="enough"))
    run = await seen.run()
    assert (run.id, run.state, run.cancel_reason) == (first.id, RunState.CANCELLED, "enough")
    await api.runs.DeleteRun(R.DeleteRunRequest(id=first.id))
    assert (await seen.next()).deleted.id == first.id
    seen.call.cancel()


async def test_filters_and_view(api: Api) -> None:
    one, two = await api.create_instance(), await api.create_instance()
    ended = await api.start_run(one.id, team="a")
    await api.end(ended.id, RunState.COMPLETED)
    mine, other = await api.start_run(one.id, team="a"), await api.start_run(two.id)

    async def watched(**request: Any) -> list[str]:
        seen = Picture(api.runs.WatchRuns(R.WatchRunsRequest(**request)))
        stood = [item.run.id for item in await seen.synced()]
        seen.call.cancel()
        return stood

    assert await watched() == [other.id, mine.id, ended.id]
    assert await watched(active_only=True) == [other.id, mine.id]
    assert await watched(instance_id=two.id) == [other.id]
    assert await watched(labels={"team": "a"}) == [mine.id, ended.id]
    assert await watched(labels={"team": "a"}, active_only=True) == [mine.id]
    assert await watched(experiment="unknown") == []

    full = Picture(api.runs.WatchRuns(R.WatchRunsRequest(view=R.RUN_VIEW_FULL, instance_id=one.id, active_only=True)))
    (stood,) = await full.synced()
    assert stood.run.configuration_json == one.configuration_json
    await api.end(mine.id, RunState.FAILED)
    run = await full.run()
    assert (run.id, run.state, run.configuration_json) == (mine.id, RunState.FAILED, one.configuration_json)
    await api.end(other.id, RunState.FAILED)  # of another instance
    late = await api.start_run(one.id)
    assert (await full.run()).id == late.id
    full.call.cancel()


async def test_instances_as_they_stand_then_created_changed_run_deleted(api: Api) -> None:
    first = await api.create_instance(name="first")
    seen = Picture(api.instances.WatchInstances(I.WatchInstancesRequest()))
    (stood,) = await seen.synced()
    assert stood.instance == first
    second = await api.create_instance(name="second", paper="x")
    assert (await seen.next()).instance == second

    changed = instance_pb2.Instance(id=first.id, name="renamed")
    await api.instances.UpdateInstance(I.UpdateInstanceRequest(instance=changed, update_mask=FieldMask(paths=["name"])))
    assert (await seen.next()).instance.name == "renamed"
    run = await api.start_run(second.id)
    told = (await seen.next()).instance
    assert (told.id, told.run_count, told.last_run_state) == (second.id, 1, RunState.PENDING)
    await api.end(run.id, RunState.FAILED)
    assert (await seen.next()).instance.last_run_state == RunState.FAILED
    await api.instances.DeleteInstance(I.DeleteInstanceRequest(id=second.id))
    assert await seen.deleted() == second.id

    labelled = Picture(api.instances.WatchInstances(I.WatchInstancesRequest(labels={"paper": "x"})))
    assert await labelled.synced() == []
    seen.call.cancel()
    labelled.call.cancel()


async def test_a_deleted_instance_takes_its_runs_along_and_who_watches_one_of_them_is_told(api: Api) -> None:
    instance = await api.create_instance()
    made = [await api.start_run(instance.id) for _ in range(3)]
    for run in made:
        await api.end(run.id, RunState.COMPLETED)
    seen = Picture(api.runs.WatchRuns(R.WatchRunsRequest()))
    assert len(await seen.synced()) == 3
    await api.instances.DeleteInstance(I.DeleteInstanceRequest(id=instance.id))
    assert sorted([await seen.deleted() for _ in made]) == sorted(run.id for run in made)
    gone = await refused(api.runs.WatchRun(R.WatchRunRequest(id=made[0].id)))
    assert gone.code is StatusCode.NOT_FOUND
    seen.call.cancel()


async def test_a_run_that_is_followed_and_deleted_is_not_found(api: Api) -> None:
    """It has ended and all but the last of its log was sent when it is deleted."""
    instance = await api.create_instance()
    run = await api.start_run(instance.id)
    call = api.runs.WatchRun(R.WatchRunRequest(id=run.id))
    assert (await call.read()).run.id == run.id
    await call.read()

    def hide(tx: Transaction) -> None:
        runs.hide_run(tx, run.id)
        tx.wake(f"run:{run.id}")

    await api.orchestrator.database.write(hide)
    assert (await refused(call)).code is StatusCode.NOT_FOUND


async def test_a_stop_ends_them_with_unavailable_and_after_it_they_begin_again(database_url: str) -> None:
    async with serving(database_url) as api:
        await api.define()
        instance = await api.create_instance()
        run = await api.start_run(instance.id)
        calls = [api.runs.WatchRuns(R.WatchRunsRequest()), api.instances.WatchInstances(I.WatchInstancesRequest())]
        for call in calls:
            await Picture(call).synced()
        stopping = asyncio.create_task(api.orchestrator.stop())
        for call in calls:
            refusal = await refused(call)
            assert (refusal.code, refusal.message) == (
                StatusCode.UNAVAILABLE,
                "the orchestrator is stopping; go on from here when it is back",
            )
        await stopping
    async with serving(database_url) as api:
        seen = Picture(api.runs.WatchRuns(R.WatchRunsRequest()))
        assert [item.run.id for item in await seen.synced()] == [run.id]
        await api.end(run.id, RunState.FAILED)
        await seen.until(run.id, RunState.FAILED)
        seen.call.cancel()


async def test_a_reader_that_was_too_slow_is_told_to_begin_again(database_url: str) -> None:
    async with serving(database_url, timings=Timings(changes_kept=0.2, purge_interval=0.1, reaper_interval=0.1)) as api:
        await api.define()
        instance = await api.create_instance()
        made = [await api.start_run(instance.id) for _ in range(3)]
        watching = api.orchestrator.watches._watching
        items = watching.runs(ResourceFilter())  # not by way of gRPC, which reads ahead
        while Synced() not in await anext(items):
            pass
        await api.end(made[0].id, RunState.FAILED)
        await anext(items)
        await asyncio.sleep(0.3)
        for run in made[1:]:
            await api.end(run.id, RunState.FAILED)
            await asyncio.sleep(0.5)
        with pytest.raises(WatchOutrun):
            await anext(items)


@pytest.fixture
def url(postgresql_stock: PostgresqlStock) -> Any:
    name = postgresql_stock.take()
    yield postgresql_stock.server.url(name)
    postgresql_stock.give_back(name)


async def test_what_one_orchestrator_commits_a_watch_at_the_other_sees_without_waiting_for_a_poll(url: str) -> None:
    timings = Timings(poll=3600.0)
    async with serving(url, timings=timings) as one, serving(url, timings=timings) as two:
        await one.define()
        instance = await one.create_instance()
        seen = Picture(two.runs.WatchRuns(R.WatchRunsRequest()))
        instances = Picture(two.instances.WatchInstances(I.WatchInstancesRequest()))
        assert await seen.synced() == []
        assert len(await instances.synced()) == 1
        for _ in range(5):
            run = await one.start_run(instance.id)
            await seen.until(run.id, RunState.PENDING)
            await one.runs.CancelRun(R.CancelRunRequest(id=run.id))
            await seen.until(run.id, RunState.CANCELLED)
        while (await instances.next()).instance.run_count < 5:
            pass
        await one.runs.DeleteRun(R.DeleteRunRequest(id=run.id))
        assert await seen.deleted() == run.id
        seen.call.cancel()
        instances.call.cancel()


async def test_both_watch_what_both_commit_and_neither_misses_anything(url: str) -> None:
    """Two writers at once, and no wake-up is heard: what is passed over by a poll would stay unseen for ever."""
    timings = Timings(poll=0.05)
    async with serving(url, timings=timings) as one, serving(url, timings=timings) as two:
        await one.define()
        instances = [await one.create_instance() for _ in range(2)]
        for api in (one, two):
            api.orchestrator._wakeups.publish = lambda topics: None  # type: ignore[method-assign]
        pictures = [Picture(api.runs.WatchRuns(R.WatchRunsRequest())) for api in (one, two)]
        for picture in pictures:
            await picture.synced()

        async def work(api: Api, instance_id: str) -> list[str]:
            made = [(await api.start_run(instance_id)).id for _ in range(40)]
            await asyncio.gather(*(api.runs.CancelRun(R.CancelRunRequest(id=id)) for id in made))
            return made

        made = await asyncio.gather(work(one, instances[0].id), work(two, instances[1].id))
        wanted = {id for ids in made for id in ids}
        for picture in pictures:
            ended = {item.run.id for item in picture.items if item.run.state == RunState.CANCELLED}
            while ended < wanted:
                item = await picture.next()
                if item.run.state == RunState.CANCELLED:
                    ended.add(item.run.id)
            picture.call.cancel()
