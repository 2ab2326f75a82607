"""Deleting in steps, and what calls with a request_id have made."""

from pathlib import Path

import pytest
from athanor_orchestrator.domain.records import RunState, StoredRequest
from athanor_orchestrator.storage import attempts, deletion, events, instances, leases, requests, results, runs
from athanor_orchestrator.storage.database import Database

from tests.support.databases import OpenDatabase
from tests.support.rows import a_lease, a_result, a_run, a_stored_run, an_attempt, an_instance, log_events, store


async def test_a_hidden_run_is_forgotten_once_its_events_and_results_are_gone(database: Database) -> None:
    run = await a_stored_run(database, state=RunState.COMPLETED, labels={"x": "1"})
    kept = await a_stored_run(database)
    lease = a_lease(run)
    await store(database, lease)
    await database.write(lambda tx: attempts.insert_attempt(tx, run.id, lease.id, an_attempt()))
    await database.write(lambda tx: events.append_events(tx, [(run.id, log_events(1, 10))]))
    await database.write(lambda tx: results.append_results(tx, [(run.id, [a_result(2)])]))
    assert await database.read(lambda tx: deletion.hidden_runs(tx, 9)) == []
    assert not await database.write(lambda tx: deletion.forget_run(tx, run.id))

    await database.write(lambda tx: leases.end_lease(tx, lease.id, leases.LeaseEnd.ENDED))
    await database.write(lambda tx: runs.hide_run(tx, run.id))
    assert await database.read(lambda tx: deletion.hidden_runs(tx, 9)) == [run.id]
    assert not await database.write(lambda tx: deletion.forget_run(tx, run.id))
    assert await database.write(lambda tx: events.delete_events(tx, run.id, 100)) == 10
    assert not await database.write(lambda tx: deletion.forget_run(tx, run.id))
    assert await database.write(lambda tx: results.delete_results(tx, run.id, 100)) == 1
    assert await database.write(lambda tx: deletion.forget_run(tx, run.id))
    assert not await database.write(lambda tx: deletion.forget_run(tx, run.id))

    assert await database.read(lambda tx: deletion.hidden_runs(tx, 9)) == []
    assert await database.read(lambda tx: attempts.list_attempts(tx, [run.id])) == {}
    assert await database.read(lambda tx: instances.get_instance(tx, run.instance_id)) is not None
    assert [found.id for found in await database.read(lambda tx: leases.leases_of_run(tx, run.id))] == [lease.id]
    assert await database.read(lambda tx: runs.get_run(tx, kept.id)) == kept


async def test_a_run_that_is_not_hidden_is_never_forgotten(database: Database) -> None:
    run = await a_stored_run(database)
    assert not await database.write(lambda tx: deletion.forget_run(tx, run.id))
    assert not await database.write(lambda tx: deletion.forget_run(tx, "unknown"))
    assert await database.read(lambda tx: runs.get_run(tx, run.id)) == run


async def test_a_hidden_instance_goes_with_its_last_run(database: Database) -> None:
    instance = an_instance(labels={"x": "1"})
    made = [a_run(instance, state=RunState.FAILED) for _ in range(2)]
    await store(database, instance, *made)
    await database.write(lambda tx: instances.hide_instance(tx, instance.id))
    assert await database.read(lambda tx: deletion.hidden_runs(tx, 1)) == [made[0].id]
    for run in made:
        assert await database.write(lambda tx, r=run: deletion.forget_run(tx, r.id))
    # The same id can be stored again: nothing of it is left.
    await store(database, instance)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_deleting_makes_an_sqlite_file_smaller(open_database: OpenDatabase, tmp_path: Path) -> None:
    database = await open_database()
    run = await a_stored_run(database, state=RunState.COMPLETED)
    rows = log_events(1, 2000, payload=b"x" * 2000)
    await database.write(lambda tx: events.append_events(tx, [(run.id, rows)]))
    await database.close()
    full = (tmp_path / "athanor.db").stat().st_size
    assert full > 4_000_000

    database = await open_database()
    await database.write(lambda tx: runs.hide_run(tx, run.id))
    while await database.write(lambda tx: events.delete_events(tx, run.id, 500)):
        pass
    assert await database.write(lambda tx: deletion.forget_run(tx, run.id))
    await database.close()
    assert (tmp_path / "athanor.db").stat().st_size < full / 4


async def test_a_request_is_remembered_in_the_transaction_that_does_what_it_asks(database: Database) -> None:
    instance = an_instance()

    def command(tx) -> str:
        if (known := requests.get_request(tx, "r-1")) is not None:
            return known.answer.decode()
        instances.insert_instance(tx, instance)
        requests.put_request(tx, "r-1", b"hash", instance.id.encode())
        return instance.id

    assert await database.write(command) == instance.id
    assert await database.write(command) == instance.id
    assert await database.read(lambda tx: requests.get_request(tx, "r-1")) == StoredRequest(
        b"hash", instance.id.encode()
    )
    assert await database.read(lambda tx: requests.get_request(tx, "r-2")) is None


async def test_old_requests_are_forgotten_in_steps(database: Database) -> None:
    for name in ("a", "b", "c"):
        await database.write(lambda tx, n=name: requests.put_request(tx, n, b"", b""))
    now = await database.read(lambda tx: tx.now_us)
    assert await database.write(lambda tx: requests.purge_requests(tx, now - 60_000_000, 9)) == 0
    assert await database.write(lambda tx: requests.purge_requests(tx, now + 60_000_000, 2)) == 2
    assert await database.read(lambda tx: requests.get_request(tx, "a")) is None
    assert await database.read(lambda tx: requests.get_request(tx, "c")) is not None
    assert await database.write(lambda tx: requests.purge_requests(tx, now + 60_000_000, 2)) == 1
