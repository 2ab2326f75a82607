"""What the client gives, as objects with methods: over a real connection, awaited."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import athanor
import grpc
import IPython.display
import pytest
from athanor.client import (
    AsyncClient,
    AsyncRun,
    ConflictError,
    EventBatch,
    NotFoundError,
    RunLiveError,
    RunState,
    RunTerminalError,
    WaitTimeoutError,
)
from athanor.v1 import run_pb2

from tests.support.fake_orchestrator import FakeOrchestrator, Refusal


@pytest.fixture
async def fake() -> AsyncIterator[FakeOrchestrator]:
    fake = FakeOrchestrator()
    await fake.start()
    fake.add_experiment("hello", configuration_schema_json='{"type":"object"}')
    yield fake
    await fake.kill()


@pytest.fixture
async def client(fake: FakeOrchestrator) -> AsyncIterator[AsyncClient]:
    async with athanor.connect_async(fake.target) as client:
        yield client


async def running(client: AsyncClient, fake: FakeOrchestrator) -> AsyncRun:
    kept = fake.add_run()
    fake.begin(kept)
    return await client.runs.get(kept.run.id)


async def test_from_an_experiment_to_the_end_of_its_run(client, fake):
    experiment = await client.experiments.get("hello")
    instance = await experiment.create_instance({"n": 1}, name="mine")
    assert [other.id async for other in experiment.instances()] == [instance.id]
    run = await instance.start(seed=7)
    assert (run.seed, run.instance_id) == (7, instance.id)
    assert [other.id async for other in instance.runs()] == [run.id]
    assert await run.instance() == instance

    kept = fake.runs[run.id]
    fake.begin(kept)
    fake.log(kept, "one", 10)
    fake.log(kept, "two", 30)
    assert (await run.refresh()) is run
    assert run.state is RunState.RUNNING
    assert [entry.message async for entry in run.logs(level="warn")] == ["two"]
    assert [event.sequence async for event in run.events()] == [1, 2, 3, 4]
    fake.end(kept)
    assert [entry.message async for entry in run.logs(follow=True)] == ["one", "two"]
    assert run.state is RunState.COMPLETED
    assert (await run.wait()) is run
    await run.delete()
    with pytest.raises(NotFoundError):
        await run.refresh()
    await instance.delete()


async def test_objects_do_where_ids_are_asked_for(client, fake):
    instance = await client.instances.create(await client.experiments.get("hello"))
    run = await client.runs.start(instance)
    fake.log(fake.runs[run.id], "one")
    assert (await client.instances.get(instance)) == instance
    assert (await client.runs.get(run)) == await client.runs.get(run.id)
    assert [entry.message async for entry in client.runs.logs(run)] == ["one"]
    assert [other.id async for other in client.runs.list(instance_id=instance, experiment="hello")] == [run.id]
    await client.runs.cancel(run)
    assert fake.called("CancelRun")[0].id == run.id


async def test_numbers_of_any_size_go_to_the_orchestrator_and_back(client, fake):
    instance = await client.instances.create("hello", {"n": 10**5000})
    again = await client.instances.create("hello", instance.configuration)
    assert again.configuration == {"n": 10**5000}
    assert (await again.update(configuration={"n": -(10**5000)})).configuration == {"n": -(10**5000)}


async def test_an_instance_is_changed_only_as_it_was_read(client, fake):
    instance = await client.instances.create("hello")
    assert (await instance.update(labels={"a": "b"})) is instance
    assert instance.labels == {"a": "b"}
    fake.refusals["UpdateInstance"] = [Refusal(grpc.StatusCode.ABORTED, "changed", "ETAG_MISMATCH", {"etag": "9"})]
    with pytest.raises(ConflictError):
        await instance.update(name="x", etag=instance.etag)


async def test_waiting_ends_when_the_time_is_over_and_leaves_the_run_alone(client, fake):
    run = await running(client, fake)
    with pytest.raises(WaitTimeoutError, match=f"run {run.id} has not ended within 0.1 s; it goes on"):
        await run.wait(0.1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(run.wait(), 0.1)
    assert fake.called("CancelRun") == []


@pytest.mark.parametrize("timeout", [0, 1e-9])
async def test_a_run_that_has_ended_is_no_timeout_however_short_the_wait(client, fake, timeout):
    run = await running(client, fake)
    fake.end(fake.runs[run.id])
    assert (await run.wait(timeout)).state is RunState.COMPLETED


async def test_when_the_time_is_over_nobody_waits_for_an_orchestrator_that_is_away(client, fake):
    run = await running(client, fake)
    await fake.kill()
    begun = time.monotonic()
    with pytest.raises(WaitTimeoutError):
        await run.wait(0)
    assert time.monotonic() - begun < 5
    await fake.start()


async def test_waiting_for_a_run_that_is_gone_says_so(client, fake):
    run = await running(client, fake)
    del fake.runs[run.id]
    with pytest.raises(NotFoundError):
        await run.wait(0)


async def test_one_run_is_compared_by_itself_and_an_instance_is_none(client, fake):
    instance = await client.instances.create("hello")
    run = await instance.start()
    assert [row.run.id for row in (await client.runs.compare(run)).rows] == [run.id]
    for ask in (client.runs.compare([instance]), client.runs.compare(instance), client.runs.get(instance)):
        with pytest.raises(TypeError, match="an instance is given where a run is asked for"):
            await ask


async def test_none_is_no_filter(client, fake):
    run = await (await client.instances.create("hello")).start()
    listed = client.runs.list(experiment=None, instance_id=None, states=None, labels=None)
    assert [one.id async for one in listed] == [run.id]
    assert len(await client.instances.list(experiment=None).all()) == 1


async def test_cancelling_can_wait_for_the_end(client, fake):
    run = await running(client, fake)
    assert (await run.cancel("enough")) is run
    assert run.cancel_request_time is not None
    assert not run.ended
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(run.cancel(wait=10))
        await asyncio.sleep(0.05)
        fake.end(fake.runs[run.id], run_pb2.RUN_STATE_CANCELLED)
    assert waiting.result() is run
    assert run.state is RunState.CANCELLED

    done = await running(client, fake)
    fake.end(fake.runs[done.id])
    with pytest.raises(RunTerminalError):
        await done.cancel()


async def test_a_run_that_is_live_is_not_deleted(client, fake):
    run = await running(client, fake)
    fake.refusals["DeleteRun"] = [Refusal(grpc.StatusCode.FAILED_PRECONDITION, "live", "RUN_LIVE", {"run_id": run.id})]
    with pytest.raises(RunLiveError):
        await run.delete()


async def test_a_listed_run_gets_its_configuration_by_being_refreshed(client, fake):
    fake.add_run()
    run = await client.runs.list().first()
    assert run is not None
    with pytest.raises(LookupError, match="refresh it, or list with full=True"):
        _ = run.configuration
    assert (await run.refresh()).configuration == {}


async def test_results_are_those_that_stand_all_pages_of_them(client, fake):
    run = await running(client, fake)
    for number in range(5):
        fake.result(fake.runs[run.id], "score", str(number))
    assert await run.results() == {"score": [0, 1, 2, 3, 4]}


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_events_are_exported_as_they_are_by_now_or_to_the_end(client, fake, tmp_path):
    run = await running(client, fake)
    kept = fake.runs[run.id]
    fake.log(kept, "one")
    assert await run.export(tmp_path / "log.jsonl", what="events") == 3
    assert [event["sequence"] for event in lines(tmp_path / "log.jsonl")] == [1, 2, 3]

    async with asyncio.TaskGroup() as tasks:
        exporting = tasks.create_task(run.export(tmp_path / "all", what="events", format="jsonl", follow=True))
        await asyncio.sleep(0.05)
        fake.log(kept, "two")
        fake.end(kept)
    assert exporting.result() == kept.run.last_sequence
    exported = lines(tmp_path / "all")
    assert [event["sequence"] for event in exported] == list(range(1, kept.run.last_sequence + 1))
    assert [event["message"] for event in exported if "message" in event] == ["one", "two"]


async def test_an_export_that_is_broken_off_says_where_what_was_written_is(client, fake, tmp_path):
    run = await running(client, fake)
    exporting = asyncio.create_task(run.export(tmp_path / "log.jsonl", what="events", follow=True))
    await asyncio.sleep(0.05)
    exporting.cancel()
    with pytest.raises(asyncio.CancelledError) as broken:
        await exporting
    assert broken.value.__notes__ == [
        f"the 2 events that were exported before that are in {tmp_path}/log.partial.jsonl"
    ]
    assert fake.called("CancelRun") == []


async def test_results_are_exported_as_they_stand_after_the_end_when_followed(client, fake, tmp_path):
    run = await running(client, fake)
    kept = fake.runs[run.id]
    fake.result(kept, "score", "1")
    assert await run.export(tmp_path / "r.csv") == 1
    async with asyncio.TaskGroup() as tasks:
        exporting = tasks.create_task(run.export(tmp_path / "r.jsonl", follow=True))
        await asyncio.sleep(0.05)
        fake.result(kept, "score", "2")
        fake.end(kept)
    assert exporting.result() == 2
    assert [result["value"] for result in lines(tmp_path / "r.jsonl")] == [1, 2]


async def test_an_export_into_no_known_format_fails_before_anything_is_asked(client, fake):
    run = await running(client, fake)
    with pytest.raises(ValueError, match="does not say in which format: choose one of jsonl, csv, parquet"):
        await run.export("somewhere.xyz")
    assert fake.called("ListResults") == []


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a notebook shows below its cell, one behind the other."""
    shown = list[str]()

    def show(view: Any, *, display_id: bool = False) -> Any:
        shown.append(view._repr_html_())
        return SimpleNamespace(update=show) if display_id else None

    monkeypatch.setattr(IPython.display, "display", show)
    return shown


async def test_a_run_is_shown_live_to_its_end_while_the_event_loop_goes_on(client, fake, shown):
    run = await running(client, fake)
    kept = fake.runs[run.id]
    async with asyncio.TaskGroup() as tasks:
        showing = tasks.create_task(run.live(interval=0.01))
        await asyncio.sleep(0.05)
        fake.log(kept, "one step")
        while "one step" not in shown[-1]:
            await asyncio.sleep(0.01)
        fake.end(kept)
    assert showing.result() is run
    assert run.state is RunState.COMPLETED
    assert "COMPLETED" in shown[-1]


async def test_cancelling_a_live_view_leaves_the_run_alone(client, fake, shown):
    run = await running(client, fake)
    showing = asyncio.create_task(run.live())
    await asyncio.sleep(0.05)
    showing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await showing
    assert "no longer watched: the run goes on" in shown[-1]
    assert fake.called("CancelRun") == []


async def test_batches_are_watched_and_the_run_is_up_to_date_behind_it(client, fake):
    run = await running(client, fake)
    fake.end(fake.runs[run.id])
    counts = [len(item) async for item in run.watch_batches() if isinstance(item, EventBatch)]
    assert sum(counts) == 4
    assert run.ended


def test_a_client_is_made_before_its_event_loop_and_belongs_to_the_one_that_uses_it():
    fake = FakeOrchestrator()

    async def use(client: AsyncClient) -> str:
        return (await client.experiments.get("hello")).name

    async def close(client: AsyncClient) -> None:
        await client.aclose()
        await fake.kill()

    with asyncio.Runner() as here, asyncio.Runner() as elsewhere:
        here.run(fake.start())
        fake.add_experiment("hello", configuration_schema_json='{"type":"object"}')
        client = athanor.connect_async(fake.target)
        assert here.run(use(client)) == "hello"
        assert here.run(use(client)) == "hello"
        with pytest.raises(RuntimeError, match="was used in another event loop and belongs to it: make one for each"):
            elsewhere.run(use(client))
        with pytest.raises(RuntimeError, match="was used in another event loop"):
            elsewhere.run(client.aclose())
        here.run(close(client))
        with pytest.raises(RuntimeError, match="this client has been closed"):
            here.run(use(client))


async def test_what_is_watched_says_so_when_its_client_has_been_closed(client, fake):
    run = await running(client, fake)
    watch = run.watch()
    await anext(watch)
    waiting = asyncio.create_task(run.wait())
    await asyncio.sleep(0.05)
    await client.aclose()
    with pytest.raises(RuntimeError, match="this client has been closed"):
        await waiting
    with pytest.raises(RuntimeError, match="this client has been closed"):
        _ = [item async for item in watch]
    with pytest.raises(RuntimeError, match="this client has been closed"):
        await run.refresh()
