"""Following a run: every event once and in order, whatever happens to wake-ups and however slow the reader is."""

import asyncio
import itertools
import random
from contextlib import ExitStack

import pytest
from athanor.v1 import run_event_pb2, run_pb2, run_service_pb2
from athanor_orchestrator.domain.clock import SystemClock
from athanor_orchestrator.domain.errors import NotFound, PositionOutOfRange, StorageUnavailable
from athanor_orchestrator.domain.records import EventFilter, EventKind, Progress, RunState
from athanor_orchestrator.engine import subscription
from athanor_orchestrator.engine.messages import Delivery
from athanor_orchestrator.engine.subscription import BATCH_BYTES, BatchItem, PositionItem, ProgressItem, RunItem
from athanor_orchestrator.engine.timings import Timings
from athanor_orchestrator.storage import runs

from tests.support.orchestrated import EXPERIMENT, Orchestrated, answered
from tests.support.runner_script import hello
from tests.support.virtual_time import virtual_time

ALL = EventFilter()
LOGS = EventFilter(kinds=frozenset({EventKind.LOG}))


class Live:
    """A run that a runner holds, and what it delivers."""

    def __init__(self, at: Orchestrated) -> None:
        self.at = at

    async def open(self) -> "Live":
        self.run_id = self.at.new_run()
        self.session = await self.at.connect(hello(), EXPERIMENT)
        _, self.script = await self.at.take_up(self.session)
        self.stream = await self.at.side.intake.open(self.session)
        await answered(self.stream)
        return self

    async def send(self, *events: bytes, progress: Progress | None = None) -> None:
        said = () if progress is None else ((self.script.lease_id, progress),)
        batches = (self.script.batch(*events),) if events else ()
        await self.at.side.intake.deliver(self.stream, Delivery(batches, said))
        if events:
            await answered(self.stream)

    async def end(self) -> None:
        await self.send(self.script.ended())


def events_of(item: object) -> list[run_event_pb2.RunEvent]:
    return (
        list(run_service_pb2.WatchRunResponse.FromString(item.message).batch.events)
        if isinstance(item, BatchItem)
        else []
    )


def numbers(items: list) -> list[int]:
    return [event.sequence for item in items for event in events_of(item)]


async def read_all(at: Orchestrated, run_id: str, after: int = 0, filter: EventFilter = ALL) -> list:
    return [item async for item in at.subscriptions.follow(run_id, after, filter)]


@virtual_time
async def test_a_run_that_has_ended_is_replayed_between_two_pictures_of_it(orchestrate):
    at = orchestrate()
    async with at.running():
        live = await Live(at).open()
        await live.send(live.script.started(), *live.script.logs(5))
        await live.end()
        items = await read_all(at, live.run_id)
    assert [type(item) for item in items] == [RunItem, BatchItem, RunItem]
    assert items[0].run.state is items[-1].run.state is RunState.COMPLETED
    assert numbers(items) == list(range(1, 10))
    assert [event.SerializeToString(deterministic=True) for event in events_of(items[1])][1:-1] == live.script.written
    assert items[1].last_sequence == 9


@pytest.mark.parametrize("after", range(10))
@virtual_time
async def test_it_is_resumed_from_any_position(orchestrate, after):
    at = orchestrate()
    async with at.running():
        live = await Live(at).open()
        await live.send(live.script.started(), *live.script.logs(5))
        await live.end()
        items = await read_all(at, live.run_id, after)
    assert numbers(items) == list(range(after + 1, 10))
    assert isinstance(items[0], RunItem)
    assert isinstance(items[-1], RunItem)


@virtual_time
async def test_positions_that_are_none_and_runs_that_are_not(orchestrate):
    at = orchestrate()
    run_id = at.new_run()
    with pytest.raises(PositionOutOfRange) as raised:
        await read_all(at, run_id, 2)
    assert (raised.value.first_sequence, raised.value.last_sequence) == (1, 1)
    with pytest.raises(NotFound):
        await read_all(at, "no such run")


@virtual_time
async def test_a_run_deleted_meanwhile_is_not_found(orchestrate):
    at = orchestrate()
    run_id = at.new_run()
    items = at.subscriptions.follow(run_id, 0, ALL)
    await anext(items)
    await anext(items)
    at.database.do(lambda tx: (runs.hide_run(tx, run_id), tx.wake(f"run:{run_id}")))
    with pytest.raises(NotFound):
        await anext(items)


@virtual_time
async def test_live_events_come_at_once(orchestrate):
    at = orchestrate()
    async with at.running():
        live = await Live(at).open()
        items = at.subscriptions.follow(live.run_id, 1, ALL)
        assert isinstance(await anext(items), RunItem)
        next_item = asyncio.create_task(anext(items))
        await asyncio.sleep(1)
        begun = asyncio.get_running_loop().time()
        await live.send(live.script.started())
        while not isinstance(item := await next_item, BatchItem):
            next_item = asyncio.create_task(anext(items))
        assert item.last_sequence == 2
        assert asyncio.get_running_loop().time() == begun
        await items.aclose()


@pytest.mark.parametrize("seed", range(8))
@virtual_time
async def test_every_event_once_and_in_order_with_wake_ups_lost_at_random(orchestrate, seed):
    at = orchestrate()
    dice = random.Random(seed)
    async with at.running():
        live = await Live(at).open()
        seen: list[list] = []

        async def watch(after: int, pause: float) -> None:
            items: list = []
            seen.append(items)
            # A reader that drops its connection now and then, and goes on from what it has.
            while True:
                async for item in at.subscriptions.follow(live.run_id, max([after, *numbers(items)]), ALL):
                    items.append(item)
                    await asyncio.sleep(dice.random() * pause)
                    if dice.random() < 0.1:
                        break
                else:
                    return

        async with asyncio.TaskGroup() as tasks:
            for pause in (0, 0.1, 3):
                tasks.create_task(watch(0, pause))
            await live.send(live.script.started())
            for _ in range(60):
                at.lose_wakeups = dice.random() < 0.5
                await live.send(*live.script.logs(dice.randrange(1, 6)))
                await asyncio.sleep(dice.random())
            await live.end()
            at.lose_wakeups = False

    last = at.run(live.run_id).last_sequence
    for items in seen:
        got = numbers(items)
        assert got == list(range(1, last + 1))


@virtual_time
async def test_the_run_comes_again_when_something_about_it_changes(orchestrate):
    at = orchestrate()
    async with at.running():
        live = await Live(at).open()
        pictures: list[RunItem] = []

        async def watch() -> None:
            async for item in at.subscriptions.follow(live.run_id, 0, LOGS):
                if isinstance(item, RunItem):
                    pictures.append(item)

        watching = asyncio.create_task(watch())
        await asyncio.sleep(1)
        await live.send(live.script.started())
        await live.send(*live.script.logs(3))  # its counters are no change
        await asyncio.sleep(1)
        at.cancel(live.run_id)
        await asyncio.sleep(30)  # its runner falls silent
        await at.beat(live.session, live.script.lease_id)
        await asyncio.sleep(1)
        await live.send(live.script.ended(run_pb2.ATTEMPT_OUTCOME_CANCELLED))
        await watching
    said = [
        (
            item.run.state.name,
            len(item.run.attempts),
            item.run.cancel_request_time_us is not None,
            item.run.unreachable_since_us is not None,
        )
        for item in pictures
    ]
    assert said == [
        ("PENDING", 0, False, False),
        ("RUNNING", 1, False, False),
        ("RUNNING", 1, True, False),
        ("RUNNING", 1, True, True),
        ("RUNNING", 1, True, False),
        ("CANCELLED", 1, True, False),
    ]


@virtual_time
async def test_a_long_log_is_cut_into_batches_of_which_one_is_read_ahead_of_a_slow_reader(orchestrate):
    at = orchestrate()
    async with at.running():
        live = await Live(at).open()
        await live.send(live.script.started())
        for _ in range(40):
            await live.send(*[live.script.log("x" * 10_000) for _ in range(5)])

    items = at.subscriptions.follow(live.run_id, 0, ALL)
    assert isinstance(await anext(items), RunItem)
    got: list[int] = []
    while len(got) < 202:
        item = await anext(items)
        if not isinstance(item, BatchItem):
            continue
        assert sum(event.ByteSize() for event in events_of(item)) <= BATCH_BYTES
        got += numbers([item])
        await asyncio.sleep(0.5)
        reads = at.database.reads
        await asyncio.sleep(60)  # the reader does not read, and nothing more is read for it
        assert at.database.reads == reads
    assert got == list(range(1, 203))
    await items.aclose()


@virtual_time
async def test_a_run_that_ends_while_its_reader_is_behind_comes_after_its_log(orchestrate):
    at = orchestrate()
    async with at.running():
        live = await Live(at).open()
        await live.send(live.script.started())
        items = at.subscriptions.follow(live.run_id, 0, ALL)
        assert isinstance(await anext(items), RunItem)
        for _ in range(20):
            await live.send(*[live.script.log("x" * 10_000) for _ in range(5)])
        await live.end()
        rest = [item async for item in items]
    assert numbers(rest) == list(range(1, 105))
    assert [item.run.state for item in rest if isinstance(item, RunItem)] == [RunState.COMPLETED]
    assert isinstance(rest[-1], RunItem)


@virtual_time
async def test_one_event_larger_than_a_batch_comes_alone(orchestrate, monkeypatch):
    monkeypatch.setattr("athanor_orchestrator.engine.intake._DECODED_ON_THE_LOOP", 1 << 30)  # no threads in here
    at = orchestrate()
    async with at.running():
        live = await Live(at).open()
        await live.send(live.script.started(), live.script.log("x" * 2 * BATCH_BYTES), live.script.log("y"))
        await live.end()
        items = await read_all(at, live.run_id)
    assert [len(events_of(item)) for item in items if isinstance(item, BatchItem)] == [2, 1, 3]


@virtual_time
async def test_hidden_events_come_as_positions(orchestrate):
    at = orchestrate()
    async with at.running():
        live = await Live(at).open()
        items = at.subscriptions.follow(live.run_id, 0, EventFilter(kinds=frozenset({EventKind.RESULT})))
        assert isinstance(await anext(items), RunItem)
        position = await anext(items)
        assert position == PositionItem(1, at.clock.now_us())
        await live.send(live.script.started(), live.script.log())
        found = [await anext(items), await anext(items)]
        assert isinstance(found[0], RunItem)
        assert isinstance(found[1], PositionItem)
        assert found[1].sequence == 3

        await live.send(live.script.result("k"))
        batch = await anext(items)
        assert isinstance(batch, BatchItem)
        assert batch.last_sequence == 4
        await items.aclose()


@virtual_time
async def test_a_silent_run_is_kept_alive_by_positions(orchestrate):
    at = orchestrate()
    run_id = at.new_run()
    items = at.subscriptions.follow(run_id, 0, ALL)
    await anext(items)
    await anext(items)
    loop = asyncio.get_running_loop()
    for _ in range(3):
        begun = loop.time()
        assert isinstance(await anext(items), PositionItem)
        assert loop.time() - begun == pytest.approx(at.timings.keep_alive)
    await items.aclose()


@pytest.mark.parametrize(
    ("filter", "messages"),
    [
        (EventFilter(minimum_level=30), ["warning"]),
        (EventFilter(text="arn"), ["warning"]),
        (EventFilter(text="ARN"), []),
        (EventFilter(attempt=1), ["info", "warning"]),
        (EventFilter(attempt=2), []),
    ],
    ids=["level", "text", "case", "attempt", "another attempt"],
)
@virtual_time
async def test_filters_of_log_entries(orchestrate, filter, messages):
    at = orchestrate()
    async with at.running():
        live = await Live(at).open()
        await live.send(live.script.started(), live.script.log("info"), live.script.log("warning", 30))
        await live.end()
        items = await read_all(at, live.run_id, 0, filter)
    read = [event for item in items for event in events_of(item)]
    assert [event.log.message for event in read if event.HasField("log")] == messages


@virtual_time
async def test_progress_comes_at_most_ten_times_a_second_and_the_newest_is_never_missed(orchestrate):
    at = orchestrate()
    async with at.running():
        live = await Live(at).open()
        await live.send(live.script.started())
        shown: list[tuple[float, Progress]] = []
        loop = asyncio.get_running_loop()

        async def watch() -> None:
            async for item in at.subscriptions.follow(live.run_id, 2, ALL):
                if isinstance(item, ProgressItem):
                    shown.append((loop.time(), item.progress))

        watching = asyncio.create_task(watch())
        for number in range(500):
            await live.send(progress=Progress(number, 500, ""))
            await asyncio.sleep(0.01)
        await asyncio.sleep(1)
        watching.cancel()
    gaps = [later[0] - earlier[0] for earlier, later in itertools.pairwise(shown)]
    assert min(gaps) >= at.timings.progress_shown - 1e-6
    assert len(shown) > 40
    assert shown[-1][1] == Progress(499, 500, "")


@virtual_time
async def test_progress_of_another_orchestrators_runner_comes_from_the_row(orchestrate):
    at = orchestrate()
    run_id = at.new_run()
    items = at.subscriptions.follow(run_id, 1, ALL)
    await anext(items)
    at.database.do(lambda tx: (runs.put_progress(tx, {run_id: Progress(1, 2, "x")}), tx.wake(f"run:{run_id}")))
    assert await anext(items) == ProgressItem(Progress(1, 2, "x"))
    await items.aclose()


@virtual_time
async def test_trouble_of_the_database_is_raised(orchestrate):
    at = orchestrate()
    run_id = at.new_run()
    at.database.refuse_read = lambda: StorageUnavailable("away")
    with pytest.raises(StorageUnavailable):
        await read_all(at, run_id)


@virtual_time
async def test_a_reader_that_leaves_leaves_nothing_behind(orchestrate):
    at = orchestrate()
    run_id = at.new_run()
    items = at.subscriptions.follow(run_id, 0, ALL)
    await anext(items)
    assert at.wakeups._waiters
    await items.aclose()
    assert not at.wakeups._waiters


@pytest.mark.parametrize(("watchers", "pause"), [(1, 0.0), (2, 0.0004), (100, 0.02), (5000, 0.2)])
@virtual_time
async def test_what_comes_quickly_is_gathered_for_longer_the_more_watch(orchestrate, watchers, pause):
    at = orchestrate()
    async with at.running():
        live = await Live(at).open()
        await live.send(live.script.started())
        loop = asyncio.get_running_loop()
        came: list[tuple[float, int]] = []

        async def watch() -> None:
            async for item in at.subscriptions.follow(live.run_id, 2, ALL):
                came.extend((loop.time(), event.sequence) for event in events_of(item))

        with ExitStack() as others:
            for _ in range(watchers - 1):
                others.enter_context(at.side.tails.follow(live.run_id))
            watching = asyncio.create_task(watch())
            await asyncio.sleep(1)
            begun = loop.time()
            await live.send(*live.script.logs(2))
            await asyncio.sleep(0)
            assert came == [(begun, 3), (begun, 4)], "the first is sent at once"
            for _ in range(3):
                await asyncio.sleep(pause / 4)
                await live.send(*live.script.logs(1))
            await asyncio.sleep(1)
            watching.cancel()
    assert [sequence for _, sequence in came] == [3, 4, 5, 6, 7]
    assert [moment for moment, _ in came[2:]] == pytest.approx([begun + pause] * 3)


@virtual_time
async def test_who_keeps_up_reads_nothing_from_the_database_but_how_the_run_stands(orchestrate):
    at = orchestrate()
    async with at.running():
        live = await Live(at).open()
        await live.send(live.script.started())
        got: list[int] = []

        async def watch() -> None:
            async for item in at.subscriptions.follow(live.run_id, 0, ALL):
                got.extend(numbers([item]))

        watching = asyncio.create_task(watch())
        await asyncio.sleep(1)
        reads = at.database.reads
        for _ in range(100):
            await live.send(*live.script.logs(1))
            await asyncio.sleep(0.1)
        assert at.database.reads - reads < 25, "those of the loops that poll included"
        assert got == list(range(1, 103))
        watching.cancel()


async def test_what_is_due_but_for_a_rounding_is_not_asked_about_again_and_again(monkeypatch):
    """Two ways of reckoning may differ by a hair: a reader waited for 0 s, time and again, with nothing to be read."""
    now = 0.3
    monkeypatch.setattr(subscription, "_now", lambda: now)
    reader = subscription._Reader(0, SystemClock(), Timings(poll=0.1, keep_alive=0.1))
    reader._looked_at = reader._heard_at = 0.2  # 0.2 + 0.1 is more than 0.3, and 0.3 - 0.2 less than 0.1

    assert not reader.has_not_looked
    assert reader.aside(None) == []
    assert reader.patience() >= 0.001
