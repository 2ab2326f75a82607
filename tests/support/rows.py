"""Records to fill a database with, plain unless a test says otherwise, and the commands that store them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from athanor_orchestrator.domain.ids import new_id
from athanor_orchestrator.domain.policy import resolve
from athanor_orchestrator.domain.records import (
    Attempt,
    CodeVersion,
    EventKind,
    EventRow,
    Instance,
    Lease,
    Policy,
    ResultRow,
    Run,
    Runner,
    RunState,
    StoredEvent,
)
from athanor_orchestrator.storage import instances, leases, runs
from athanor_orchestrator.storage.database import Database

EPOCH_US = 1_700_000_000_000_000
CODE = CodeVersion("digest", "module:attr", "distribution 1", "commit", True)


def an_instance(**fields: Any) -> Instance:
    """Make an instance."""
    plain = Instance(
        id=new_id(),
        experiment="digits",
        name="an instance",
        description="",
        configuration_json='{"a": 1}',
        labels={},
        etag="etag-1",
        create_time_us=EPOCH_US,
        update_time_us=EPOCH_US,
    )
    return replace(plain, **fields)


def a_run(instance: Instance, **fields: Any) -> Run:
    """Make a run that waits."""
    plain = Run(
        id=new_id(),
        instance_id=instance.id,
        experiment=instance.experiment,
        state=RunState.PENDING,
        configuration_json=instance.configuration_json,
        policy=resolve(Policy()),
        seed=7,
        labels={},
        create_time_us=EPOCH_US,
        last_sequence=1,
    )
    return replace(plain, **fields)


def a_lease(run: Run, **fields: Any) -> Lease:
    """Make a lease of a run."""
    plain = Lease(
        id=new_id(),
        run_id=run.id,
        runner_id=new_id(),
        session_number=1,
        attempt=1,
        grant_time_us=EPOCH_US,
        renew_time_us=EPOCH_US,
        expire_time_us=EPOCH_US + 60_000_000,
        first_sequence=run.last_sequence + 1,
        last_sequence=run.last_sequence,
    )
    return replace(plain, **fields)


def a_runner(**fields: Any) -> Runner:
    """Make a runner that is connected."""
    plain = Runner(
        id=new_id(),
        display_name="host",
        version="1",
        slots=2,
        session_number=1,
        session_id=new_id(),
        connected=True,
        last_seen_us=EPOCH_US,
    )
    return replace(plain, **fields)


def an_attempt(**fields: Any) -> Attempt:
    """Make an attempt under way."""
    return replace(Attempt(number=1, runner_id=new_id(), code=CODE, start_time_us=EPOCH_US), **fields)


def a_log_event(sequence: int, **fields: Any) -> EventRow:
    """Make a log entry's event; its payload is not a real message."""
    plain = EventRow(sequence, 1, EventKind.LOG, 20, None, EPOCH_US + sequence, b"log %d" % sequence)
    return plain._replace(**fields)


def log_events(first: int, last: int, **fields: Any) -> list[EventRow]:
    """Make log entries numbered `first` to `last`."""
    return [a_log_event(sequence, **fields) for sequence in range(first, last + 1)]


def a_result(sequence: int, **fields: Any) -> ResultRow:
    """Make a result."""
    return replace(ResultRow(sequence, 1, "score", '{"value": 1}', EPOCH_US + sequence), **fields)


async def store(database: Database, *records: Instance | Run | Lease) -> None:
    """Store instances, runs and leases, in one transaction."""

    def command(tx: Any) -> None:
        for record in records:
            match record:
                case Instance():
                    instances.insert_instance(tx, record)
                case Run():
                    runs.insert_run(tx, record)
                case Lease():
                    leases.insert_lease(tx, record)

    await database.write(command)


async def a_stored_run(database: Database, **fields: Any) -> Run:
    """Store a run of a new instance."""
    instance = an_instance()
    run = a_run(instance, **fields)
    await store(database, instance, run)
    return run


async def get(database: Database, run: Run) -> Run:
    """Read a run that must be there."""
    found = await database.read(lambda tx: runs.get_run(tx, run.id))
    assert found is not None
    return found


def numbers(rows: Sequence[EventRow | ResultRow | StoredEvent]) -> list[int]:
    """Return the sequences of rows."""
    return [row.sequence for row in rows]
