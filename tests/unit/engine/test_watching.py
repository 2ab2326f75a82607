"""Watching many: all as it stands, then each that changes, whatever happens to wake-ups, however slow the reader."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from athanor_orchestrator.domain.errors import StorageUnavailable, WatchOutrun
from athanor_orchestrator.domain.ids import new_id
from athanor_orchestrator.domain.records import Instance, Progress, ResourceFilter, Run, RunState
from athanor_orchestrator.engine import runs as run_calls
from athanor_orchestrator.engine.messages import Delivery
from athanor_orchestrator.engine.watching import Gone, Standing, Synced
from athanor_orchestrator.storage import attempts, changes, instances, runs

from tests.support.orchestrated import EXPERIMENT, Orchestrated, answered
from tests.support.rows import a_run, an_attempt, an_instance
from tests.support.runner_script import hello
from tests.support.virtual_time import virtual_time

ALL = ResourceFilter()
POLL = 2.0


class Reader:
    """What a watcher has been told: a picture of everything, and how it came by it."""

    def __init__(self, items: Any) -> None:
        self.items = items
        self.told: list[Any] = []
        self.picture: dict[str, Any] = {}
        self.error: BaseException | None = None
        self.may_read = asyncio.Event()
        self.may_read.set()

    async def run(self) -> None:
        try:
            async for part in self.items:
                for item in part:
                    self.told.append(item)
                    match item:
                        case Standing(resource):
                            self.picture[resource.id] = resource
                        case Gone(id):
                            self.picture.pop(id, None)
                    await self.may_read.wait()
        except Exception as error:
            self.error = error
        finally:
            await self.items.aclose()

    @property
    def states(self) -> dict[str, RunState]:
        return {id: run.state for id, run in self.picture.items()}

    def since_synced(self) -> list[str]:
        """What was told behind Synced, in short."""
        behind = self.told[self.told.index(Synced()) + 1 :]
        return [item.id if isinstance(item, Gone) else item.resource.id for item in behind]


@asynccontextmanager
async def reading(items: Any) -> AsyncIterator[Reader]:
    """Read meanwhile; begins when everything that stands has been told."""
    reader = Reader(items)
    task = asyncio.create_task(reader.run())
    try:
        while Synced() not in reader.told and not task.done():
            await asyncio.sleep(0.01)
        yield reader
    finally:
        task.cancel()
        await asyncio.wait({task})


def make_instance(at: Orchestrated, **fields: Any) -> Instance:
    instance = an_instance(experiment=EXPERIMENT, **fields)
    at.database.do(lambda tx: instances.insert_instance(tx, instance))
    return instance


def make_run(at: Orchestrated, instance: Instance, **fields: Any) -> str:
    run = a_run(instance, id=new_id(), **fields)
    at.database.do(lambda tx: runs.insert_run(tx, run))
    return run.id


def end(at: Orchestrated, run_id: str, state: RunState = RunState.COMPLETED) -> None:
    def command(tx: Any) -> None:
        assert runs.transition(tx, run_id, [RunState.PENDING, RunState.RUNNING], state, end_time_us=tx.now_us)

    at.database.do(command)


@virtual_time
async def test_everything_as_it_stands_then_what_changes_and_what_is_deleted(orchestrate):
    at = orchestrate()
    instance = make_instance(at)
    first, ended = make_run(at, instance), make_run(at, instance)
    end(at, ended)
    async with reading(at.watching.runs(ALL)) as seen:
        assert [type(item) for item in seen.told] == [Standing, Standing, Synced]
        assert seen.states == {first: RunState.PENDING, ended: RunState.COMPLETED}

        made = make_run(at, instance)
        await asyncio.sleep(0.2)
        at.cancel(first)
        await asyncio.sleep(0.2)
        at.database.do(lambda tx: runs.hide_run(tx, ended))
        await asyncio.sleep(0.2)
        assert seen.since_synced() == [made, first, ended]
        assert seen.states == {first: RunState.CANCELLED, made: RunState.PENDING}
        assert seen.told[-1] == Gone(ended)


@virtual_time
async def test_a_change_is_shown_at_once_and_progress_is_none(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id = at.new_run()
        async with reading(at.watching.runs(ALL)) as seen:
            session = await at.connect(hello(), EXPERIMENT)
            _, script = await at.take_up(session)
            stream = await at.side.intake.open(session)
            await answered(stream)
            await asyncio.sleep(5)
            begun = asyncio.get_running_loop().time()
            await at.side.intake.deliver(stream, script.delivery(script.started()))
            await answered(stream)
            while seen.states[run_id] is not RunState.RUNNING:
                await asyncio.sleep(0)
            assert asyncio.get_running_loop().time() == begun

            told = len(seen.told)
            async with at.alive(session):
                for done in range(20):
                    said = ((script.lease_id, Progress(done, 20)),)
                    await at.side.intake.deliver(stream, Delivery((script.batch(*script.logs(100)),), said))
                    await answered(stream)
                    await asyncio.sleep(1)
            assert seen.told[told:] == []
            await at.side.intake.deliver(stream, script.delivery(script.ended()))
            await answered(stream)
            await asyncio.sleep(0.2)
            assert seen.states == {run_id: RunState.COMPLETED}


@virtual_time
async def test_cancellation_reachability_and_the_next_attempt_are_changes(orchestrate):
    at = orchestrate()
    run_id = make_run(at, make_instance(at))
    async with reading(at.watching.runs(ALL)) as seen:
        for columns in (
            {"cancel_request_time_us": 5, "cancel_reason": "enough"},
            {"unreachable_since_us": 7},
            {"next_attempt_time_us": 9},
        ):
            at.change(run_id, **columns)
            await asyncio.sleep(0.2)
            for name, value in columns.items():
                assert getattr(seen.picture[run_id], name) == value
        assert len(seen.since_synced()) == 3
        at.change(run_id, last_sequence=99, log_count=98)
        await asyncio.sleep(10)
        assert len(seen.since_synced()) == 3


@virtual_time
async def test_of_those_that_had_ended_active_only_tells_nothing_but_their_deletion(orchestrate):
    at = orchestrate()
    instance = make_instance(at)
    live, ended = make_run(at, instance), make_run(at, instance)
    at.database.do(lambda tx: attempts.insert_attempt(tx, ended, "lease", an_attempt()))
    end(at, ended)
    async with reading(at.watching.runs(ALL, active_only=True)) as seen, reading(at.watching.runs(ALL)) as all_of_them:
        assert seen.states == {live: RunState.PENDING}
        # The last process of a run that had ended: news for who was told of it, and for nobody else.
        at.database.do(lambda tx: attempts.put_process_gone(tx, ["lease"]))
        await asyncio.sleep(0.2)
        assert seen.since_synced() == []
        assert all_of_them.since_synced() == [ended]

        end(at, live)
        await asyncio.sleep(0.2)
        assert seen.states == {live: RunState.COMPLETED}
        # Made and ended between two looks: it was not there when the watch began.
        brief = make_run(at, instance)
        end(at, brief)
        await asyncio.sleep(0.2)
        assert seen.states == {live: RunState.COMPLETED, brief: RunState.COMPLETED}
        at.database.do(lambda tx: runs.hide_run(tx, live))
        await asyncio.sleep(0.2)
        assert seen.since_synced() == [live, brief, live]


@virtual_time
async def test_filters_leave_the_others_out_also_those_that_are_deleted(orchestrate):
    at = orchestrate()
    mine, other = make_instance(at), make_instance(at)
    filters = {
        "instance": ResourceFilter(instance_id=mine.id),
        "label": ResourceFilter(labels={"a": "1"}),
        "experiment": ResourceFilter(experiment=EXPERIMENT),
        "nobody": ResourceFilter(experiment="unknown"),
    }
    one, two = make_run(at, mine), make_run(at, other, labels={"a": "1", "b": "2"})
    expected = {"instance": {one}, "label": {two}, "experiment": {one, two}, "nobody": set[str]()}
    for name, filter in filters.items():
        async with reading(at.watching.runs(filter)) as seen:
            assert set(seen.picture) == expected[name]
    for name, filter in filters.items():
        async with reading(at.watching.runs(filter)) as seen:
            one, two = make_run(at, mine), make_run(at, other, labels={"a": "1", "b": "2"})
            changed = {"instance": [one], "label": [two], "experiment": [one, two], "nobody": []}
            for run_id in (one, two):
                end(at, run_id)
            await asyncio.sleep(0.2)
            for run_id in (one, two):
                at.database.do(lambda tx, id=run_id: runs.hide_run(tx, id))
            await asyncio.sleep(0.2)
            assert seen.since_synced() == changed[name] * 2, name


@virtual_time
async def test_instances_change_with_what_people_write_and_with_their_newest_run(orchestrate):
    at = orchestrate()
    instance = make_instance(at, labels={"paper": "one"})
    async with (
        reading(at.watching.instances(ResourceFilter(labels={"paper": "one"}))) as seen,
        reading(at.watching.instances(ResourceFilter(labels={"paper": "two"}))) as others,
    ):
        assert list(seen.picture) == [instance.id]
        run_id = make_run(at, instance)
        await asyncio.sleep(0.2)
        assert seen.picture[instance.id].last_run_state is RunState.PENDING
        end(at, run_id)
        await asyncio.sleep(0.2)
        assert seen.picture[instance.id].last_run_state is RunState.COMPLETED
        assert others.since_synced() == []

        # With its labels it leaves one watch, which is told of it once more, and enters another.
        at.database.do(lambda tx: instances.update_instance(tx, replace(instance, labels={"paper": "two"})))
        await asyncio.sleep(0.2)
        assert seen.picture[instance.id].labels == others.picture[instance.id].labels == {"paper": "two"}
        told = len(seen.told)
        at.database.do(lambda tx: instances.hide_instance(tx, instance.id))
        await asyncio.sleep(0.2)
        assert len(seen.told) == told
        assert others.told[-1] == Gone(instance.id)


@virtual_time
async def test_a_deleted_instance_takes_its_runs_along(orchestrate):
    at = orchestrate()
    instance = make_instance(at)
    gone = [make_run(at, instance) for _ in range(5)]
    kept = make_run(at, make_instance(at))
    async with reading(at.watching.runs(ALL)) as seen:
        at.database.do(lambda tx: instances.hide_instance(tx, instance.id))
        await asyncio.sleep(0.2)
        assert set(seen.picture) == {kept}
        assert sorted(seen.since_synced()) == gone


@virtual_time
async def test_pages_are_read_as_they_are_taken_and_what_changes_meanwhile_comes_behind_synced(orchestrate):
    at = orchestrate()
    instance = make_instance(at)
    made = [make_run(at, instance) for _ in range(300)]
    reads = at.database.reads
    reader = Reader(at.watching.runs(ALL))
    reader.may_read.clear()
    task = asyncio.create_task(reader.run())
    await asyncio.sleep(60)
    # One that does not read costs one page, however long that lasts.
    assert at.database.reads == reads + 1
    assert len(reader.told) == 1

    end(at, made[0])
    end(at, made[-1])
    later = make_run(at, instance)
    at.database.do(lambda tx: runs.hide_run(tx, made[5]))
    reader.may_read.set()
    await asyncio.sleep(1)
    ids = [item.resource.id for item in reader.told[: reader.told.index(Synced())]]
    assert ids == sorted(set(made) - {made[5]}, reverse=True)
    assert sorted(reader.since_synced()) == sorted([made[0], made[-1], later, made[5]])
    assert reader.states[made[-1]] is RunState.COMPLETED
    task.cancel()
    await asyncio.wait({task})


@virtual_time
async def test_many_changes_of_one_while_its_reader_is_slow_are_shown_as_one(orchestrate):
    at = orchestrate()
    run_id = make_run(at, make_instance(at))
    async with reading(at.watching.runs(ALL)) as seen:
        seen.may_read.clear()
        at.change(run_id, unreachable_since_us=1)
        await asyncio.sleep(0.1)
        for since in range(2, 300):
            at.change(run_id, unreachable_since_us=since)
        end(at, run_id, RunState.FAILED)
        seen.may_read.set()
        await asyncio.sleep(1)
        assert len(seen.since_synced()) <= 2
        assert seen.states == {run_id: RunState.FAILED}


@virtual_time
async def test_an_idle_watch_asks_once_a_poll_and_a_busy_one_ten_times_a_second(orchestrate):
    at = orchestrate()
    instance = make_instance(at)
    async with reading(at.watching.runs(ALL)) as seen:
        await asyncio.sleep(1)
        reads = at.database.reads
        await asyncio.sleep(60)
        assert at.database.reads - reads <= 60 / POLL + 1

        reads = at.database.reads
        made = []
        for _ in range(300):
            made.append(make_run(at, instance))
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        assert set(seen.picture) == set(made)
        assert at.database.reads - reads <= 2 * 33  # the journal, and what changed


@pytest.mark.parametrize("seed", range(4))
@virtual_time
async def test_no_change_stays_unseen_for_longer_than_a_poll_with_wake_ups_lost_at_random(orchestrate, seed):
    at = orchestrate()
    dice = random.Random(seed)
    made_instances = [make_instance(at) for _ in range(3)]
    at.database.look(lambda tx: None)
    async with (
        reading(at.watching.runs(ALL)) as runs_seen,
        reading(at.watching.runs(ALL, active_only=True)) as active_seen,
        reading(at.watching.instances(ALL)) as instances_seen,
    ):
        live: list[str] = []
        ended: list[str] = []
        for _ in range(80):
            at.lose_wakeups = dice.random() < 0.7
            match dice.randrange(4):
                case 0 | 1:
                    live.append(make_run(at, dice.choice(made_instances)))
                case 2 if live:
                    ended.append(live.pop(dice.randrange(len(live))))
                    end(at, ended[-1], dice.choice([RunState.COMPLETED, RunState.FAILED]))
                case 3 if ended:
                    gone = ended.pop(dice.randrange(len(ended)))
                    at.database.do(lambda tx, id=gone: runs.hide_run(tx, id))
                case _:
                    pass
            if dice.random() < 0.1:
                await asyncio.sleep(POLL + 0.2)
                assert_right(at, runs_seen, active_seen, instances_seen)
            else:
                await asyncio.sleep(dice.random() * 0.3)
        await asyncio.sleep(POLL + 0.2)
        assert_right(at, runs_seen, active_seen, instances_seen)


def assert_right(at: Orchestrated, runs_seen: Reader, active_seen: Reader, instances_seen: Reader) -> None:
    """What each watcher has is what the database has."""
    stored: dict[str, Run] = {run.id: run for run in at.database.look(lambda tx: runs.list_runs(tx, limit=1000)).items}
    assert runs_seen.picture == active_seen.picture == stored  # none had ended when they began
    found = at.database.look(lambda tx: instances.list_instances(tx, limit=100)).items
    assert instances_seen.picture == {instance.id: instance for instance in found}


@virtual_time
async def test_a_reader_that_is_slower_than_the_journal_is_kept_begins_again(orchestrate):
    at = orchestrate()
    async with at.running():
        instance = make_instance(at)
        run_id = make_run(at, instance)
        async with reading(at.watching.runs(ALL)) as seen:
            seen.may_read.clear()
            at.change(run_id, unreachable_since_us=1)
            await asyncio.sleep(1)
            make_run(at, instance)
            await asyncio.sleep(700)
            make_run(at, instance)
            await asyncio.sleep(100)
            seen.may_read.set()
            await asyncio.sleep(5)
            assert isinstance(seen.error, WatchOutrun)


@virtual_time
async def test_on_an_idle_system_the_journal_keeps_the_place_where_every_watch_stands(orchestrate):
    at = orchestrate()
    async with at.running():
        instance = make_instance(at)
        async with reading(at.watching.runs(ALL)) as seen:
            make_run(at, instance)
            await asyncio.sleep(1200)
            late = make_run(at, instance)
            await asyncio.sleep(5)
            assert seen.error is None
            assert late in seen.picture
        entries = at.database.look(lambda tx: changes.read_changes(tx, None, 1000)).changes
        assert len(entries) <= 4, "what is old was forgotten"


@virtual_time
async def test_a_database_that_went_back_is_noticed(orchestrate):
    at = orchestrate()
    instance = make_instance(at)
    async with reading(at.watching.runs(ALL)) as seen:
        make_run(at, instance)
        await asyncio.sleep(1)
        at.database.do(lambda tx: tx.connection.exec_driver_sql("DELETE FROM changes"))
        for _ in range(9):  # positions are used again, by other changes
            make_run(at, instance)
            at.clock.jump(1)
        await asyncio.sleep(5)
        assert isinstance(seen.error, WatchOutrun)


@virtual_time
async def test_trouble_with_the_database_ends_a_watch(orchestrate):
    at = orchestrate()
    async with reading(at.watching.runs(ALL)) as seen:
        at.database.refuse_read = lambda: StorageUnavailable("away")
        await asyncio.sleep(5)
        assert isinstance(seen.error, StorageUnavailable)


@virtual_time
async def test_full_ones_carry_configuration_and_attempts(orchestrate):
    at = orchestrate()
    instance = make_instance(at)
    run_id = make_run(at, instance)
    async with reading(at.watching.runs(ALL, full=True)) as full, reading(at.watching.runs(ALL)) as basic:
        at.database.do(lambda tx: attempts.insert_attempt(tx, run_id, "lease", an_attempt()))
        await asyncio.sleep(0.2)
        assert full.picture[run_id].configuration_json == instance.configuration_json
        assert len(full.picture[run_id].attempts) == 1
        assert (basic.picture[run_id].configuration_json, basic.picture[run_id].attempts) == ("", ())


@virtual_time
async def test_what_a_command_that_fails_had_changed_is_not_told(orchestrate):
    at = orchestrate()
    run_id = make_run(at, make_instance(at))
    async with reading(at.watching.runs(ALL)) as seen:

        def command(tx: Any) -> None:
            run_calls.request_cancel(tx, run_id, "enough")
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            at.database.do(command)
        await asyncio.sleep(5)
        assert seen.since_synced() == []
