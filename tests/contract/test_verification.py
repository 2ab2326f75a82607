"""A log in a real database, spoiled there behind the orchestrator's back: both databases tell the same of it."""

import asyncio
import zlib
from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy
from alembic import command
from alembic.config import Config
from athanor_orchestrator.domain.certificate import Certificate, FaultKind, Verdict
from athanor_orchestrator.domain.clock import SystemClock
from athanor_orchestrator.domain.records import Attempt, AttemptOutcome, EventKind, EventRow
from athanor_orchestrator.engine import verification
from athanor_orchestrator.engine.verification import Verification
from athanor_orchestrator.storage import attempts, events, migration, results
from athanor_orchestrator.storage.database import Database, dialect_for
from athanor_orchestrator.storage.schema import run_events, run_results, runs
from athanor_orchestrator.storage.transaction import Transaction
from sqlalchemy import delete, text, update

from tests.support.databases import ignore
from tests.support.recorded import Plan, Recorded, other_message, record
from tests.support.rows import CODE, EPOCH_US, a_lease, an_instance, get, log_events, store

MISSING, ALTERED, DIGEST = FaultKind.MISSING, FaultKind.ALTERED, FaultKind.DIGEST
SURPLUS, DISAGREEMENT = FaultKind.SURPLUS, FaultKind.DISAGREEMENT


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "PAGE_EVENTS", 4)


async def put(database: Database, log: Recorded) -> Recorded:
    """Store a log with everything beside it, by the functions that the orchestrator stores it with."""
    await store(database, an_instance(id=log.run.instance_id), log.run)

    def command(tx: Transaction) -> None:
        rows = [
            EventRow(row.sequence, row.attempt, EventKind(row.kind), row.level, row.key, row.time_us, row.payload)
            for row in log.events.values()
        ]
        events.append_events(tx, [(log.run.id, rows)])
        results.append_results(tx, [(log.run.id, list(log.results.values()))])
        for account in log.accounts:
            lease = f"lease-{account.number}"
            attempts.insert_attempt(tx, log.run.id, lease, Attempt(account.number, "runner", CODE))
            if account.outcome is not AttemptOutcome.UNSPECIFIED:
                assert account.event_count is not None
                assert account.digest is not None
                attempts.end_attempt(
                    tx,
                    log.run.id,
                    account.number,
                    end_time_us=EPOCH_US,
                    outcome=account.outcome,
                    failure=None,
                    process_gone=True,
                    log_complete=account.log_complete,
                    last_sequence=account.last_sequence,
                    event_count=account.event_count,
                    digest=account.digest,
                )

    await database.write(command)
    last = log.accounts[-1] if log.accounts else None
    if last is not None and last.outcome is AttemptOutcome.UNSPECIFIED:
        lease = a_lease(
            log.run,
            id=f"lease-{last.number}",
            attempt=last.number,
            last_sequence=last.last_sequence,
            event_count=last.event_count,
            digest=last.digest,
        )
        await store(database, lease)
    return log


async def execute(database: Database, statement: Any, **parameters: Any) -> int:
    return await database.write(lambda tx: tx.connection.execute(statement, parameters).rowcount)


async def verify(database: Database, log: Recorded) -> Certificate:
    return await Verification(database).verify(log.run.id)


def named(certificate: Certificate) -> list[tuple[FaultKind, int, int]]:
    return [(fault.kind, fault.first_sequence, fault.last_sequence) for fault in certificate.faults]


@pytest.mark.parametrize(
    ("plans", "verdict"),
    [
        ([Plan("llrlllrllc")], Verdict.COMPLETE),
        ([Plan("rcrr", "failed"), Plan("rlll", restores=True)], Verdict.COMPLETE),
        ([Plan("rl", "lost")], Verdict.INCOMPLETE),
        ([Plan("rcl", "failed"), Plan("llrl", "under way", restores=True)], Verdict.UNDER_WAY),
        ([], Verdict.COMPLETE),
    ],
)
async def test_what_was_stored_is_certified(database: Database, plans: list[Plan], verdict: Verdict) -> None:
    log = await put(database, record(*plans))
    certificate = await verify(database, log)
    assert certificate.faults == ()
    assert certificate == log.certificate()
    assert certificate.verdict is verdict


async def test_deleted_and_altered_events_are_named(database: Database) -> None:
    log = await put(database, record(Plan("l" * 20)))
    of_run = run_events.c.run_id == log.run.id
    await execute(database, delete(run_events).where(of_run, run_events.c.sequence.in_([5, 6, 11])))
    changed = other_message(log.events[9].payload)
    await execute(database, update(run_events).where(of_run, run_events.c.sequence == 9).values(payload=changed))
    await execute(database, update(run_events).where(of_run, run_events.c.sequence == 14).values(level=40))
    certificate = await verify(database, log)
    assert named(certificate) == [(MISSING, 5, 6), (ALTERED, 9, 9), (MISSING, 11, 11), (ALTERED, 14, 14)]
    assert (certificate.verdict, certificate.event_count) == (Verdict.DAMAGED, log.last - 3)


async def test_a_run_without_its_tail_is_not_whole(database: Database) -> None:
    log = await put(database, record(Plan("l" * 20)))
    of_run = run_events.c.run_id == log.run.id
    await execute(database, delete(run_events).where(of_run, run_events.c.sequence > 12))
    assert named(await verify(database, log)) == [(MISSING, 13, log.last)]
    await execute(database, update(runs).where(runs.c.id == log.run.id).values(last_sequence=12))
    assert named(await verify(database, log)) == [(MISSING, 13, log.last), (DISAGREEMENT, 0, 0)]
    await execute(database, delete(run_events).where(of_run))
    assert named(await verify(database, log)) == [(MISSING, 1, log.last), (DISAGREEMENT, 0, 0)]


async def test_an_alteration_that_made_its_own_checksum_is_found_by_the_digest(database: Database) -> None:
    log = await put(database, record(Plan("llll", "lost")))
    payload = other_message(log.events[4].payload)
    row = (run_events.c.run_id == log.run.id) & (run_events.c.sequence == 4)
    await execute(database, update(run_events).where(row).values(payload=payload, checksum=zlib.crc32(payload)))
    assert named(await verify(database, log)) == [(DIGEST, 2, 7)]


async def test_more_than_the_log_and_other_than_the_log_is_told(database: Database) -> None:
    log = await put(database, record(Plan("lrl")))
    more = log_events(log.last + 1, log.last + 2)
    await database.write(lambda tx: events.append_events(tx, [(log.run.id, more)]))
    assert named(await verify(database, log)) == [(SURPLUS, log.last + 1, log.last + 2)]
    await execute(
        database, delete(run_events).where(run_events.c.run_id == log.run.id, run_events.c.sequence > log.last)
    )

    await execute(database, update(run_results).values(value='{"forged": 1}'))
    assert named(await verify(database, log)) == [(DISAGREEMENT, 4, 4)]
    await execute(database, delete(run_results))
    assert named(await verify(database, log)) == [(DISAGREEMENT, 4, 4), (DISAGREEMENT, 0, 0)]


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("payload = replace(payload, 'line', 'life')", "replaced by text"),  # what replace() gives is text
        ("payload = CAST(payload AS TEXT)", "replaced by text"),
        ("payload = x''", "checksum"),
        ("level = 'high', checksum = 0", "checksum"),
        ("level = 'high'", "otherwise: level"),
        ("attempt = 'first'", "otherwise: attempt"),
        ("kind = 99", "otherwise: kind"),
        ("key = x'00ff'", "otherwise: key"),
    ],
)
async def test_whatever_sqlite_lets_into_a_column_is_named(database: Database, assignment: str, says: str) -> None:
    log = await put(database, record(Plan("llll")))
    assert await execute(database, text(f"UPDATE run_events SET {assignment} WHERE sequence = 4")) == 1
    certificate = await verify(database, log)
    assert named(certificate) == [(ALTERED, 4, 4)]
    assert says in certificate.faults[0].detail


async def test_a_hole_with_many_results_is_passed_without_reading_them(database: Database) -> None:
    """Their rows are still there, as many as there are: what is compared is only what has an event."""
    log = await put(database, record(Plan("l" + "r" * 50 + "l")))
    of_run = run_events.c.run_id == log.run.id
    await execute(database, delete(run_events).where(of_run, run_events.c.sequence.between(5, 52)))
    assert await database.read(lambda tx: len(results.of_stored_events(tx, log.run.id, 1, 60))) == 2
    assert named(await verify(database, log)) == [(MISSING, 5, 52)]


async def test_a_log_of_before_the_certificate_is_checked_by_its_own_digest(
    empty_database_url: str, backend: str
) -> None:
    """Rows of a database that was made by the first schema, with neither checksums nor what is kept of attempts."""
    log = record(Plan("llrll"), old=True)
    lost = record(Plan("ll", "lost"), old=True)
    dialect = dialect_for(empty_database_url, SystemClock())
    try:
        with dialect.writer.connect() as connection, connection.begin():
            config = Config()
            config.set_main_option("script_location", str(migration.SCRIPTS))
            config.attributes["connection"] = connection
            command.upgrade(config, "0001")
            for each in (log, lost):
                _insert_as_before(connection, each)
    finally:
        dialect.release()

    database = await asyncio.to_thread(Database.open, empty_database_url, clock=SystemClock(), on_commit=ignore)
    database.start(asyncio.get_running_loop())
    try:
        assert (await get(database, log.run)).attempts[0].log_complete
        assert (await verify(database, log)).verdict is Verdict.COMPLETE
        assert (await verify(database, lost)).verdict is Verdict.INCOMPLETE

        row = (run_events.c.run_id == log.run.id) & (run_events.c.sequence == 4)
        await execute(database, update(run_events).where(row).values(payload=other_message(log.events[4].payload)))
        assert named(await verify(database, log)) == [(DIGEST, 2, 8)]
        await execute(database, delete(run_events).where(row))
        assert named(await verify(database, log)) == [(MISSING, 4, 4)]
    finally:
        await database.close()


def _insert_as_before(connection: sqlalchemy.Connection, log: Recorded) -> None:
    run = log.run
    columns: dict[str, Any] = {
        "id": run.instance_id, "experiment": "e", "name": "n", "description": "", "configuration_json": "{}",
        "labels_json": "{}", "etag": "", "create_time_us": 0, "update_time_us": 0, "run_count": 1,
    }  # fmt: skip
    _insert(connection, "instances", [columns])
    columns = {
        "id": run.id, "instance_id": run.instance_id, "experiment": "e", "state": run.state.value, "seed": "1",
        "labels_json": "{}", "create_time_us": 0, "attempt_count": 1, "last_sequence": run.last_sequence,
        "log_count": run.log_count, "result_count": run.result_count, "cancel_reason": "",
    }  # fmt: skip
    _insert(connection, "runs", [columns])
    _insert(connection, "run_configurations", [{"run_id": run.id, "configuration_json": "{}"}])
    (account,) = log.accounts
    columns = {
        "run_id": run.id, "number": 1, "lease_id": f"lease {run.id[-8:]}", "runner_id": "r", "code_digest": "",
        "code_module": "", "code_distribution": "", "code_git_commit": "", "code_git_dirty": False,
        "outcome": account.outcome.value, "process_gone": True, "log_complete": account.log_complete,
        "last_sequence": account.last_sequence,
    }  # fmt: skip
    _insert(connection, "attempts", [columns])
    rows = [
        {
            "run_id": run.id, "sequence": row.sequence, "attempt": row.attempt, "kind": row.kind, "level": row.level,
            "key": row.key, "time_us": row.time_us, "payload": row.payload,
        }
        for row in log.events.values()
    ]  # fmt: skip
    _insert(connection, "run_events", rows)
    rows = [
        {
            "run_id": run.id, "sequence": row.sequence, "attempt": row.attempt, "key": row.key,
            "value": row.value_json, "time_us": row.time_us, "superseded": row.superseded,
        }
        for row in log.results.values()
    ]  # fmt: skip
    _insert(connection, "run_results", rows)


def _insert(connection: sqlalchemy.Connection, table: str, rows: Sequence[dict[str, Any]]) -> None:
    """Insert by the names of the columns alone: the schema of the code is a newer one."""
    for row in rows:
        names = ", ".join(row)
        values = ", ".join(f"CAST(:{n} AS JSON)" if _is_json(connection, table, n) else f":{n}" for n in row)
        connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)


def _is_json(connection: sqlalchemy.Connection, table: str, name: str) -> bool:
    json = (name == "configuration_json") or (table == "run_results" and name == "value")
    return json and connection.dialect.name == "postgresql"
