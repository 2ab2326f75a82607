"""Which runs may be given to a runner, and that two orchestrators never get the same."""

import asyncio
import threading

import pytest
from athanor_orchestrator.domain.records import RunState
from athanor_orchestrator.storage import leases, runs
from athanor_orchestrator.storage.database import Database
from athanor_orchestrator.storage.transaction import Transaction

from tests.support.databases import OpenDatabase
from tests.support.rows import EPOCH_US, a_lease, a_run, a_stored_run, an_instance, store


async def claim(database: Database, *experiments: str, limit: int = 10, not_runs: tuple[str, ...] = ()) -> list[str]:
    found = await database.write(lambda tx: runs.claimable(tx, experiments, limit, not_runs))
    return [run.id for run in found]


async def test_the_oldest_waiting_runs_of_the_experiments_are_claimable(database: Database) -> None:
    digits, hello, other = (an_instance(experiment=name) for name in ("digits", "hello", "other"))
    made = [a_run(instance) for instance in (hello, digits, other, digits, hello)]
    await store(database, digits, hello, other, *made)
    ids = [run.id for run in made]
    assert await claim(database, "digits", "hello") == [ids[0], ids[1], ids[3], ids[4]]
    assert await claim(database, "digits", "hello", limit=2) == ids[:2]
    assert await claim(database, "hello", not_runs=(ids[0],)) == [ids[4]]
    assert await claim(database, "nobody has this") == []
    assert await claim(database) == []


async def test_a_claimed_run_brings_its_configuration(database: Database) -> None:
    run = await a_stored_run(database, configuration_json='{"a": 5}')
    assert await database.write(lambda tx: runs.claimable(tx, ["digits"], 1)) == [run]


async def test_many_experiments_are_asked_in_portions(database: Database) -> None:
    run = await a_stored_run(database)
    names = [f"experiment-{number}" for number in range(250)]
    assert await claim(database, *names, "digits") == [run.id]


async def test_what_is_held_cancelled_running_or_not_yet_due_is_not_claimable(database: Database) -> None:
    now = await database.write(lambda tx: tx.now_us)
    due = await a_stored_run(database, next_attempt_time_us=now - 1)
    later = await a_stored_run(database, next_attempt_time_us=now + 3_600_000_000)
    held = await a_stored_run(database)
    await store(database, a_lease(held))
    for state in RunState:
        if state is not RunState.PENDING:
            await a_stored_run(database, state=state)
    await a_stored_run(database, cancel_request_time_us=EPOCH_US)
    assert await claim(database, "digits") == [due.id]
    assert await database.read(runs.next_claim_time_us) == later.next_attempt_time_us


async def test_no_run_waits_for_its_time(database: Database) -> None:
    await a_stored_run(database)
    assert await database.read(runs.next_claim_time_us) is None


async def test_a_run_becomes_claimable_again_when_its_lease_ends(database: Database) -> None:
    run = await a_stored_run(database)
    lease = a_lease(run)
    await store(database, lease)
    assert await claim(database, "digits") == []
    await database.write(lambda tx: leases.end_lease(tx, lease.id, leases.LeaseEnd.RETURNED))
    assert await claim(database, "digits") == [run.id]


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_a_run_that_another_orchestrator_is_claiming_is_passed_over(open_database: OpenDatabase) -> None:
    one, other = await open_database(), await open_database()
    first, second = await a_stored_run(one), await a_stored_run(one)
    claimed, proceed = threading.Event(), threading.Event()

    def hold(tx: Transaction) -> list[str]:
        found = [run.id for run in runs.claimable(tx, ["digits"], 1)]
        claimed.set()
        assert proceed.wait(20)
        return found

    holding = asyncio.create_task(one.write(hold))
    await asyncio.to_thread(claimed.wait, 20)
    assert await claim(other, "digits") == [second.id]
    proceed.set()
    assert await holding == [first.id]


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_concurrent_claims_never_give_a_run_twice(open_database: OpenDatabase) -> None:
    orchestrators = [await open_database() for _ in range(3)]
    instance = an_instance()
    made = [a_run(instance) for _ in range(60)]
    await store(orchestrators[0], instance, *made)

    async def work(database: Database) -> list[str]:
        taken: list[str] = []

        def claim_some(tx: Transaction) -> list[str]:
            found = runs.claimable(tx, ["digits"], 3)
            for run in found:
                leases.insert_lease(tx, a_lease(run))
            return [run.id for run in found]

        idle = 0
        while idle < 3:
            got = await database.write(claim_some)
            taken += got
            # Nothing may mean that the others hold what is left for the moment.
            idle = 0 if got else idle + 1
        return taken

    taken = await asyncio.gather(*(work(database) for database in orchestrators))
    everything = [run_id for share in taken for run_id in share]
    assert sorted(everything) == sorted(run.id for run in made)
