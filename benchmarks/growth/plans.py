"""How a database that has grown means to carry out what the calls ask of it, asked by the calls' own code."""

from collections.abc import Callable, Sequence
from typing import Any

from athanor_orchestrator.domain.clock import SystemClock
from athanor_orchestrator.domain.records import EventFilter, EventKind, RunState
from athanor_orchestrator.storage import (
    attempts,
    changes,
    deletion,
    events,
    instances,
    leases,
    postgresql,
    requests,
    runners,
    runs,
    sqlite,
)
from athanor_orchestrator.storage.database import dialect_for
from athanor_orchestrator.storage.transaction import Transaction

from benchmarks.growth.filling import EXPERIMENTS, OLD, Grown
from tests.support.plans import plans_of

Query = Callable[[Transaction], object]

# Small whatever has happened: what is in them now is all there is, and reading all of it is right.
SMALL = ("runners", "runner_experiments", "experiments", "discovery_errors")


def queries(grown: Grown) -> dict[str, Query]:
    """Return what get, list, start, claim and watch ask, and what the loops ask beside them."""
    run_id, instance_id = grown.runs[len(grown.runs) // 2], grown.instances[len(grown.instances) // 2]
    old = {"team": OLD}
    label, failed, live = {"team": "team-3"}, [RunState.FAILED], [RunState.PENDING, RunState.RUNNING]
    checkpoint = EventFilter(kinds=frozenset({EventKind.CHECKPOINT}))
    return {
        "get": lambda tx: runs.get_run(tx, run_id),
        "get an instance": lambda tx: instances.get_instance(tx, instance_id),
        "list": lambda tx: runs.list_runs(tx, limit=25),
        "list, a later page": lambda tx: runs.list_runs(tx, limit=25, before_id=run_id),
        "list by state": lambda tx: runs.list_runs(tx, limit=25, states=failed),
        "list live": lambda tx: runs.list_runs(tx, limit=25, states=live),
        "list by experiment": lambda tx: runs.list_runs(tx, limit=25, experiment=EXPERIMENTS[3]),
        "list by experiment and state": lambda tx: runs.list_runs(
            tx, limit=25, experiment=EXPERIMENTS[3], states=failed
        ),
        "list by label": lambda tx: runs.list_runs(tx, limit=25, labels=label),
        "list by label and state": lambda tx: runs.list_runs(tx, limit=25, labels=label, states=failed),
        "list by instance": lambda tx: runs.list_runs(tx, limit=25, instance_id=instance_id),
        "list by instance and state": lambda tx: runs.list_runs(tx, limit=25, instance_id=instance_id, states=failed),
        "list by a state of long ago": lambda tx: runs.list_runs(tx, limit=25, states=[RunState.CANCELLED]),
        "list by an experiment of long ago": lambda tx: runs.list_runs(tx, limit=25, experiment=OLD),
        "list by a label of long ago": lambda tx: runs.list_runs(tx, limit=25, labels=old),
        "list instances by an experiment of long ago": lambda tx: instances.list_instances(
            tx, limit=25, experiment=OLD
        ),
        "list instances by a label of long ago": lambda tx: instances.list_instances(tx, limit=25, labels=old),
        "list instances": lambda tx: instances.list_instances(tx, limit=25),
        "list instances by experiment": lambda tx: instances.list_instances(tx, limit=25, experiment=EXPERIMENTS[3]),
        "list instances by label": lambda tx: instances.list_instances(tx, limit=25, labels=label),
        "start: the request": lambda tx: requests.get_request(tx, "unknown"),
        "start: the instance": lambda tx: instances.lock_instance(tx, instance_id),
        "claim": lambda tx: runs.claimable(tx, EXPERIMENTS, 64),
        "claim: the next attempt": runs.next_claim_time_us,
        "claim: the runner": lambda tx: runners.lock_runner(tx, grown.runner),
        "claim: the last attempt": lambda tx: attempts.get_attempt(tx, run_id, 1),
        "claim: the checkpoint": lambda tx: events.newest_event(tx, run_id, checkpoint),
        "watch, some of a log": lambda tx: events.read_events(
            tx, run_id, after_sequence=2, upto=9, limit=10, max_bytes=1000
        ),
        "live leases": leases.live_leases,
        "overdue leases": leases.overdue_leases,
        "live leases of a runner": lambda tx: leases.live_leases_of_runner(tx, grown.runner),
        "silent runs": lambda tx: runs.set_unreachable(tx, [run_id], 1),
        "purge leases": lambda tx: leases.purge_ended(tx, 1, 1000),
        "purge requests": lambda tx: requests.purge_requests(tx, 1, 1000),
        "purge changes": lambda tx: changes.purge_changes(tx, 1, 1000),
        "hidden runs": lambda tx: deletion.hidden_runs(tx, 1),
    }


def of_the_driver(grown: Grown, backend: str) -> dict[str, list[tuple[str, Any]]]:
    """Return what is asked of the driver itself, for each event or page: statements with their parameters."""
    run_id = grown.runs[len(grown.runs) // 2]
    if backend == "sqlite":
        return {
            "watch": [(sqlite.READ_LOG, (run_id, 2, 9, 10))],
            "append": [
                (sqlite.READ_STANDINGS[1], (run_id,)),
                (sqlite.UPDATE_LEASE, (9, 9, b"", run_id)),
                (sqlite.UPDATE_RUN, (9, 1, 9, 0, run_id)),
            ],
        }
    counts = {"leases": [run_id], "runs": [run_id], "digests": [b""]}
    counts |= {name: [1] for name in ("reached", "attempts", "logs", "results", "events")}
    return {
        "watch": [(postgresql.READ_LOG, (run_id, 2, 9, 10, 1000))],
        "append": [
            (postgresql.LOCK_RUNS, ([run_id],)),
            (postgresql.READ_LEASES, ([run_id],)),
            (postgresql.UPDATE_COUNTS, counts),
        ],
    }


def plans(url: str, grown: Grown) -> dict[str, str]:
    """Return the plan of each query. Nothing that they ask is kept."""
    dialect = dialect_for(url, SystemClock())
    dialect.acquire()
    try:
        with dialect.writer.connect() as connection:
            found: dict[str, str] = {}
            for name, query in queries(grown).items():
                with connection.begin() as transaction:
                    found[name] = plans_of(Transaction(connection, dialect), query)
                    transaction.rollback()
            driver: Any = connection.connection.dbapi_connection
            for name, statements in of_the_driver(grown, connection.dialect.name).items():
                found[name] = _explained(driver, connection.dialect.name, statements)
            return found
    finally:
        dialect.release()


def _explained(driver: Any, backend: str, statements: Sequence[tuple[str, Any]]) -> str:
    explain, column = ("EXPLAIN QUERY PLAN ", 3) if backend == "sqlite" else ("EXPLAIN ", 0)
    found = [row[column] for statement, values in statements for row in driver.execute(explain + statement, values)]
    driver.rollback()
    return "\n".join(found)


def scans(plan: str) -> list[str]:
    """Return the lines of a plan that read a whole table which grows."""
    return [line for line in plan.splitlines() if _scans(line.strip().removeprefix("->").strip())]


def _scans(line: str) -> bool:
    if "Seq Scan on " in line:
        return line.partition("Seq Scan on ")[2].split()[0] not in SMALL
    if line.startswith("SCAN ") and "USING" not in line:
        # Of the journal an end is read, in the order in which it is kept; the others are queries within a statement.
        table = line.split()[1]
        grows = ("runs", "instances", "run_events", "run_results", "leases", "attempts", "requests", "run_labels")
        return table in (*grows, "instance_labels", "run_configurations")
    return False
