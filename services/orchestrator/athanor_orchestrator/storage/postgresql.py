"""PostgreSQL: what several orchestrators share."""

import contextlib
import os
import socket
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any, cast

import psycopg
import sqlalchemy
from sqlalchemy import ColumnElement, LargeBinary, Table, Text, and_, any_, bindparam, case, exc, func, select
from sqlalchemy import cast as cast_column
from sqlalchemy.dialects import postgresql
from sqlalchemy.pool import NullPool, QueuePool

from athanor_orchestrator.domain import ids
from athanor_orchestrator.domain.event_columns import EventColumns
from athanor_orchestrator.domain.records import Reach
from athanor_orchestrator.storage.aliases import AnyRow, AnySelect
from athanor_orchestrator.storage.dialect import (
    READERS,
    Dialect,
    Listener,
    ResultTuple,
    StandingTuple,
    Trouble,
    event_tuples,
)
from athanor_orchestrator.storage.notifications import CHANNEL, NotificationListener, encode

# Numbers of advisory locks: "athanor", 1 and 2.
_SCHEMA_LOCK = 0x61746861_6E6F7201
_CHANGES_LOCK = 0x61746861_6E6F7202

_CONNECT = {
    "connect_timeout": 5,
    "application_name": "athanor-orchestrator",
    # A peer that vanished is noticed within seconds, not within the two hours of the system's defaults.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
# Every listing here has an index in its order and stops after a page. Of a run that is new the planner has no figures:
# it takes its log for short, and without this reads and sorts all that is left of it for each page. What is joined to a
# page is looked up for each row of it, never read as a whole.
_PLANS = (
    " -c enable_sort=off -c enable_bitmapscan=off -c enable_incremental_sort=off"
    " -c enable_mergejoin=off -c enable_hashjoin=off"
)
# The server gives up before the client does (dialect.py), so that what becomes of a transaction is known; and a client
# that vanished in the middle of one does not hold its locks for long.
_LIMITS = (
    " -c statement_timeout=30s -c idle_in_transaction_session_timeout=30s"
    " -c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3 -c tcp_user_timeout=20s"
)
_WRITER_OPTIONS = (
    "-c synchronous_commit=on"  # also where the server's default is off: what is acknowledged outlives a crash
    " -c default_transaction_isolation=read\\ committed -c lock_timeout=5s" + _LIMITS + _PLANS
)
_READER_OPTIONS = (
    "-c default_transaction_isolation=repeatable\\ read -c default_transaction_read_only=on" + _LIMITS + _PLANS
)

# Classes of SQLSTATE, and single states: connection; the server is being stopped, or crashed; it ended a transaction in
# which nothing happened; a standby (whose place another may have taken).
_LOST = ("08", "57P", "25P03", "25006")
# Resources (disk full, too many connections), the operator or a timeout, the system; a lock that was not got in time.
_UNAVAILABLE = ("53", "57", "58", "55P03")
_REPEAT = ("40001", "40P01")  # serialization failure, deadlock

# What one value may be refused for: it is no JSON, or nested deeper than the server reads.
_REFUSED = (psycopg.DataError, psycopg.errors.StatementTooComplex)

_COPY_EVENTS = (
    "COPY run_events (run_id, sequence, attempt, kind, level, key, time_us, payload, checksum)"
    " FROM STDIN (FORMAT BINARY)"
)
_EVENT_TYPES = ["varchar", "int8", "int4", "int4", "int4", "text", "int8", "bytea", "int8"]
_INSERT_EVENT = (
    "INSERT INTO run_events (run_id, sequence, attempt, kind, level, key, time_us, payload, checksum)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s, %b, %s)"
)
_INSERT_RESULT = (
    "INSERT INTO run_results (run_id, sequence, attempt, key, value, time_us, superseded)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s)"
)
# The server adds up the sizes, as in `fetch_capped`; of the row that does not fit nothing is sent.
READ_LOG = """
    SELECT sequence, payload FROM (
        SELECT sequence, payload, sum(octet_length(payload)) OVER (ORDER BY sequence ROWS UNBOUNDED PRECEDING) AS total
        FROM (
            SELECT sequence, payload FROM run_events WHERE run_id = %s AND sequence > %s AND sequence <= %s
            ORDER BY sequence LIMIT %s
        ) AS page
    ) AS measured
    WHERE total <= %s OR total = octet_length(payload)
    ORDER BY sequence
"""
# Which run a lease is of never changes, so it may be read before the lock; how the lease stands may not.
LOCK_RUNS = (
    "SELECT id, lease_id, state, last_sequence, attempt_count, log_count, result_count, start_time_us FROM runs"
    " WHERE id = ANY(ARRAY(SELECT run_id FROM leases WHERE id = ANY(%s::varchar[]))) AND hide_time_us IS NULL"
    " ORDER BY id FOR UPDATE"
)
READ_LEASES = (
    "SELECT id, run_id, runner_id, session_number, attempt, last_sequence, event_count, digest, end_reason FROM leases"
    " WHERE id = ANY(%s::varchar[])"
)
_NO_RUN = (None, None, 0, 0, 0, 0, None)
# One statement for both tables and any number of runs: one for each, even in a pipeline, takes the driver longer than
# the server. Each id is compared as an array of one: then each is looked up by the index. Compared as it is, the
# planner goes for each through all rows of the table, or all that are asked for.
UPDATE_COUNTS = (
    "WITH it AS (SELECT * FROM unnest(%(leases)s::varchar[], %(runs)s::varchar[], %(reached)s::int8[],"
    " %(attempts)s::int4[], %(logs)s::int8[], %(results)s::int8[], %(events)s::int8[], %(digests)s::bytea[])"
    " AS it (lease_id, run_id, reached, attempts, logs, results, events, digest)), of_leases AS ("
    "UPDATE leases SET last_sequence = it.reached, event_count = it.events, digest = it.digest"
    " FROM it WHERE leases.id = ANY(ARRAY[it.lease_id]))"
    " UPDATE runs SET last_sequence = it.reached, attempt_count = it.attempts,"
    " log_count = it.logs, result_count = it.results"
    " FROM it WHERE runs.id = ANY(ARRAY[it.run_id])"
)
# The parameters of it in the order of `Reach`.
_REACH = ("runs", "leases", "reached", "attempts", "logs", "results", "events", "digests")

_TEXTS = postgresql.ARRAY(Text())

# With every commit: made once, because making a statement costs as much as carrying it out.
_NOTIFY = select(func.pg_notify(CHANNEL, func.unnest(bindparam("topics", type_=_TEXTS))))
_LOCK_CHANGES = select(func.pg_advisory_xact_lock(_CHANGES_LOCK))


class PostgresqlDialect(Dialect):
    """PostgreSQL's own ways."""

    def __init__(self, url: sqlalchemy.URL) -> None:
        self._url = url.set(drivername="postgresql+psycopg")
        self._origin = ids.new_id()  # tells our own notifications from others'
        self.writer = self._engine(_WRITER_OPTIONS, poolclass=NullPool)
        self.readers = self._engine(
            _READER_OPTIONS, poolclass=QueuePool, pool_size=READERS, max_overflow=0, pool_use_lifo=True
        )

    def _engine(self, options: str, **pool: Any) -> sqlalchemy.Engine:
        own = self._url.query.get("options", "")
        return sqlalchemy.create_engine(
            self._url, connect_args={**_CONNECT, "options": f"{own} {options}".strip()}, **pool
        )

    def acquire(self) -> None:
        """Several may share it."""

    def release(self) -> None:
        """Close the connections."""
        self.readers.dispose()
        self.writer.dispose()

    def lock_schema(self, connection: sqlalchemy.Connection) -> None:
        """Take an advisory lock that ends with the transaction; a migration takes the time that it takes."""
        for limit in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
            connection.exec_driver_sql(f"SET LOCAL {limit} = 0")
        connection.execute(select(func.pg_advisory_xact_lock(_SCHEMA_LOCK)))

    def now_us(self, connection: sqlalchemy.Connection) -> int:
        """The server's clock, which all orchestrators on it share."""
        return cast(
            int,
            connection.exec_driver_sql("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint").scalar_one(),
        )

    def trouble(self, error: BaseException) -> Trouble:
        """Judge by SQLSTATE; an operational error without one is about the connection."""
        if isinstance(error, exc.DBAPIError) and error.orig is not None:
            error = error.orig
        if isinstance(error, exc.TimeoutError):
            return Trouble.UNAVAILABLE
        if isinstance(error, psycopg.Error):
            state = error.sqlstate
            if state is None:
                lost = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
                return Trouble.LOST if lost else Trouble.FAULT
            if state.startswith(_LOST):
                return Trouble.LOST
            if state.startswith(_UNAVAILABLE):
                return Trouble.UNAVAILABLE
            if state in _REPEAT:
                return Trouble.REPEAT
        return Trouble.FAULT

    def upsert(self, table: Table) -> Any:
        """INSERT ... ON CONFLICT."""
        return postgresql.insert(table)

    def leading(self, column: ColumnElement[str], value: str | ColumnElement[str]) -> ColumnElement[bool]:
        """A range: what equals a constant is no part of an order here."""
        return and_(column >= value, column <= value)

    def append_events(self, connection: sqlalchemy.Connection, batches: Sequence[tuple[str, EventColumns]]) -> None:
        """COPY in binary: three to four times as fast as any INSERT, but for a single row, which COPY goes there and
        back thrice for.
        """
        if len(batches) == 1 and len(batches[0][1]) == 1:
            (row,) = event_tuples(*batches[0])
            _driver(connection).execute(_INSERT_EVENT, row)
            return
        with _driver(connection).cursor() as cursor, cursor.copy(_COPY_EVENTS) as copy:
            copy.set_types(_EVENT_TYPES)
            for run_id, events in batches:
                for row in event_tuples(run_id, events):
                    copy.write_row(row)

    def lock_standings(self, connection: sqlalchemy.Connection, lease_ids: Collection[str]) -> Sequence[StandingTuple]:
        """Two statements: what the second reads is as it stands once the first has its locks."""
        ids = list(lease_ids)
        with _driver(connection).cursor(binary=True) as cursor:
            locked = {run[0]: run[1:] for run in cursor.execute(LOCK_RUNS, (ids,))}
            return [(*lease, *locked.get(lease[1], _NO_RUN)) for lease in cursor.execute(READ_LEASES, (ids,))]

    def append_results(self, connection: sqlalchemy.Connection, rows: Sequence[ResultTuple]) -> None:
        """executemany, which psycopg sends in a pipeline; row by row only when a value is refused."""
        driver = _driver(connection)
        try:
            with driver.transaction(), driver.cursor() as cursor:
                cursor.executemany(_INSERT_RESULT, rows)
        except _REFUSED:
            for row in rows:
                self._append_result(driver, row)

    def _append_result(self, driver: psycopg.Connection[Any], row: ResultTuple) -> None:
        try:
            with driver.transaction():
                driver.execute(_INSERT_RESULT, row)
        except _REFUSED:
            run_id, sequence, attempt, key, _, time_us, superseded = row
            driver.execute(_INSERT_RESULT, (run_id, sequence, attempt, key, None, time_us, superseded))

    def write_counts(self, connection: sqlalchemy.Connection, reached: Sequence[Reach]) -> None:
        """One statement, with arrays for the columns."""
        columns: dict[str, list[Any]] = dict(zip(_REACH, map(list, zip(*reached, strict=True)), strict=True))
        _driver(connection).execute(UPDATE_COUNTS, columns).close()

    def one_of(self, column: ColumnElement[str]) -> ColumnElement[bool]:
        """One parameter, an array: of hundreds the driver would have more to do than the server."""
        return column == any_(bindparam("ids", type_=_TEXTS))

    def fetch_capped(
        self, connection: sqlalchemy.Connection, rows: AnySelect, size_of: str, max_bytes: int, *, descending: bool
    ) -> tuple[Sequence[AnyRow], bool]:
        """Let the server add up the sizes: whatever it sends is in memory here as a whole."""
        page = rows.subquery("page")
        measured_column = page.c[size_of]
        text = measured_column if isinstance(measured_column.type, LargeBinary) else cast_column(measured_column, Text)
        size = func.coalesce(func.octet_length(text), 0)
        order = page.c.sequence.desc() if descending else page.c.sequence
        total = func.sum(size).over(order_by=order, rows=(None, 0))
        # The first row comes whatever its size, so what is allowed is never less than that.
        allowed = func.greatest(max_bytes, func.first_value(size).over(order_by=order, rows=(None, 0)))
        measured = select(
            page, total.label("total"), (total - size).label("before"), allowed.label("allowed")
        ).subquery("measured")

        # The first row that does not fit comes along, emptied, and tells that there are more.
        fits = measured.c.total <= measured.c.allowed
        columns = [
            case((fits, measured.c[name])).label(name) if name == size_of else measured.c[name]
            for name in page.c.keys()  # noqa: SIM118 (a collection of columns is no dict)
        ]
        outer_order = measured.c.sequence.desc() if descending else measured.c.sequence
        fetched = connection.execute(
            select(*columns, fits.label("fits")).where(measured.c.before <= measured.c.allowed).order_by(outer_order)
        ).all()
        if fetched and not fetched[-1].fits:
            return fetched[:-1], True
        return fetched, False

    def fetch_log(
        self, connection: sqlalchemy.Connection, run_id: str, after_sequence: int, upto: int, limit: int, max_bytes: int
    ) -> Sequence[tuple[int, bytes]]:
        """In binary, on the driver's own cursor: bytes come as they are, and not spelled out."""
        with _driver(connection).cursor(binary=True) as cursor:
            return cursor.execute(READ_LOG, (run_id, after_sequence, upto, limit, max_bytes)).fetchall()

    def notify(self, connection: sqlalchemy.Connection, topics: Collection[str]) -> None:
        """One statement for the whole transaction; PostgreSQL sends it with the commit."""
        connection.execute(_NOTIFY, {"topics": encode(self._origin, topics)})

    def lock_changes(self, connection: sqlalchemy.Connection) -> None:
        """Take an advisory lock: it is let go of after the transaction can be seen, so the next one is seen later."""
        connection.execute(_LOCK_CHANGES)

    def give_back_space(self, connection: sqlalchemy.Connection) -> bool:
        """Autovacuum does it."""
        return False

    def break_off(self, driver: psycopg.Connection[Any]) -> None:
        """Shut its socket: of a server that hangs neither timeouts nor keepalives are heard."""
        with contextlib.suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(driver.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)

    def listener(self) -> Listener:
        """LISTEN on a connection of its own."""
        _, keywords = self.writer.dialect.create_connect_args(self._url)
        connect = partial(psycopg.connect, autocommit=True, **{**keywords, **_CONNECT})
        return NotificationListener(connect, self.break_off, self._origin)


def _driver(connection: sqlalchemy.Connection) -> psycopg.Connection[Any]:
    return cast("psycopg.Connection[Any]", connection.connection.dbapi_connection)
