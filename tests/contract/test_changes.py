"""The journal of changes: what is written into it, in which order it is seen, and what is forgotten of it."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from athanor_orchestrator.domain.records import (
    AttemptOutcome,
    Change,
    ChangeKind,
    LeaseEnd,
    Progress,
    Resource,
    RunState,
)
from athanor_orchestrator.storage import attempts, changes, instances, leases, runs
from athanor_orchestrator.storage.changes import Place
from athanor_orchestrator.storage.database import Database
from athanor_orchestrator.storage.transaction import Transaction

from tests.support.databases import OpenDatabase
from tests.support.rows import a_lease, a_run, a_stored_run, an_attempt, an_instance, store

RUN, INSTANCE = Resource.RUN, Resource.INSTANCE
STATE, AFTERMATH, DELETED = ChangeKind.STATE, ChangeKind.AFTERMATH, ChangeKind.DELETED


async def place_of(database: Database) -> Place | None:
    return await database.read(changes.end_of_journal)


async def read(database: Database, place: Place | None, limit: int = 1000) -> list[Change]:
    part = await database.read(lambda tx: changes.read_changes(tx, place, limit))
    assert part is not None
    return list(part.changes)


async def written_by(database: Database, command: Callable[[Transaction], object]) -> set[tuple[Resource, str, int]]:
    """What a command leaves in the journal, in short."""
    place = await place_of(database)
    await database.write(command)
    return {(each.resource, each.id, each.kind) for each in await read(database, place)}


async def test_creating_runs_and_instances_is_a_change_and_carries_what_they_are_selected_by(database: Database):
    place = await place_of(database)
    instance = an_instance(labels={"a": "ü"})
    run = a_run(instance, labels={"b": "2"})
    await store(database, instance, run)
    found = await read(database, place)
    assert sorted(found, key=lambda change: change.resource) == [
        Change(RUN, run.id, STATE, "digits", {"b": "2"}, instance.id),
        Change(INSTANCE, instance.id, STATE, "digits", {"a": "ü"}),
    ]


async def test_every_verb_that_watches_tell_of_is_a_change(database: Database):
    run = await a_stored_run(database)
    mine = (RUN, run.id, STATE)
    lease = a_lease(run)
    instance = (INSTANCE, run.instance_id, STATE)

    def start(tx: Transaction) -> None:
        runs.transition(tx, run.id, [RunState.PENDING], RunState.RUNNING)

    def end_attempt(tx: Transaction) -> None:
        attempts.end_attempt(
            tx, run.id, 1, end_time_us=1, outcome=AttemptOutcome.FAILED, failure=None, process_gone=False,
            log_complete=False, last_sequence=1, event_count=1, digest=bytes(32),
        )  # fmt: skip
        runs.transition(tx, run.id, [RunState.RUNNING], RunState.FAILED)

    steps: list[tuple[Callable[[Transaction], object], set[Any]]] = [
        (lambda tx: leases.insert_lease(tx, lease), set()),
        (lambda tx: attempts.insert_attempt(tx, run.id, lease.id, an_attempt()), {mine}),
        (start, {mine, instance}),
        (lambda tx: runs.request_cancel(tx, run.id, "enough", 5), {mine}),
        (lambda tx: runs.request_cancel(tx, run.id, "enough", 5), set()),
        (lambda tx: runs.set_unreachable(tx, [run.id], 7), {mine}),
        (lambda tx: runs.set_unreachable(tx, [run.id], 8), set()),
        (lambda tx: leases.end_lease(tx, lease.id, LeaseEnd.LOST), {mine}),
        (end_attempt, {mine, instance}),
        (lambda tx: attempts.put_process_gone(tx, [lease.id]), {(RUN, run.id, AFTERMATH)}),
        (lambda tx: attempts.put_process_gone(tx, [lease.id]), set()),
        (lambda tx: runs.hide_run(tx, run.id), {(RUN, run.id, DELETED), instance}),
        (lambda tx: runs.hide_run(tx, run.id), set()),
        (lambda tx: instances.hide_instance(tx, run.instance_id), {(INSTANCE, run.instance_id, DELETED)}),
    ]
    for step, expected in steps:
        assert await written_by(database, step) == expected


async def test_progress_counts_and_events_are_none(database: Database):
    run = await a_stored_run(database)

    def command(tx: Transaction) -> None:
        runs.put_progress(tx, {run.id: Progress(1, 2)})
        runs.update_run(tx, run.id, last_sequence=9, log_count=5, result_count=3, attempt_count=1)

    assert await written_by(database, command) == set()
    assert await written_by(database, lambda tx: runs.update_run(tx, run.id, next_attempt_time_us=5)) == {
        (RUN, run.id, STATE)
    }


async def test_an_instance_that_changes_its_labels_is_told_to_those_who_select_by_the_old_ones(database: Database):
    instance = an_instance(labels={"a": "1"})
    await store(database, instance)
    place = await place_of(database)
    await database.write(lambda tx: instances.update_instance(tx, replace(instance, labels={"a": "2"})))
    await database.write(lambda tx: instances.update_instance(tx, replace(instance, labels={"a": "2"}, name="x")))
    found = await read(database, place)
    assert sorted(change.labels["a"] for change in found) == ["1", "2", "2"]


async def test_a_deleted_instance_is_in_it_with_all_its_runs_and_what_they_were_selected_by(database: Database):
    instance = an_instance()
    made = [a_run(instance, labels={"n": str(n)}, state=RunState.COMPLETED) for n in range(3)]
    await store(database, instance, *made)
    place = await place_of(database)
    await database.write(lambda tx: instances.hide_instance(tx, instance.id))
    found = {change.id: change for change in await read(database, place)}
    assert {change.kind for change in found.values()} == {DELETED}
    assert {found[run.id].labels["n"] for run in made} == {"0", "1", "2"}
    assert found.keys() == {instance.id, *(run.id for run in made)}


async def test_what_was_undone_is_not_in_it_though_its_neighbours_are(database: Database):
    run, other = await a_stored_run(database), await a_stored_run(database)
    place = await place_of(database)

    def fail(tx: Transaction) -> None:
        runs.set_unreachable(tx, [run.id], 1)
        raise ZeroDivisionError

    def succeed(tx: Transaction) -> bool:
        return runs.request_cancel(tx, other.id, "enough", 1)

    with pytest.raises(ZeroDivisionError):
        await database.write(fail)
    done = await asyncio.gather(*(database.write(c) for c in (fail, succeed, fail, succeed)), return_exceptions=True)
    assert [type(each) for each in done] == [ZeroDivisionError, bool, ZeroDivisionError, bool]
    assert [change.id for change in await read(database, place)] == [other.id]


async def test_a_commit_wakes_those_who_watch_what_it_changed(open_database: OpenDatabase):
    woken: list[frozenset[str]] = []
    database = await open_database(on_commit=woken.append)
    instance = an_instance()
    await store(database, instance)
    assert woken.pop() == {"instances"}
    await store(database, a_run(instance))
    assert woken.pop() == {"runs", "instances"}


async def test_a_new_database_has_a_place_to_stand_on(empty_database_url: str, open_database: OpenDatabase):
    database = await open_database(url=empty_database_url)
    place = await place_of(database)
    assert place is not None
    assert await read(database, place) == []
    run = await a_stored_run(database)
    assert {change.id for change in await read(database, place)} == {run.id, run.instance_id}


async def test_it_is_read_on_from_any_place(database: Database):
    instance = an_instance()
    await store(database, instance)
    place = await place_of(database)
    made = [a_run(instance) for _ in range(7)]
    for run in made:
        await store(database, run)
    seen: list[str] = []
    more = True
    while more:
        part = await database.read(lambda tx, p=place: changes.read_changes(tx, p, 4))
        assert part is not None
        assert len(part.changes) <= 4
        seen += [change.id for change in part.changes if change.resource is RUN]
        place, more = part.place, part.more
    assert seen == [run.id for run in made]
    part = await database.read(lambda tx: changes.read_changes(tx, place, 4))
    assert part is not None
    assert (part.changes, part.place, part.more) == ([], place, False)


async def test_a_place_that_is_forgotten_or_never_was_is_told(database: Database):
    first = await a_stored_run(database)
    place = await place_of(database)
    assert place is not None
    await database.write(lambda tx: changes.purge_changes(tx, tx.now_us - 3_600_000_000, 9))  # what migrations left
    for other in (replace(place, position=place.position + 5), replace(place, time_us=place.time_us - 1)):
        assert await database.read(lambda tx, p=other: changes.read_changes(tx, p, 9)) is None

    now = await database.read(lambda tx: tx.now_us)
    assert await database.write(lambda tx: changes.purge_changes(tx, now - 3_600_000_000, 9)) == 0
    later = now + 3_600_000_000
    assert await database.write(lambda tx: changes.purge_changes(tx, later, 1)) == 1
    assert await database.write(lambda tx: changes.purge_changes(tx, later, 9)) == 0
    assert await place_of(database) == place, "the newest stays"
    await database.write(
        lambda tx: runs.set_unreachable(tx, [first.id], 1) or runs.update_run(tx, first.id, failure=None)
    )
    assert await database.write(lambda tx: changes.purge_changes(tx, later, 9)) == 1
    assert await database.read(lambda tx: changes.read_changes(tx, place, 9)) is None


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_of_two_that_commit_at_once_none_is_passed_over(open_database: OpenDatabase):
    """The first draws its position and dawdles before its commit; without the lock the second would be seen before it,
    and whoever read on from the second would never see the first."""
    one, two, reader = await open_database(), await open_database(), await open_database()
    first, second = await a_stored_run(one), await a_stored_run(one)
    place = await place_of(reader)
    drawn, go_on = threading.Event(), threading.Event()
    notify = one._dialect.notify

    def dawdle(connection: Any, topics: Any) -> None:
        drawn.set()
        go_on.wait(20)
        notify(connection, topics)

    one._dialect.notify = dawdle  # type: ignore[method-assign]
    early = asyncio.create_task(one.write(lambda tx: runs.update_run(tx, first.id, failure=None)))
    await asyncio.to_thread(drawn.wait, 20)
    late = asyncio.create_task(two.write(lambda tx: runs.update_run(tx, second.id, failure=None)))
    await asyncio.sleep(0.3)
    assert await read(reader, place) == []
    go_on.set()
    await asyncio.gather(early, late)
    assert [change.id for change in await read(reader, place)] == [first.id, second.id]
