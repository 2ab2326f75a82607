"""How leases and their runs stand, for whoever stores events under them."""

import asyncio
import threading
from typing import Any

import pytest
from athanor_orchestrator.domain.ids import new_id
from athanor_orchestrator.domain.records import LeaseEnd, RunState, Standing
from athanor_orchestrator.storage import leases, runs, standings
from athanor_orchestrator.storage.database import Database
from athanor_orchestrator.storage.postgresql import UPDATE_COUNTS
from athanor_orchestrator.storage.transaction import Transaction

from tests.support.databases import OpenDatabase
from tests.support.rows import a_lease, a_run, a_stored_run, an_instance, store


async def standing_of(database: Database, *lease_ids: str) -> dict[str, Standing]:
    return await database.write(lambda tx: standings.lock_standings(tx, lease_ids))


async def test_a_live_lease_stands_beside_its_run(database: Database) -> None:
    run = await a_stored_run(
        database,
        state=RunState.RUNNING,
        last_sequence=2**40,
        attempt_count=3,
        log_count=2**35,
        result_count=5,
        start_time_us=7,
    )
    lease = a_lease(
        run,
        session_number=2**60,
        attempt=3,
        first_sequence=9,
        last_sequence=2**40,
        event_count=8,
        digest=bytes(range(32)),
    )
    await store(database, lease)
    assert await standing_of(database, lease.id, new_id()) == {
        lease.id: Standing(
            id=lease.id,
            run_id=run.id,
            runner_id=lease.runner_id,
            session_number=2**60,
            attempt=3,
            last_sequence=2**40,
            event_count=8,
            digest=bytes(range(32)),
            end=None,
            current_lease_id=lease.id,
            state=RunState.RUNNING,
            run_last_sequence=2**40,
            attempt_count=3,
            log_count=2**35,
            result_count=5,
            start_time_us=7,
        )
    }
    assert await standing_of(database) == {}


async def test_a_lease_that_is_over_stands_beside_whatever_its_run_has_now(database: Database) -> None:
    run = await a_stored_run(database)
    older, newer = a_lease(run), a_lease(run, attempt=2)
    await store(database, older)
    await database.write(lambda tx: leases.end_lease(tx, older.id, LeaseEnd.LOST))
    assert (await standing_of(database, older.id))[older.id][8:11] == (LeaseEnd.LOST, None, RunState.PENDING)
    await store(database, newer)
    found = await standing_of(database, newer.id, older.id)
    assert {id: (it.end, it.current_lease_id) for id, it in found.items()} == {
        older.id: (LeaseEnd.LOST, newer.id),
        newer.id: (None, newer.id),
    }


async def test_a_hidden_run_is_as_one_that_is_not_there(database: Database) -> None:
    run = await a_stored_run(database, state=RunState.FAILED)
    lease = a_lease(run)
    await store(database, lease)
    await database.write(lambda tx: runs.hide_run(tx, run.id))
    it = (await standing_of(database, lease.id))[lease.id]
    assert (it.run_id, it.end, it.current_lease_id, it.start_time_us) == (run.id, LeaseEnd.DELETED, None, None)


async def test_many_at_once(database: Database) -> None:
    instance = an_instance()
    made = [a_run(instance) for _ in range(300)]
    held = [a_lease(run) for run in made]
    await store(database, instance, *made, *held)
    found = await standing_of(database, *reversed([lease.id for lease in held]), *[new_id() for _ in range(20_000)])
    assert {id: it.current_lease_id for id, it in found.items()} == {lease.id: lease.id for lease in held}


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_what_is_read_of_a_lease_is_as_it_stands_once_its_run_is_locked(open_database: OpenDatabase) -> None:
    """Fencing: another orchestrator gives the runner up while this one waits for the lock."""
    one, other = await open_database(), await open_database()
    run = await a_stored_run(one)
    lease = a_lease(run)
    await store(one, lease)
    locked, go_on = threading.Event(), threading.Event()

    def give_up(tx: Transaction) -> None:
        runs.lock_run(tx, run.id)
        locked.set()
        assert go_on.wait(20)
        leases.end_lease(tx, lease.id, LeaseEnd.LOST)

    def waits(tx: Transaction) -> bool:
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return tx.connection.exec_driver_sql(waiting).scalar_one() > 0

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(one.write(give_up))
        await asyncio.to_thread(locked.wait, 20)
        reading = tasks.create_task(standing_of(other, lease.id))
        while not await one.read(waits):
            await asyncio.sleep(0.01)
        go_on.set()
    assert reading.result()[lease.id][8:10] == (LeaseEnd.LOST, None)


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_counts_of_hundreds_are_written_by_looking_each_up(database: Database) -> None:
    instance = an_instance()
    made = [a_run(instance) for _ in range(300)]
    held = [a_lease(run) for run in made]
    await store(database, instance, *made, *held)

    def plan(tx: Transaction) -> str:
        some = [1] * len(held)
        values: dict[str, list[Any]] = dict.fromkeys(("reached", "attempts", "logs", "results", "events"), some)
        values |= {
            "runs": [run.id for run in made],
            "leases": [lease.id for lease in held],
            "digests": [b""] * len(held),
        }
        tx.connection.exec_driver_sql("ANALYZE runs, leases")  # with figures it would not do so by itself
        rows = tx.connection.exec_driver_sql(f"EXPLAIN {UPDATE_COUNTS}", values).scalars()
        return "\n".join(rows)

    found = await database.write(plan)
    assert "Index Scan using runs_pkey" in found, found
    assert "Index Scan using leases_pkey" in found, found
    assert "Materialize" not in found, found
