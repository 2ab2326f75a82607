"""The client over the real orchestrator, on both databases: what it tells callers is what the orchestrator means."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from athanor.client import (
    AlreadyExistsError,
    AsyncClient,
    Client,
    ConfigurationInvalidError,
    ConflictError,
    Event,
    EventBatch,
    EventFilter,
    EventKind,
    InvalidArgumentError,
    LogEntry,
    LogLevel,
    NotFoundError,
    OrchestratorRecord,
    PositionOutOfRangeError,
    RunLiveError,
    RunPolicy,
    RunState,
    RunTerminalError,
    RunUpdated,
)
from athanor.experiment import configuration
from athanor_orchestrator.domain import records
from athanor_orchestrator.engine.timings import Timings
from athanor_orchestrator.server import Orchestrator
from athanor_orchestrator.settings import Settings
from grpc import aio
from pydantic import BaseModel

from tests.support.api import Api, log, result, serving

COMPLETED = records.RunState.COMPLETED


def client_of(api: Api) -> AsyncClient:
    return AsyncClient(f"127.0.0.1:{api.orchestrator.port}")


async def test_everything_about_instances(database_url: str) -> None:
    async with serving(database_url) as api, client_of(api) as client:
        await api.define()
        made = await client.instances.create("grid", {"iterations": 5}, labels={"paper": "1"})
        assert made.name == "grid"
        assert made.configuration["iterations"] == 5
        assert made.configuration["temperature"] == 0.7, "defaults are filled in"
        assert await client.instances.get(made.id) == made

        changed = await client.instances.update(made.id, name="other", configuration={}, etag=made.etag)
        assert (changed.name, changed.labels) == ("other", {"paper": "1"})
        assert changed.configuration["iterations"] == 10
        with pytest.raises(ConflictError) as stale:
            await client.instances.update(made.id, name="late", etag=made.etag)
        assert stale.value.etag == changed.etag
        with pytest.raises(InvalidArgumentError):
            await client.instances.update(made.id)

        ids = [made.id] + [(await client.instances.create("grid")).id for _ in range(7)]
        assert [item.id async for item in client.instances.list(page_size=3)] == ids[::-1]
        assert [item.id async for item in client.instances.list(labels={"paper": "1"})] == [made.id]
        assert await client.instances.list(experiment="other").first() is None

        await client.instances.delete(made.id)
        await client.instances.delete(made.id, allow_missing=True)
        with pytest.raises(NotFoundError) as gone:
            await client.instances.get(made.id)
        assert (gone.value.resource, gone.value.id) == ("instance", made.id)


async def test_every_violation_of_a_configuration(database_url: str) -> None:
    wrong = {"iterations": 0, "model_pairs": [{"model_a": 3}], "unknown": 1}
    async with serving(database_url) as api, client_of(api) as client:
        await api.define()
        with pytest.raises(ConfigurationInvalidError) as caught:
            await client.instances.create("grid", wrong)
        assert caught.value.experiment == "grid"
        pointers = {violation.pointer for violation in caught.value.violations}
        assert {"/iterations", "/model_pairs/0/model_a"} <= pointers
        assert len(caught.value.violations) == 3

        answer = await client.experiments.validate("grid", wrong)
        assert {violation.pointer for violation in answer.violations} == pointers
        assert (await client.experiments.validate("grid")).configuration is not None
        with pytest.raises(NotFoundError, match="there is no experiment 'nothing'"):
            await client.instances.create("nothing")


class Pair(BaseModel):
    model: str = "a"


class Greeting(BaseModel):
    times: int = 3
    pair: Pair = Pair()


async def test_a_misspelt_name_is_refused_wherever_a_configuration_is_given(database_url: str) -> None:
    async with serving(database_url) as api, client_of(api) as client:
        await api.define("hello", Greeting.model_json_schema())  # open, as it was once described
        old = await client.instances.create("hello", {"tims": 3})
        await api.define("hello", configuration.schema(Greeting))
        good = await client.instances.create("hello", {"times": 4})
        wrong = {"tims": 3, "pair": {"modle": "b"}}
        said = {
            "/tims": "is not a field of this configuration; did you mean 'times'?",
            "/pair/modle": "is not a field of this configuration; did you mean 'model'?",
        }

        answer = await client.experiments.validate("hello", wrong)
        assert {violation.pointer: violation.description for violation in answer.violations} == said
        with pytest.raises(ConfigurationInvalidError) as created:
            await client.instances.create("hello", wrong)
        with pytest.raises(ConfigurationInvalidError) as updated:
            await client.instances.update(good.id, configuration=wrong)
        for caught in (created, updated):
            assert {violation.pointer: violation.description for violation in caught.value.violations} == said
        assert (await client.instances.get(good.id)).configuration == {"times": 4, "pair": {"model": "a"}}

        with pytest.raises(ConfigurationInvalidError) as started:
            await client.runs.start(old.id)
        assert [violation.pointer for violation in started.value.violations] == ["/tims"]
        await client.instances.update(old.id, configuration={"times": 3})
        await client.runs.start(old.id)


async def test_numbers_of_any_size_come_back_as_they_were(database_url: str) -> None:
    schema = {"type": "object", "properties": {"seed": {"type": "integer"}}}
    async with serving(database_url) as api, client_of(api) as client:
        await api.define(schema=schema)
        made = await client.instances.create("grid", {"seed": 2**200})
        assert (await client.instances.get(made.id)).configuration["seed"] == 2**200
        run = await client.runs.start(made.id, seed=2**64 - 1)
        assert (await client.runs.get(run.id)).seed == 2**64 - 1


async def test_everything_about_runs(database_url: str) -> None:
    async with serving(database_url) as api, client_of(api) as client:
        await api.define()
        instance = await client.instances.create("grid")
        run = await client.runs.start(instance.id, policy=RunPolicy(timeout=timedelta(minutes=5)), labels={"a": "b"})
        assert run.state is RunState.PENDING
        assert run.policy.timeout == timedelta(minutes=5)
        assert run.policy.max_attempts == 1
        with pytest.raises(RunLiveError) as live:
            await client.runs.delete(run.id)
        assert live.value.run_id == run.id
        with pytest.raises(RunLiveError):
            await client.instances.delete(instance.id)

        cancelled = await client.runs.cancel(run.id, reason="enough")
        assert cancelled.state is RunState.CANCELLED
        assert cancelled.cancel_reason == "enough"
        assert (await client.runs.wait(run.id)).state is RunState.CANCELLED
        assert (await client.runs.cancel(run.id)).state is RunState.CANCELLED, "again is harmless"

        other = await client.runs.start(instance.id)
        assert [item.id async for item in client.runs.list(page_size=1)] == [other.id, run.id]
        assert [item.id async for item in client.runs.list(states=[RunState.CANCELLED])] == [run.id]
        assert [item.id async for item in client.runs.list(labels={"a": "b"}, instance_id=instance.id)] == [run.id]
        assert [item.id async for item in client.runs.list(since=other.create_time)] == [other.id]
        assert [item.id async for item in client.runs.list(until=other.create_time, page_size=1)] == [run.id]
        assert [item.id async for item in instance.runs(until=other.create_time, limit=1)] == [run.id]
        assert len(await client.runs.list(since=timedelta(hours=1)).all()) == 2
        assert await client.runs.list(until=timedelta(hours=1)).all() == []
        full = await client.runs.list(full=True).first()
        assert full is not None
        assert full.configuration == instance.configuration
        assert (await client.instances.get(instance.id)).run_count == 2

        await api.end(other.id, COMPLETED)
        with pytest.raises(RunTerminalError) as terminal:
            await client.runs.cancel(other.id)
        assert terminal.value.state == "COMPLETED"
        await client.runs.delete(other.id)
        with pytest.raises(NotFoundError):
            await client.runs.get(other.id)


async def test_a_request_id_makes_one_thing(database_url: str) -> None:
    async with serving(database_url) as api, client_of(api) as client:
        await api.define()
        made = [await client.instances.create("grid", request_id="one") for _ in range(3)]
        assert len({instance.id for instance in made}) == 1
        with pytest.raises(AlreadyExistsError):
            await client.instances.create("grid", name="another", request_id="one")
        runs = await asyncio.gather(*(client.runs.start(made[0].id, request_id="run") for _ in range(5)))
        assert len({run.id for run in runs}) == 1


async def test_a_log_with_its_filters(database_url: str) -> None:
    async with serving(database_url) as api, client_of(api) as client:
        await api.define()
        run = await client.runs.start((await client.instances.create("grid")).id)
        await api.record(run.id, log("one", 10), log("two: x", 20), result("k", {"v": 2**70}), log("three", 40))
        assert [entry.message async for entry in client.runs.logs(run.id)] == ["one", "two: x", "three"]
        assert [entry.message async for entry in client.runs.logs(run.id, level=LogLevel.INFO)] == ["two: x", "three"]
        assert [entry.message async for entry in client.runs.logs(run.id, text=": x")] == ["two: x"]
        assert [entry.message async for entry in client.runs.logs(run.id, descending=True, limit=1)] == ["three"]
        assert [event.sequence async for event in client.runs.events(run.id, page_size=2)] == [1, 2, 3, 4, 5]
        [only] = await client.runs.results(run.id).all()
        assert (only.key, only.value, only.sequence) == ("k", {"v": 2**70}, 4)
        with pytest.raises(NotFoundError):
            await client.runs.events("01990000-0000-7000-8000-000000000000").all()


async def test_a_watch_from_the_start_from_the_middle_and_with_a_filter(database_url: str) -> None:
    async with serving(database_url) as api, client_of(api) as client:
        await api.define()
        run = await client.runs.start((await client.instances.create("grid")).id)
        await api.record(run.id, *(log(f"m{n}", 40 if n % 100 == 0 else 10) for n in range(1000)))

        async def watch(**options: Any) -> list[Event]:
            items = [item async for item in client.runs.watch(run.id, **options)]
            assert isinstance(items[0], RunUpdated)
            assert isinstance(items[-1], RunUpdated)
            assert items[-1].run.state is RunState.COMPLETED
            return [item for item in items if isinstance(item, Event)]

        errors = EventFilter(kinds=[EventKind.LOG], minimum_level=LogLevel.ERROR)
        async with asyncio.TaskGroup() as tasks:
            whole = tasks.create_task(watch())
            late = tasks.create_task(watch(after_sequence=900))
            few = tasks.create_task(watch(filter=errors))
            await asyncio.sleep(0.1)
            await api.record(run.id, *(log(f"later {n}") for n in range(500)))
            await api.end(run.id, COMPLETED)
        assert [event.sequence for event in whole.result()] == list(range(1, 1503))
        assert [event.sequence for event in late.result()] == list(range(901, 1503))
        shown = [event.message for event in few.result() if isinstance(event, LogEntry)]
        assert shown == [f"m{n}" for n in range(0, 1000, 100)]
        again = await watch(after_sequence=1500)
        assert [event.sequence for event in again] == [1501, 1502]
        with pytest.raises(PositionOutOfRangeError) as beyond:
            await anext(client.runs.watch(run.id, after_sequence=5000))
        assert beyond.value.last_sequence == 1502


@pytest.mark.parametrize("way", ["watch", "watch_batches"])
@pytest.mark.parametrize("grace", [0.0, 1.0])
async def test_a_watch_goes_on_over_restarts_of_the_orchestrator(database_url: str, grace: float, way: str) -> None:
    port = 0

    async def start() -> Orchestrator:
        settings = Settings(
            host="127.0.0.1",
            port=port,
            data=Path("/nonexistent"),
            database_url=database_url,
            stop_grace=grace,
            timings=Timings(),
        )
        orchestrator = Orchestrator(settings)
        await orchestrator.start()
        return orchestrator

    orchestrator = await start()
    port = orchestrator.port
    async with AsyncClient(f"127.0.0.1:{port}") as client, aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        api = Api(orchestrator, channel)
        await api.define()
        run = await client.runs.start((await client.instances.create("grid")).id)
        seen: list[int] = []
        interruptions: list[object] = []

        async def watch() -> RunState:
            async with getattr(client.runs, way)(run.id, on_interruption=interruptions.append) as watch:
                async for item in watch:
                    if isinstance(item, Event):
                        seen.append(item.sequence)
                    elif isinstance(item, EventBatch):
                        seen.extend(item.sequences)
            assert watch.run is not None
            return watch.run.state

        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(watch())
            for number in range(3):
                await api.record(run.id, *(log(f"{number}.{n}") for n in range(200)))
                async with asyncio.timeout(20):
                    while len(seen) < 1 + 200 * (number + 1):
                        await asyncio.sleep(0.01)
                await orchestrator.stop()
                orchestrator = api.orchestrator = await start()
            await api.end(run.id, COMPLETED)
        assert watching.result() is RunState.COMPLETED
        assert seen == list(range(1, 603))
        assert len(interruptions) >= 3
    await orchestrator.stop()


async def test_which_orchestrator_answers_and_whether_it_can_work(database_url: str) -> None:
    def blocking(target: str) -> tuple[OrchestratorRecord, bool]:
        with Client(target) as client:
            return client.orchestrator(), client.healthy()

    kind = "SQLite" if database_url.startswith("sqlite") else "PostgreSQL"
    async with serving(database_url) as api, client_of(api) as client:
        assert await client.orchestrator() == OrchestratorRecord("0.1.0", kind)
        assert await client.healthy()
        assert await asyncio.to_thread(blocking, client.target) == (OrchestratorRecord("0.1.0", kind), True)

        await api.orchestrator._health.say(False)
        assert not await client.healthy()
        assert (await client.orchestrator()).database == kind
