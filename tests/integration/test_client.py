"""The client over a real connection, against an orchestrator that does what the test tells it to."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, timedelta

import grpc
import pytest
from athanor.client import (
    AsyncClient,
    Begun,
    ConfigurationInvalidError,
    ConflictError,
    DeadlineExceededError,
    EventFilter,
    EventKind,
    InstanceChanged,
    InstanceDeleted,
    LogEntry,
    LogLevel,
    NotFoundError,
    PositionOutOfRangeError,
    Progress,
    ProgressUpdated,
    RunChanged,
    RunDeleted,
    RunnerConnectedError,
    RunPolicy,
    RunState,
    RunTerminalError,
    RunUpdated,
    Synced,
    UnavailableError,
)
from athanor.client.events import Event
from athanor.v1 import experiment_service_pb2, instance_service_pb2, run_pb2, run_service_pb2, runner_pb2

from tests.support.fake_orchestrator import FakeOrchestrator, Refusal

AWAY = Refusal(grpc.StatusCode.UNAVAILABLE, "Socket closed")


@pytest.fixture
async def fake() -> AsyncIterator[FakeOrchestrator]:
    fake = FakeOrchestrator()
    await fake.start()
    fake.add_experiment("hello", configuration_schema_json='{"type":"object"}')
    yield fake
    if fake.server:
        await fake.kill()


@pytest.fixture
async def client(fake: FakeOrchestrator) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(fake.target) as client:
        yield client


async def test_instances_from_creation_to_deletion(client, fake):
    big = 2**70
    made = await client.instances.create("hello", {"n": big, "x": [1, {"y": None}]}, name="mine", labels={"a": "b"})
    assert made.configuration == {"n": big, "x": [1, {"y": None}]}
    assert made.create_time is not None
    assert made.create_time.tzinfo is UTC
    assert await client.instances.get(made.id) == made

    changed = await client.instances.update(made.id, name="other", labels={}, etag=made.etag)
    assert (changed.name, changed.labels, changed.configuration) == ("other", {}, made.configuration)
    [request] = fake.called("UpdateInstance")
    assert list(request.update_mask.paths) == ["name", "labels"]
    assert request.instance.etag == made.etag

    await client.instances.delete(made.id)
    with pytest.raises(NotFoundError) as caught:
        await client.instances.get(made.id)
    assert (caught.value.resource, caught.value.id) == ("instance", made.id)


async def test_a_creating_call_that_breaks_is_made_again_with_the_same_request_id(client, fake):
    fake.refusals["CreateInstance"] = [AWAY, AWAY]
    await client.instances.create("hello")
    ids = [request.request_id for request in fake.called("CreateInstance")]
    assert len(ids) == 3
    assert len(set(ids)) == 1
    assert 0 < len(ids[0]) <= 64
    assert len(fake.instances) == 1


async def test_two_creating_calls_have_two_request_ids(client, fake):
    await client.instances.create("hello")
    await client.instances.create("hello")
    assert len({request.request_id for request in fake.called("CreateInstance")}) == 2


async def test_a_request_id_of_the_caller_is_kept(client, fake):
    instance = await client.instances.create("hello", request_id="mine")
    first = await client.runs.start(instance.id, request_id="run-1")
    again = await client.runs.start(instance.id, request_id="run-1")
    assert first.id == again.id
    assert fake.called("CreateInstance")[0].request_id == "mine"


@pytest.mark.parametrize("method", ["DeleteRun", "DeleteInstance"])
async def test_a_deletion_is_not_made_again_unless_missing_is_fine(client, fake, method):
    # The first try may have been carried out: a second would say that there is no such thing.
    part = client.runs if method == "DeleteRun" else client.instances
    fake.refusals[method] = [AWAY]
    with pytest.raises(UnavailableError):
        await part.delete("x")
    assert len(fake.called(method)) == 1
    fake.refusals[method] = [AWAY]
    with pytest.raises(NotFoundError):
        await part.delete("x", allow_missing=True)
    assert len(fake.called(method)) == 3


async def test_an_update_with_an_etag_is_not_made_again(client, fake):
    made = await client.instances.create("hello")
    fake.refusals["UpdateInstance"] = [AWAY]
    with pytest.raises(UnavailableError):
        await client.instances.update(made.id, name="x", etag=made.etag)
    fake.refusals["UpdateInstance"] = [AWAY]
    await client.instances.update(made.id, name="x")


async def test_a_call_survives_a_restart_of_the_orchestrator(client, fake):
    await client.experiments.get("hello")
    await fake.kill()

    async def come_back() -> None:
        await asyncio.sleep(0.3)
        await fake.start()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(come_back())
        assert (await client.experiments.get("hello")).name == "hello"


async def test_an_orchestrator_that_is_away_is_named_with_advice():
    fake = FakeOrchestrator()
    await fake.start()
    await fake.kill()
    async with AsyncClient(fake.target, retry_for=0.3) as client:
        with pytest.raises(UnavailableError, match=f"{fake.target} is not available: connection refused") as caught:
            await client.experiments.get("hello")
        assert "athanor up" in caught.value.advice
        with pytest.raises(UnavailableError):
            async for _ in client.runs.watch("r"):
                pass


async def test_a_call_without_an_answer_ends_at_its_deadline(client, fake, monkeypatch):
    async def hang(method, request, context):
        await asyncio.sleep(30)

    monkeypatch.setattr(fake, "enter", hang)
    with pytest.raises(DeadlineExceededError, match=r"did not answer within 0\.2 s"):
        await client.runs.get("x", timeout=0.2)


async def test_cancelling_a_call_is_cancelling(client, fake, monkeypatch):
    entered = asyncio.Event()

    async def hang(method, request, context):
        entered.set()
        await asyncio.sleep(30)

    monkeypatch.setattr(fake, "enter", hang)
    task = asyncio.create_task(client.runs.get("x"))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_every_violation_of_a_configuration_arrives(client, fake):
    fake.refusals["CreateInstance"] = [
        Refusal(
            grpc.StatusCode.INVALID_ARGUMENT,
            "2 violations",
            "CONFIGURATION_INVALID",
            {"experiment": "hello"},
            violations=(
                ("instance.configuration_json/a", "too small"),
                ("instance.configuration_json/b/0", "a string"),
            ),
        )
    ]
    with pytest.raises(ConfigurationInvalidError) as caught:
        await client.instances.create("hello", {"a": 0})
    assert [(v.pointer, v.description) for v in caught.value.violations] == [("/a", "too small"), ("/b/0", "a string")]


async def test_conflicts_and_wrong_states(client, fake):
    fake.refusals["UpdateInstance"] = [Refusal(grpc.StatusCode.ABORTED, "changed", "ETAG_MISMATCH", {"etag": "9"})]
    with pytest.raises(ConflictError):
        await client.instances.update("i", name="x", etag="1")
    run = fake.add_run()
    fake.end(run)
    with pytest.raises(RunTerminalError) as caught:
        await client.runs.cancel(run.run.id)
    assert caught.value.state == "COMPLETED"


async def test_experiments(client, fake):
    fake.discovery_errors.append(
        experiment_service_pb2.DiscoveryError(runner_id="x", module="broken", error="SyntaxError")
    )
    for n in range(5):
        fake.add_experiment(f"e{n}")
    assert [e.name async for e in client.experiments.list(page_size=2)] == ["e0", "e1", "e2", "e3", "e4", "hello"]
    assert [error.module for error in await client.experiments.discovery_errors()] == ["broken"]
    good = await client.experiments.validate("hello", {"times": 3})
    assert good.valid
    assert good.configuration == {"times": 3}
    bad = await client.experiments.validate("hello", {"times": "bad"})
    assert not bad.valid
    assert bad.configuration is None
    assert bad.violations[0].pointer == "/times"


async def test_starting_says_policy_seed_and_labels(client, fake):
    instance = await client.instances.create("hello")
    run = await client.runs.start(
        instance.id, policy=RunPolicy(timeout=timedelta(minutes=5)), seed=2**64 - 1, labels={"k": "v"}
    )
    assert (run.state, run.seed, run.labels) == (RunState.PENDING, 2**64 - 1, {"k": "v"})
    assert run.policy.timeout == timedelta(minutes=5)


async def test_listing_runs_filters_and_pages(client, fake):
    for _ in range(3):
        fake.end(fake.add_run())
    waiting = fake.add_run()
    assert len(await client.runs.list(page_size=2).all()) == 4
    assert [run.id async for run in client.runs.list(states=[RunState.PENDING])] == [waiting.run.id]
    assert len(await client.runs.list(limit=2).all()) == 2
    assert fake.called("ListRuns")[-1].page_size == 2
    # What `until` leaves out does not make the pages small.
    assert len(await client.runs.list(limit=2, until=timedelta(0)).all()) == 2
    assert fake.called("ListRuns")[-1].page_size == 1000
    full = await client.runs.list(full=True, limit=1).first()
    assert full is not None
    assert full.configuration == {}


async def test_logs_events_and_results_of_a_run(client, fake):
    run = fake.add_run()
    fake.begin(run)
    fake.log(run, "one", 10)
    fake.log(run, "two", 30, metadata_json='{"i": 2}')
    fake.result(run, "score", "0.5")
    fake.end(run)
    id = run.run.id
    assert [event.sequence async for event in client.runs.events(id, page_size=2)] == [1, 2, 3, 4, 5, 6, 7]
    assert [event.sequence async for event in client.runs.events(id, after_sequence=5)] == [6, 7]
    assert [entry.message async for entry in client.runs.logs(id, level=LogLevel.WARN)] == ["two"]
    [newest] = await client.runs.logs(id, descending=True, limit=1).all()
    assert newest.message == "two"
    assert newest.metadata == {"i": 2}
    assert [(result.key, result.value) async for result in client.runs.results(id)] == [("score", 0.5)]
    assert await client.runs.results(id, key="other").all() == []


async def test_runners(client, fake):
    fake.runners["x"] = runner_pb2.Runner(id="x", display_name="box", slots=2, connected=True)
    [runner] = await client.runners.list().all()
    assert (await client.runners.get("x")) == runner


async def test_a_runner_is_drained_undrained_and_given_up(client, fake):
    fake.runners["x"] = runner_pb2.Runner(id="x", connected=True, run_ids=["r1", "r2"])
    fake.refusals["DrainRunner"] = [AWAY]
    assert (await client.runners.drain("x")).draining
    assert not (await client.runners.undrain("x")).draining
    with pytest.raises(RunnerConnectedError) as caught:
        await client.runners.forget("x")
    assert caught.value.runner_id == "x"
    fake.runners["x"].connected = False
    assert await client.runners.forget("x") == ("r1", "r2")
    for call in (client.runners.drain, client.runners.undrain, client.runners.forget):
        with pytest.raises(NotFoundError):
            await call("y")

    # Made again it would answer with fewer runs than it ended.
    fake.refusals["ForgetRunner"] = [AWAY]
    with pytest.raises(UnavailableError):
        await client.runners.forget("x")


async def test_watching_all_runs_goes_on_over_a_restart(client, fake):
    fake.send("WatchRuns", run_of("a"), run_service_pb2.WatchRunsResponse(synced={}))
    async with client.runs.watch_all(experiment="hello", labels={"k": "v"}, active_only=True) as watch:
        assert [type(await anext(watch)) for _ in range(3)] == [Begun, RunChanged, Synced]
        fake.send("WatchRuns", run_service_pb2.WatchRunsResponse(deleted={"id": "a"}))
        assert await anext(watch) == RunDeleted("a")
        await fake.kill()
        fake.watched["WatchRuns"] = [run_of("b"), run_service_pb2.WatchRunsResponse(synced={})]
        await fake.start()
        assert await anext(watch) == Begun()
        item = await anext(watch)
        assert isinstance(item, RunChanged)
        assert item.run.id == "b"
    [request, *_] = fake.called("WatchRuns")
    assert (request.experiment, dict(request.labels), request.active_only) == ("hello", {"k": "v"}, True)
    assert request.view == run_service_pb2.RUN_VIEW_BASIC


def run_of(id: str):
    return run_service_pb2.WatchRunsResponse(run={"id": id, "state": run_pb2.RUN_STATE_RUNNING})


async def test_watching_all_instances(client, fake):
    response = instance_service_pb2.WatchInstancesResponse
    fake.send("WatchInstances", response(instance={"id": "i"}), response(synced={}), response(deleted={"id": "i"}))
    async with client.instances.watch_all(experiment="hello", labels={"k": "v"}) as watch:
        items = [await anext(watch) for _ in range(4)]
    assert [type(item) for item in items] == [Begun, InstanceChanged, Synced, InstanceDeleted]
    [request] = fake.called("WatchInstances")
    assert (request.experiment, dict(request.labels)) == ("hello", {"k": "v"})


async def test_watching_a_run_live(client, fake):
    run = fake.add_run()
    seen = asyncio.Queue[object]()

    async def watch() -> None:
        async for item in client.runs.watch(run.run.id):
            seen.put_nowait(item)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watch())
        assert isinstance(await seen.get(), RunUpdated)
        assert (await seen.get()).sequence == 1
        fake.begin(run)
        assert (await seen.get()).run.state is RunState.RUNNING
        assert (await seen.get()).sequence == 2
        run.progress = run_pb2.Progress(current=1, total=2)
        fake.touch(run)
        assert (await seen.get()) == ProgressUpdated(Progress(1, 2))
        fake.log(run, "hello")
        entry = await seen.get()
        assert isinstance(entry, LogEntry)
        assert entry.message == "hello"
        fake.end(run)
        assert [(await seen.get()).sequence for _ in range(2)] == [4, 5]
        assert (await seen.get()).run.state is RunState.COMPLETED
    assert seen.empty()


async def test_a_watch_survives_restarts_of_the_orchestrator_and_cuts_without_a_gap_or_a_repetition(client, fake):
    run = fake.add_run()
    fake.begin(run)
    seen: list[int] = []
    interruptions = []

    async def watch() -> None:
        async for item in client.runs.watch(run.run.id, on_interruption=interruptions.append):
            if isinstance(item, Event):
                seen.append(item.sequence)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watch())
        for round in range(6):
            before = run.run.last_sequence
            for n in range(50):
                fake.log(run, f"{round}.{n}")
            # Only a stream that flows can be cut: between two tries nobody would notice.
            await until(lambda: len(seen) > before)  # noqa: B023
            noticed = len(interruptions)
            if round % 2:
                fake.refusals["WatchRun.middle"].append(AWAY)
                fake.touch(run)
            else:
                await fake.kill()
                for n in range(7):
                    fake.log(run, f"while away {n}")
                await fake.start()
            await until(lambda: len(interruptions) > noticed)  # noqa: B023
        fake.end(run)
    assert seen == list(range(1, run.run.last_sequence + 1))
    assert len(interruptions) >= 6


async def test_a_watch_goes_on_from_any_position_with_a_filter(client, fake):
    run = fake.add_run()
    fake.begin(run)
    for n in range(20):
        fake.log(run, f"m{n}", 40 if n % 10 == 0 else 10)
    fake.end(run)
    only = EventFilter(kinds=[EventKind.LOG], minimum_level=LogLevel.ERROR)
    items = [item async for item in client.runs.watch(run.run.id, after_sequence=5, filter=only)]
    assert [item.message for item in items if isinstance(item, LogEntry)] == ["m10"]
    assert isinstance(items[-1], RunUpdated)


async def test_a_watch_beyond_the_log_or_of_nothing_is_an_error(client, fake):
    run = fake.add_run()
    with pytest.raises(PositionOutOfRangeError) as caught:
        await anext(client.runs.watch(run.run.id, after_sequence=5))
    assert caught.value.last_sequence == 1
    with pytest.raises(NotFoundError):
        await anext(client.runs.watch("nothing"))


async def test_cancelling_a_watch_ends_the_watching_only(client, fake):
    run = fake.add_run()
    started = asyncio.Event()

    async def watch() -> None:
        async for _ in client.runs.watch(run.run.id):
            started.set()

    task = asyncio.create_task(watch())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert fake.called("CancelRun") == []
    assert (await client.runs.get(run.run.id)).state is RunState.PENDING


async def test_waiting_for_the_end(client, fake):
    run = fake.add_run()

    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(client.runs.wait(run.run.id))
        await until(lambda: fake.called("WatchRun"))
        fake.begin(run)
        fake.end(run, run_pb2.RUN_STATE_FAILED, run_pb2.Failure(kind=1, message="boom"))
    ended = await waiting
    assert ended.state is RunState.FAILED
    assert ended.failure is not None
    assert ended.failure.message == "boom"


async def test_a_closed_client_says_so(fake):
    async with AsyncClient(fake.target) as client:
        await client.experiments.get("hello")
    with pytest.raises(RuntimeError, match="has been closed"):
        await client.experiments.get("hello")
    with pytest.raises(RuntimeError, match="has been closed"):
        await anext(client.runs.watch("r"))


async def test_a_large_event_arrives(client, fake):
    run = fake.add_run()
    fake.begin(run)
    fake.result(run, "large", '"' + "x" * (1024 * 1024 - 100) + '"')
    fake.end(run)
    [result] = await client.runs.results(run.run.id).all()
    assert len(result.value) == 1024 * 1024 - 100
    async for _ in client.runs.watch(run.run.id):
        pass


async def until(condition) -> None:
    """Wait for something that another task does."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)
