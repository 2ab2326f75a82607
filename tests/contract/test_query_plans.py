"""Every listing, claim and lookup goes by an index: asked of the databases themselves.

PostgreSQL is told to avoid scans and sorts, as large tables would make it do: what is left of them has no index.
"""

from collections.abc import Callable
from typing import Any

import pytest
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
    results,
    runners,
    runs,
    sqlite,
)
from athanor_orchestrator.storage.changes import Place
from athanor_orchestrator.storage.database import Database
from athanor_orchestrator.storage.transaction import Transaction

from tests.support.plans import plans_of

X = "01890000-0000-7000-8000-000000000001"
LIVE = [RunState.PENDING, RunState.RUNNING]
LABELS = {"a": "1", "b": "2"}
LOG, LIFECYCLE = frozenset({EventKind.LOG}), frozenset({EventKind.STATE_CHANGE, EventKind.ATTEMPT_STARTED})


def read_log(**how: Any) -> Callable[[Transaction], object]:
    return lambda tx: events.read_events(tx, X, limit=10, max_bytes=1000, after_sequence=5, **how)


# What may be sorted is few: what a label or an id list found, or the live leases.
SORTED = {"overdue leases", "live leases", "a set of runs", "attempts of runs", "what is kept of attempts", "runners",
          "a full page", "a live page", "runs by name", "instances by name"}  # fmt: skip

QUERIES: dict[str, Callable[[Transaction], object]] = {
    "runs": lambda tx: runs.list_runs(tx, limit=10, before_id=X),
    "runs of an instance": lambda tx: runs.list_runs(tx, limit=10, instance_id=X, before_id=X),
    "runs of an experiment": lambda tx: runs.list_runs(tx, limit=10, experiment="e", before_id=X),
    "runs in a state": lambda tx: runs.list_runs(tx, limit=10, states=[RunState.FAILED], before_id=X),
    "a live page": lambda tx: runs.list_runs(tx, limit=10, states=LIVE, before_id=X),
    "runs of an experiment in a state": lambda tx: runs.list_runs(
        tx, limit=10, states=[RunState.FAILED], experiment="e"
    ),
    "runs of an instance in a state": lambda tx: runs.list_runs(tx, limit=10, states=[RunState.FAILED], instance_id=X),
    "runs with a label": lambda tx: runs.list_runs(tx, limit=10, labels={"a": "1"}, before_id=X),
    "runs with labels in states": lambda tx: runs.list_runs(tx, limit=10, labels=LABELS, states=LIVE),
    "a full page": lambda tx: runs.list_runs(tx, limit=10, full=True, max_bytes=10),
    "one run": lambda tx: runs.get_run(tx, X),
    "a set of runs": lambda tx: runs.lock_runs(tx, [X]),
    "claimable runs": lambda tx: runs.claimable(tx, ["e", "f"], 5, [X]),
    "the next attempt": runs.next_claim_time_us,
    "instances": lambda tx: instances.list_instances(tx, limit=10, before_id=X),
    "instances of an experiment": lambda tx: instances.list_instances(tx, limit=10, experiment="e", before_id=X),
    "instances with labels": lambda tx: instances.list_instances(tx, limit=10, labels=LABELS, before_id=X),
    "a live run of an instance": lambda tx: instances.live_run_of(tx, X),
    "live leases": leases.live_leases,
    "live leases of a runner": lambda tx: leases.live_leases_of_runner(tx, X),
    "overdue leases": leases.overdue_leases,
    "leases of a run": lambda tx: leases.leases_of_run(tx, X),
    "leases": lambda tx: leases.get_leases(tx, [X]),
    "attempts of runs": lambda tx: attempts.list_attempts(tx, [X]),
    "runners": lambda tx: runners.list_runners(tx, X, 10, 0),
    "a log": read_log(),
    "a log, newest first": read_log(descending=True, upto=100),
    "errors": read_log(filter=EventFilter(kinds=LOG, minimum_level=40)),
    "the newest errors": read_log(filter=EventFilter(kinds=LOG, minimum_level=40), descending=True),
    "lifecycle": read_log(filter=EventFilter(kinds=LIFECYCLE)),
    "the newest checkpoint": lambda tx: events.newest_event(
        tx, X, EventFilter(kinds=frozenset({EventKind.CHECKPOINT}))
    ),
    "stored bytes": lambda tx: events.payloads(tx, X, 1, 5),
    "the oldest event": lambda tx: events.first_sequence(tx, X),
    "results": lambda tx: results.list_results(tx, X, limit=10, max_bytes=1000, after_sequence=5),
    "results of a key": lambda tx: results.list_results(tx, X, key="k", limit=10, max_bytes=1000),
    "superseding results": lambda tx: results.supersede(tx, X, 5, 2),
    "rows as they are": lambda tx: events.read_stored(tx, X, after_sequence=5, upto=100, limit=10, max_bytes=1000),
    "the ends of a log": lambda tx: events.extent(tx, X),
    "results of stored events": lambda tx: results.of_stored_events(tx, X, 5, 100),
    "the newest result": lambda tx: results.last_sequence(tx, X),
    "what is kept of attempts": lambda tx: attempts.accounts_of(tx, X),
    "runs with incomplete logs": lambda tx: attempts.with_incomplete_logs(tx, [X]),
    "a run's existence": lambda tx: runs.exists(tx, X),
    "a request": lambda tx: requests.get_request(tx, "r"),
    "hidden runs": lambda tx: deletion.hidden_runs(tx, 10),
    "the end of the journal": changes.end_of_journal,
    "changes behind a place": lambda tx: changes.read_changes(tx, Place(5, 7), 10),
    "old changes": lambda tx: changes.purge_changes(tx, 5, 10),
    "runs by name": lambda tx: runs.named_runs(tx, [X], full=True),
    "instances by name": lambda tx: instances.named_instances(tx, [X]),
    "gone processes": lambda tx: attempts.put_process_gone(tx, [X]),
}
# Which index it must be, where another would do worse. PostgreSQL chooses among whole ones by what the tables hold, and
# here they hold nothing: there only the partial ones are asked for.
NAMED = {
    "claimable runs": "ix_runs_claimable",
    "the next attempt": "ix_runs_next_attempt",
    "errors": "ix_run_events_notable",
    "the newest errors": "ix_run_events_notable",
    "lifecycle": "ix_run_events_notable",
    "the newest checkpoint": "ix_run_events_notable",
    "hidden runs": "ix_runs_hidden",
    "live leases of a runner": "ix_leases_live",
    "overdue leases": "ix_leases_live",
    "runs with a label": "ix_run_labels_key",
    "instances with labels": "ix_instance_labels_key",
    "results of a key": "ix_run_results_key",
    "runs in a state": "ix_runs_state",
    "a live page": "ix_runs_state",
    "runs of an experiment in a state": "ix_runs_experiment_state",
    "runs of an instance in a state": "ix_runs_instance_state",
}


# The journal is read from an end of it, in the order in which SQLite keeps the table: no index says that better.
IN_ITS_OWN_ORDER = {"SCAN changes", "SCAN oldest"}

PARTIAL = {"ix_runs_claimable", "ix_runs_next_attempt", "ix_run_events_notable", "ix_runs_hidden", "ix_leases_live"}


@pytest.fixture
def database_url(empty_database_url: str) -> str:
    """A new database: in one from the stock PostgreSQL has counted what other tests put in, and plans by that."""
    return empty_database_url


@pytest.mark.parametrize("name", QUERIES)
async def test_it_goes_by_an_index(database: Database, backend: str, name: str) -> None:
    def command(tx: Transaction) -> str:
        if tx.connection.dialect.name == "postgresql":
            for switch in ("enable_seqscan", "enable_sort", "enable_bitmapscan"):
                tx.connection.exec_driver_sql(f"SET LOCAL {switch} = off")
        return plans_of(tx, QUERIES[name])

    plan = await database.write(command)
    lines = plan.splitlines()
    # SQLite says SCAN also of the rows that an inner query of the same statement produced.
    assert "Seq Scan" not in plan, plan
    assert not [line for line in lines if line.startswith("SCAN") and "USING" not in line and "CONSTANT" not in line
                and not line.removeprefix("SCAN ").startswith(("(", "state_", "experiment_"))
                and line not in IN_ITS_OWN_ORDER], plan  # fmt: skip
    if name not in SORTED:
        assert "Sort" not in plan, plan
        assert "TEMP B-TREE" not in plan, plan
    if backend == "sqlite" or NAMED.get(name, "") in PARTIAL:
        assert NAMED.get(name, "") in plan, plan


async def test_so_does_the_way_of_a_whole_log_which_is_the_drivers_own(database: Database, backend: str) -> None:
    def command(tx: Transaction) -> str:
        driver: Any = tx.connection.connection.dbapi_connection
        if backend == "sqlite":
            return "\n".join(row[3] for row in driver.execute("EXPLAIN QUERY PLAN " + sqlite.READ_LOG, (X, 5, 100, 10)))
        for switch in ("enable_seqscan", "enable_sort", "enable_bitmapscan"):
            tx.connection.exec_driver_sql(f"SET LOCAL {switch} = off")
        return "\n".join(row[0] for row in driver.execute("EXPLAIN " + postgresql.READ_LOG, (X, 5, 100, 10, 1000)))

    plan = await database.write(command)
    by_key = "(run_id=? AND sequence>? AND sequence<?)" if backend == "sqlite" else "Index Scan using run_events_pkey"
    assert by_key in plan, plan
    for fault in ("Sort", "TEMP B-TREE", "Seq Scan", "SCAN"):
        assert fault not in plan, plan


@pytest.mark.parametrize("count", [1, 300])
async def test_so_does_what_is_read_with_every_commit_of_events(database: Database, backend: str, count: int) -> None:
    def command(tx: Transaction) -> str:
        driver: Any = tx.connection.connection.dbapi_connection
        if backend == "sqlite":
            found = [driver.execute(f"EXPLAIN QUERY PLAN {query}", ["x"] * number)
                     for number, query in sqlite.READ_STANDINGS.items()]  # fmt: skip
            return "\n".join(row[3] for rows in found for row in rows)
        for switch in ("enable_seqscan", "enable_sort", "enable_bitmapscan"):
            tx.connection.exec_driver_sql(f"SET LOCAL {switch} = off")
        found = [driver.execute(f"EXPLAIN {query}", ([X] * count,))
                 for query in (postgresql.LOCK_RUNS, postgresql.READ_LEASES)]  # fmt: skip
        return "\n".join(row[0] for rows in found for row in rows)

    plan = await database.write(command)
    for fault in ("Sort", "TEMP B-TREE", "Seq Scan", "SCAN "):
        assert fault not in plan, plan
