"""Fills a database with finished runs, as fast as it takes rows: as the code would have left them, log by log.

Every run has the same short log, so its bytes are made once; VerifyRun finds them complete.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import sqlalchemy
from athanor.experiment import wire
from athanor.v1 import run_pb2
from athanor_orchestrator.domain import digests
from athanor_orchestrator.domain.clock import SystemClock
from athanor_orchestrator.domain.ids import new_id
from athanor_orchestrator.domain.policy import resolve
from athanor_orchestrator.domain.records import (
    AttemptOutcome,
    ChangeKind,
    EventKind,
    LeaseEnd,
    Policy,
    Resource,
    RunState,
)
from athanor_orchestrator.engine import codec
from athanor_orchestrator.storage import migration, schema
from athanor_orchestrator.storage.columns import labels_json, policy_columns
from athanor_orchestrator.storage.database import dialect_for
from athanor_orchestrator.storage.dialect import Dialect

EXPERIMENTS = [f"grown-{number:02}" for number in range(20)]
OLD = "grown-old"  # the experiment of the oldest runs alone, which alone are cancelled, and alone are labelled so
OLDEST = 0.02  # of all
TEAMS = 10  # values of the label that every instance has, and one of so many runs:
LABELLED = 11
_CONFIGURATION = json.dumps({"epochs": 20, "rate": 0.01, "layers": [64, 64]})
_DAY_US = 24 * 3_600_000_000
_RUNS_AT_ONCE = 10_000  # in one transaction


@dataclass(frozen=True)
class Size:
    """How much there is. Each run has its StateChanges, AttemptStarted and AttemptEnded, and log entries between."""

    instances: int
    runs: int
    events_per_run: int = 10


@dataclass(frozen=True)
class Grown:
    """What was put in, for calls to ask for: some of it."""

    instances: Sequence[str]
    runs: Sequence[str]
    runner: str  # that executed all of them


@dataclass(frozen=True)
class _Log:
    """The events behind the first one of a run: (attempt, kind, level, time, payload), and what its attempt says."""

    rows: Sequence[tuple[int, int, int | None, int, bytes]]
    digest: bytes
    state: RunState


def fill(url: str, size: Size, say: Callable[[str], None]) -> Grown:
    """Make the schema and fill it. PostgreSQL gets its statistics, as autovacuum would have made them."""
    dialect = dialect_for(url, SystemClock())
    dialect.acquire()
    try:
        migration.upgrade(dialect)
        put = _copy if url.startswith("postgres") else _insert
        with dialect.writer.connect() as connection:
            if put is _insert:
                # Nobody waits for what is being filled; the first thing that the orchestrator does is durable again.
                connection.connection.dbapi_connection.execute("PRAGMA synchronous = OFF")
            grown = _Filling(dialect, connection, size, put, say).fill()
        if put is _copy:
            with dialect.writer.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("SET statement_timeout = 0")
                connection.exec_driver_sql("VACUUM ANALYZE")
    finally:
        dialect.release()
    return grown


Put = Callable[[sqlalchemy.Connection, sqlalchemy.Table, Sequence[str], Iterable[Sequence[Any]]], None]


def _insert(
    connection: sqlalchemy.Connection, table: sqlalchemy.Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    places = ", ".join("?" * len(columns))
    driver = cast(Any, connection.connection.dbapi_connection)
    driver.executemany(f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({places})", rows).close()


def _copy(
    connection: sqlalchemy.Connection, table: sqlalchemy.Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    driver = cast(Any, connection.connection.dbapi_connection)
    with driver.cursor() as cursor, cursor.copy(f"COPY {table.name} ({', '.join(columns)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


class _Filling:
    def __init__(
        self,
        dialect: Dialect,
        connection: sqlalchemy.Connection,
        size: Size,
        put: Put,
        say: Callable[[str], None],
    ) -> None:
        self._connection = connection
        self._size = size
        self._put = put
        self._say = say
        with connection.begin():
            self._now_us = dialect.now_us(connection)
        self._since_us = self._now_us - 6 * _DAY_US  # ended leases are kept for seven
        self._policy = tuple(policy_columns(resolve(Policy())).values())
        self._runner_id = new_id()
        self._logs = {state: _log(size.events_per_run, state, self._since_us) for state in _OUTCOMES}

    def fill(self) -> Grown:
        instances = [self._id_at(0) for _ in range(self._size.instances)]
        with self._connection.begin():
            self._put_experiments()
        per_instance = -(-self._size.runs // self._size.instances)
        kept: list[str] = []
        at_once = max(1, _RUNS_AT_ONCE // per_instance)
        for first in range(0, len(instances), at_once):
            part = instances[first : first + at_once]
            numbers = range(first * per_instance, min((first + len(part)) * per_instance, self._size.runs))
            runs = [(self._id_at(number / self._size.runs), number) for number in numbers]
            with self._connection.begin():
                self._put_instances(part, first, runs, per_instance)
                self._put_runs(runs, part, first, per_instance)
            kept += [run_id for run_id, _ in runs[:: max(1, self._size.runs // 10_000)]]
            self._say(f"filling: {(first + len(part)) * per_instance:,} of {self._size.runs:,} runs")
        with self._connection.begin():
            self._put_lately(kept)
        return Grown(instances[:: max(1, len(instances) // 10_000)], kept, self._runner_id)

    def _id_at(self, share: float) -> str:
        return new_id(self._since_us + round(share * 5 * _DAY_US))

    def _is_old(self, number: int, of: int) -> bool:
        return number < OLDEST * of

    def _experiment(self, instance: int) -> str:
        return OLD if self._is_old(instance, self._size.instances) else EXPERIMENTS[instance % len(EXPERIMENTS)]

    def _labels(self, number: int, of: int) -> dict[str, str]:
        return {"team": OLD if self._is_old(number, of) else f"team-{number // LABELLED % TEAMS}"}

    def _state(self, run: int) -> RunState:
        """Most complete, some fail."""
        if self._is_old(run, self._size.runs):
            return RunState.CANCELLED
        return RunState.FAILED if run % 10 == 9 else RunState.COMPLETED

    def _rows(self, table: sqlalchemy.Table, columns: str, rows: Iterable[Sequence[Any]]) -> None:
        self._put(self._connection, table, columns.split(), rows)

    def _put_experiments(self) -> None:
        self._rows(
            schema.experiments,
            "name title description configuration_schema_json default_configuration_json code_digest code_module"
            " code_distribution code_git_commit code_git_dirty create_time_us update_time_us",
            [
                (name, name, "", "{}", "{}", "", "m:a", "", "", False, self._since_us, self._since_us)
                for name in (*EXPERIMENTS, OLD)
            ],
        )

        self._rows(
            schema.runners,
            "id display_name version slots session_number session_id connected draining last_seen_us",
            [(self._runner_id, "filler", "", 1, 1, "", False, False, self._since_us)],
        )

    def _put_instances(self, ids: Sequence[str], first: int, runs: Sequence[tuple[str, int]], each: int) -> None:
        last = {number // each: (run_id, number) for run_id, number in runs}
        self._rows(
            schema.instances,
            "id experiment name description configuration_json labels_json etag create_time_us update_time_us"
            " run_count last_run_id last_run_state last_run_time_us",
            [
                (
                    *(id, self._experiment(number), f"instance {number}", "", _CONFIGURATION),
                    *(
                        labels_json(self._labels(number, self._size.instances)),
                        "etag",
                        self._since_us,
                        self._since_us,
                        each,
                    ),
                    *(last[number][0], int(self._state(last[number][1])), self._since_us),
                )
                for number, id in enumerate(ids, first)
                if number in last
            ],
        )
        labels = [
            (id, key, value)
            for number, id in enumerate(ids, first)
            if number in last
            for key, value in self._labels(number, self._size.instances).items()
        ]
        self._rows(schema.instance_labels, "instance_id key value", labels)

    def _put_runs(self, runs: Sequence[tuple[str, int]], instances: Sequence[str], first: int, each: int) -> None:
        self._rows(
            schema.runs,
            "id instance_id experiment state policy_timeout_us policy_cancel_grace_period_us policy_max_attempts"
            " policy_retry_backoff_us policy_lost_after_us seed labels_json create_time_us attempt_count failure_kind"
            " failure_message failure_detail last_sequence log_count result_count cancel_reason start_time_us"
            " end_time_us",
            self._of_runs(runs, instances, first, each),
        )
        self._rows(schema.run_configurations, "run_id configuration_json", ((id, _CONFIGURATION) for id, _ in runs))
        labelled = (
            (id, key, value)
            for id, number in runs
            if number % LABELLED == 0
            for key, value in self._labels(number, self._size.runs).items()
        )
        self._rows(schema.run_labels, "run_id key value", labelled)
        leases = [(id, number, self._id_at(number / self._size.runs)) for id, number in runs]
        self._rows(
            schema.leases,
            "id run_id runner_id session_number attempt grant_time_us renew_time_us expire_time_us lost_after_us"
            " first_sequence last_sequence event_count digest end_reason end_time_us",
            (
                (
                    *(
                        lease_id,
                        run_id,
                        self._runner_id,
                        1,
                        1,
                        self._since_us,
                        self._since_us,
                        self._since_us + _DAY_US,
                    ),
                    *(_DAY_US, 2, self._size.events_per_run - 1, self._size.events_per_run - 2),
                    *(self._logs[self._state(number)].digest, LeaseEnd.ENDED.value, self._now_us - _DAY_US),
                )
                for run_id, number, lease_id in leases
            ),
        )
        self._rows(
            schema.attempts,
            "run_id number lease_id runner_id code_digest code_module code_distribution code_git_commit code_git_dirty"
            " start_time_us end_time_us outcome process_gone log_complete last_sequence event_count digest",
            (
                (
                    *(run_id, 1, lease_id, self._runner_id, "load", "load:load", "", "", False),
                    *(self._since_us, self._since_us, int(_OUTCOMES[self._state(number)]), True, True),
                    *(self._size.events_per_run - 1, self._size.events_per_run - 2),
                    self._logs[self._state(number)].digest,
                )
                for run_id, number, lease_id in leases
            ),
        )
        self._rows(
            schema.run_events,
            "run_id sequence attempt kind level key time_us payload checksum",
            self._events(runs),
        )

    def _of_runs(
        self, runs: Sequence[tuple[str, int]], instances: Sequence[str], first: int, each: int
    ) -> Iterator[Sequence[Any]]:
        for run_id, number in runs:
            instance, state = number // each, self._state(number)
            failed = state is RunState.FAILED
            yield (
                *(run_id, instances[instance - first], self._experiment(instance), int(state)),
                *self._policy,
                *(
                    "7",
                    labels_json(self._labels(number, self._size.runs)) if number % LABELLED == 0 else "{}",
                    self._since_us,
                    1,
                ),
                *((3, "broken", "") if failed else (None, None, None)),
                *(self._size.events_per_run, self._size.events_per_run - 4, 0, "", self._since_us, self._since_us),
            )

    def _events(self, runs: Sequence[tuple[str, int]]) -> Iterator[Sequence[Any]]:
        prepared = {
            state: [
                (sequence, attempt, kind, level, None, time_us, payload, digests.checksum(payload))
                for sequence, (attempt, kind, level, time_us, payload) in enumerate(log.rows, 1)
            ]
            for state, log in self._logs.items()
        }
        for run_id, number in runs:
            for row in prepared[self._state(number)]:
                yield (run_id, *row)

    def _put_lately(self, runs: Sequence[str]) -> None:
        """Add what is kept for a day or less: answers of calls, and the journal."""
        self._rows(
            schema.requests,
            "request_id body_hash answer create_time_us",
            ((new_id(), bytes(32), bytes(200), self._now_us - 60_000_000) for _ in range(self._size.runs // 10)),
        )
        self._rows(
            schema.changes,
            "time_us resource resource_id kind instance_id experiment labels_json",
            (
                (self._now_us, int(Resource.RUN), run_id, int(ChangeKind.STATE), "", EXPERIMENTS[0], "{}")
                for run_id in runs
            ),
        )


_OUTCOMES = {
    RunState.COMPLETED: AttemptOutcome.COMPLETED,
    RunState.FAILED: AttemptOutcome.FAILED,
    RunState.CANCELLED: AttemptOutcome.CANCELLED,
}


def _log(events: int, state: RunState, time_us: int) -> _Log:
    """Make a log of so many events that ends in a state."""
    time_ns = time_us * 1000
    created = codec.state_change(1, 0, time_us, RunState.PENDING, "created")
    started = wire.attempt_started("load", wire.code_version("load", "load:load", "", "", False), "{}")
    recorded = [(EventKind.ATTEMPT_STARTED, None, wire.run_event(2, 1, time_ns, wire.ATTEMPT_STARTED, started))]
    for sequence in range(3, events - 1):
        entry = wire.log_entry(wire.LEVELS["info"], "epoch finished", json.dumps({"epoch": sequence, "loss": 0.5}))
        recorded.append((EventKind.LOG, wire.LEVELS["info"], wire.run_event(sequence, 1, time_ns, wire.LOG, entry)))
    digest = digests.chain(digests.START, [payload for _, _, payload in recorded])
    outcome, failure = run_pb2.AttemptOutcome.ValueType(int(_OUTCOMES[state])), None
    if state is RunState.FAILED:
        failure = wire.failure(3, "broken")
    end = wire.attempt_ended(outcome, failure, len(recorded) + 1, digest)
    recorded.append((EventKind.ATTEMPT_ENDED, None, wire.run_event(events - 1, 1, time_ns, wire.ATTEMPT_ENDED, end)))
    over = codec.state_change(events, 0, time_us, state, "")
    rows = [
        (0, int(EventKind.STATE_CHANGE), None, time_us, created.payload),
        *((1, int(kind), level, time_us, payload) for kind, level, payload in recorded),
        (0, int(EventKind.STATE_CHANGE), None, time_us, over.payload),
    ]
    return _Log(rows, digest, state)
