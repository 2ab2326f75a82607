"""Two orchestrators on one PostgreSQL are one Athanor to their callers."""

import asyncio
from collections.abc import Iterator

import pytest
from athanor.v1 import instance_pb2, instance_service_pb2, run_service_pb2
from athanor_orchestrator.domain.records import RunState
from google.protobuf.field_mask_pb2 import FieldMask
from grpc import StatusCode, aio

from tests.support.api import log, refused, serving
from tests.support.databases import PostgresqlStock

I, R = instance_service_pb2, run_service_pb2  # noqa: E741


@pytest.fixture
def url(postgresql_stock: PostgresqlStock) -> Iterator[str]:
    name = postgresql_stock.take()
    yield postgresql_stock.server.url(name)
    postgresql_stock.give_back(name)


async def test_a_call_repeated_at_both_makes_one_thing(url: str) -> None:
    async with serving(url) as one, serving(url) as two:
        await one.define()
        create = I.CreateInstanceRequest(
            instance=instance_pb2.Instance(experiment="grid", name="once"), request_id="create"
        )
        made = await asyncio.gather(*((one, two)[n % 2].instances.CreateInstance(create) for n in range(30)))
        assert len({answer.instance.id for answer in made}) == 1
        assert all(answer == made[0] for answer in made)
        start = R.StartRunRequest(instance_id=made[0].instance.id, request_id="start")
        started = await asyncio.gather(*((one, two)[n % 2].runs.StartRun(start) for n in range(30)))
        assert all(answer == started[0] for answer in started)
        assert len((await two.runs.ListRuns(R.ListRunsRequest())).runs) == 1


async def test_of_two_who_change_one_instance_at_two_orchestrators_one_wins(url: str) -> None:
    async with serving(url) as one, serving(url) as two:
        await one.define()
        instance = await one.create_instance()

        def update(n: int) -> I.UpdateInstanceRequest:
            changed = instance_pb2.Instance(id=instance.id, etag=instance.etag, name=f"by {n}")
            return I.UpdateInstanceRequest(instance=changed, update_mask=FieldMask(paths=["name"]))

        calls = ((one, two)[n % 2].instances.UpdateInstance(update(n)) for n in range(10))
        done = await asyncio.gather(*calls, return_exceptions=True)
        lost = [each for each in done if isinstance(each, aio.AioRpcError)]
        assert len(lost) == 9
        assert {each.code() for each in lost} == {StatusCode.ABORTED}


async def test_of_a_start_and_a_deletion_at_the_same_time_one_is_refused(url: str) -> None:
    async with serving(url) as one, serving(url) as two:
        await one.define()
        for _ in range(10):
            instance = await one.create_instance()
            started, deleted = await asyncio.gather(
                one.runs.StartRun(R.StartRunRequest(instance_id=instance.id)),
                two.instances.DeleteInstance(I.DeleteInstanceRequest(id=instance.id)),
                return_exceptions=True,
            )
            assert isinstance(started, BaseException) != isinstance(deleted, BaseException)


async def test_a_watch_at_one_sees_what_the_other_commits_without_waiting_for_a_poll(url: str) -> None:
    async with serving(url) as one, serving(url) as two:
        await one.define()
        run = await one.start_run((await one.create_instance()).id)
        items = two.runs.WatchRun(R.WatchRunRequest(id=run.id))
        loop = asyncio.get_running_loop()
        seen: list[int] = []
        committed = loop.time()
        while len(seen) < 5:
            item = await items.read()
            if not item.batch.events:
                continue
            if seen:
                assert loop.time() - committed < 1.0
            seen += [event.sequence for event in item.batch.events]
            await one.record(run.id, log("live"))
            committed = loop.time()
        assert seen == list(range(1, len(seen) + 1))
        await one.runs.CancelRun(R.CancelRunRequest(id=run.id))
        states: list[int] = []
        while (item := await items.read()) is not aio.EOF:
            if item.HasField("run"):
                states.append(item.run.state)
        assert states[-1] == RunState.CANCELLED


async def test_a_run_deleted_at_one_is_gone_at_the_other(url: str) -> None:
    async with serving(url) as one, serving(url) as two:
        await one.define()
        run = await one.start_run((await one.create_instance()).id)
        await one.runs.CancelRun(R.CancelRunRequest(id=run.id))
        await one.runs.DeleteRun(R.DeleteRunRequest(id=run.id))
        assert (await refused(two.runs.GetRun(R.GetRunRequest(id=run.id)))).code is StatusCode.NOT_FOUND
