"""SQLite: one file, one orchestrator.

The file is in WAL mode, where readers and the writer do not wait for each other; a commit is flushed before it is
answered. A lock on a file beside it keeps a second orchestrator out.
"""

import fcntl
import os
import sqlite3
from collections.abc import Collection, Sequence
from contextlib import closing
from itertools import chain, islice, starmap
from operator import itemgetter
from pathlib import Path
from typing import Any, cast

import sqlalchemy
from sqlalchemy import ColumnElement, Table, bindparam, event, exc
from sqlalchemy.dialects import sqlite
from sqlalchemy.pool import QueuePool

from athanor_orchestrator.domain.clock import Clock
from athanor_orchestrator.domain.digests import checksum
from athanor_orchestrator.domain.errors import StorageIncompatible, StorageInUse, StorageUnavailable
from athanor_orchestrator.domain.event_columns import EventColumns
from athanor_orchestrator.domain.records import EventKind, Reach
from athanor_orchestrator.storage.aliases import AnyRow, AnySelect
from athanor_orchestrator.storage.checkpoints import Checkpoints
from athanor_orchestrator.storage.dialect import READERS, Dialect, ResultTuple, StandingTuple, Trouble, event_tuples

BUSY_TIMEOUT_MS = 5_000  # for whoever else has the file open: a shell, a backup
VACUUM_PAGES = 1000  # given back at a time

_payload = itemgetter(1)  # of a row of READ_LOG

# Locked by somebody else, which was waited for already, or full: at once again it would be the same.
_UNAVAILABLE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_FULL,
    }
)
_LOST = frozenset(
    {
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOTADB,
    }
)

# Of the file, set by the one connection that writes: with a transaction under way they are refused.
_OF_THE_FILE = (
    "PRAGMA page_size = 8192",  # before anything is in the file; has no effect later
    "PRAGMA auto_vacuum = INCREMENTAL",  # as above; so that deleting can shrink the file
    "PRAGMA journal_mode = WAL",
)
_OF_THE_CONNECTION = (
    f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}",
    "PRAGMA synchronous = FULL",  # a commit is flushed: what is acknowledged outlives a power cut
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = OFF",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA wal_autocheckpoint = 4000",  # pages; most of them have been folded by then, see `Checkpoints`
)
# KiB: the system keeps the file in memory besides. A commit of 500 runs changes the last page of each, 4 MB, and reads
# and writes them more than once when they do not fit; what is not used is not taken.
_TO_READ = ("PRAGMA cache_size = -2048", "PRAGMA query_only = ON")
_TO_WRITE = ("PRAGMA cache_size = -8192",)

# Many events by one statement, which is carried out without Python: it need not have its lock back, and so does not
# wait for whoever has it, after each of them.
_MANY, _SOME = 100, 10
_EVENT = "(?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_EVENT = (
    f"INSERT INTO run_events (run_id, sequence, attempt, kind, level, key, time_us, payload, checksum) VALUES {_EVENT}"
)
_INSERT_MANY = _INSERT_EVENT + f", {_EVENT}" * (_MANY - 1)


def _of_one_run(columns: str, values: str) -> dict[int, str]:
    """Statements for so many events of one run, one after the other: what they share is bound once."""
    return {
        count: f"INSERT INTO run_events (run_id, attempt, sequence, {columns}) VALUES "
        + ", ".join(f"(?1, ?2, ?3 + {number}, {values})" for number in range(count))
        for count in (_MANY, _SOME)
    }


_INSERT_EVENTS = _of_one_run("kind, level, key, time_us, payload, checksum", "?, ?, ?, ?, ?, ?")
# Log entries, as most events are, have their kind in common, and no key.
_INSERT_LOG = _of_one_run("kind, level, time_us, payload, checksum", f"{EventKind.LOG.value}, ?, ?, ?, ?")
_INSERT_RESULT = (
    "INSERT INTO run_results (run_id, sequence, attempt, key, value, time_us, superseded) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
# Of so many leases at once, the last ones by statements for fewer: each stays prepared.
_NAMED = (256, 16, 1)
READ_STANDINGS = {
    count: "SELECT leases.id, leases.run_id, leases.runner_id, leases.session_number, leases.attempt,"
    " leases.last_sequence, leases.event_count, leases.digest, leases.end_reason, runs.lease_id, runs.state,"
    " runs.last_sequence, runs.attempt_count, runs.log_count, runs.result_count, runs.start_time_us"
    " FROM leases LEFT JOIN runs ON runs.id = leases.run_id AND runs.hide_time_us IS NULL"
    f" WHERE leases.id IN ({', '.join('?' * count)})"
    for count in _NAMED
}
UPDATE_LEASE = "UPDATE leases SET last_sequence = ?, event_count = ?, digest = ? WHERE id = ?"
UPDATE_RUN = "UPDATE runs SET last_sequence = ?, attempt_count = ?, log_count = ?, result_count = ? WHERE id = ?"


_FETCHED = 32  # events that are fetched before a look at how large they are
READ_LOG = (
    "SELECT sequence, payload FROM run_events WHERE run_id = ? AND sequence > ? AND sequence <= ?"
    " ORDER BY sequence LIMIT ?"
)


class SqliteDialect(Dialect):
    """SQLite's own ways."""

    def __init__(self, url: sqlalchemy.URL, clock: Clock) -> None:
        if not url.database or url.database == ":memory:":
            raise StorageIncompatible("an SQLite address needs a file: sqlite:////absolute/path/athanor.db")
        self._path = Path(url.database).absolute()
        self._clock = clock
        self._lock_file: int | None = None
        self._checkpoints = Checkpoints(self._path)
        self.writer = self._engine("BEGIN IMMEDIATE", (*_OF_THE_CONNECTION, *_TO_WRITE, *_OF_THE_FILE), pool_size=1)
        self.readers = self._engine("BEGIN", (*_OF_THE_CONNECTION, *_TO_READ), pool_size=READERS)

    def _engine(self, begin: str, settings: Sequence[str], *, pool_size: int) -> sqlalchemy.Engine:
        engine = sqlalchemy.create_engine(
            sqlalchemy.URL.create("sqlite", database=str(self._path)),
            poolclass=QueuePool,
            pool_size=pool_size,
            max_overflow=0,
            # The module's own transaction control begins late and deferred; here every BEGIN is spelled out.
            connect_args={"isolation_level": None, "check_same_thread": False},
        )

        def on_connect(connection: sqlite3.Connection, record: object) -> None:
            for setting in settings:
                connection.execute(setting).close()

        def on_begin(connection: sqlalchemy.Connection) -> None:
            connection.exec_driver_sql(begin)

        event.listen(engine, "connect", on_connect)
        event.listen(engine, "begin", on_begin)
        return engine

    def acquire(self) -> None:
        """Lock the file beside the database, for as long as this process lives."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock_file = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageUnavailable(f"cannot open {self._path}: {error.strerror}") from error
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock_file)
            raise StorageInUse(str(self._path)) from error
        self._lock_file = lock_file

    def release(self) -> None:
        """Close the connections (the last one folds the WAL into the file), then the lock."""
        self._checkpoints.close()
        self.readers.dispose()
        self.writer.dispose()
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def lock_schema(self, connection: sqlalchemy.Connection) -> None:
        """BEGIN IMMEDIATE has done it."""

    def now_us(self, connection: sqlalchemy.Connection) -> int:
        """The machine's clock, through the port."""
        return self._clock.now_us()

    def trouble(self, error: BaseException) -> Trouble:
        """Judge by SQLite's primary result code."""
        if isinstance(error, exc.DBAPIError) and error.orig is not None:
            error = error.orig
        if isinstance(error, exc.TimeoutError):
            return Trouble.UNAVAILABLE
        if isinstance(error, sqlite3.Error):
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in _UNAVAILABLE:
                return Trouble.UNAVAILABLE
            if code in _LOST:
                return Trouble.LOST
        return Trouble.FAULT

    def upsert(self, table: Table) -> Any:
        """INSERT ... ON CONFLICT."""
        return sqlite.insert(table)

    def append_events(self, connection: sqlalchemy.Connection, batches: Sequence[tuple[str, EventColumns]]) -> None:
        """By hundreds and tens of one run, then by hundreds of all, on the driver's cursor; the rest by executemany."""
        cursor = _driver(connection).cursor()
        left: list[tuple[str, EventColumns]] = []
        for run_id, events in batches:
            taken = len(events) - len(events) % _SOME
            if taken:
                _insert_tens(cursor, run_id, events, taken)
            left.append((run_id, events.behind(taken)))
            self._checkpoints.storing(sum(map(len, events.payloads)))
        rows = chain.from_iterable(starmap(event_tuples, left))
        while len(rest := list(islice(rows, _MANY))) == _MANY:
            cursor.execute(_INSERT_MANY, list(chain.from_iterable(rest)))
        cursor.executemany(_INSERT_EVENT, rest)
        cursor.close()

    def lock_standings(self, connection: sqlalchemy.Connection, lease_ids: Collection[str]) -> Sequence[StandingTuple]:
        """BEGIN IMMEDIATE has locked everything."""
        ids = list(lease_ids)
        found: list[StandingTuple] = []
        with closing(_driver(connection).cursor()) as cursor:
            for count in _NAMED:
                while len(ids) >= count:
                    found += cursor.execute(READ_STANDINGS[count], ids[:count])
                    del ids[:count]
        return found

    def append_results(self, connection: sqlalchemy.Connection, rows: Sequence[ResultTuple]) -> None:
        """executemany; text is text here, and none is refused."""
        _driver(connection).executemany(_INSERT_RESULT, rows).close()

    def write_counts(self, connection: sqlalchemy.Connection, reached: Sequence[Reach]) -> None:
        """executemany, once for each table."""
        cursor = _driver(connection).cursor()
        cursor.executemany(UPDATE_LEASE, ((it.last_sequence, it.event_count, it.digest, it.lease_id) for it in reached))
        cursor.executemany(
            UPDATE_RUN,
            ((it.last_sequence, it.attempt_count, it.log_count, it.result_count, it.run_id) for it in reached),
        )
        cursor.close()

    def one_of(self, column: ColumnElement[str]) -> ColumnElement[bool]:
        """A parameter for each."""
        return column.in_(bindparam("ids", expanding=True))

    def fetch_capped(
        self, connection: sqlalchemy.Connection, rows: AnySelect, size_of: str, max_bytes: int, *, descending: bool
    ) -> tuple[Sequence[AnyRow], bool]:
        """Step through the rows, which SQLite produces one by one, and stop in time."""
        fetched: list[AnyRow] = []
        total = 0
        with connection.execute(rows) as result:
            column = list(result.keys()).index(size_of)
            for row in result:
                value = row[column]
                if value is not None:
                    total += len(value) if isinstance(value, bytes) else len(value.encode())
                if total > max_bytes and fetched:
                    return fetched, True
                fetched.append(row)
        return fetched, False

    def fetch_log(
        self, connection: sqlalchemy.Connection, run_id: str, after_sequence: int, upto: int, limit: int, max_bytes: int
    ) -> Sequence[tuple[int, bytes]]:
        """On the driver's own cursor, a few at a time: nothing is done in Python for each event."""
        fetched: list[tuple[int, bytes]] = []
        room = max_bytes
        with closing(_driver(connection).execute(READ_LOG, (run_id, after_sequence, upto, limit))) as rows:
            while some := rows.fetchmany(_FETCHED):
                room -= sum(map(len, map(_payload, some)))
                fetched += some
                if room < 0:
                    # Those that were too many. The first of all comes whatever its size.
                    while room < 0 and len(fetched) > 1:
                        room += len(fetched.pop()[1])
                    break
        return fetched

    def notify(self, connection: sqlalchemy.Connection, topics: Collection[str]) -> None:
        """There is nobody else."""

    def break_off(self, driver: sqlite3.Connection) -> None:
        """A file system that hangs cannot be told to stop."""

    def lock_changes(self, connection: sqlalchemy.Connection) -> None:
        """BEGIN IMMEDIATE has done it."""

    def give_back_space(self, connection: sqlalchemy.Connection) -> bool:
        """Cut free pages off the file."""
        driver = _driver(connection)
        free: int = driver.execute("PRAGMA freelist_count").fetchone()[0]
        # The driver takes one step of a statement that has no columns, and one step cuts off one page.
        for _ in range(min(free, VACUUM_PAGES)):
            driver.execute("PRAGMA incremental_vacuum(1)").close()
        return free > VACUUM_PAGES


def _insert_tens(cursor: sqlite3.Cursor, run_id: str, events: EventColumns, count: int) -> None:
    """Insert the first `count` events, a multiple of ten."""
    # The driver knows what to do with a bytearray by its type; of bytes, and of None, it asks in two places each time.
    payloads, checksums = map(bytearray, events.payloads), map(checksum, events.payloads)
    if events.kinds.count(EventKind.LOG.value) == len(events):
        statements, each = _INSERT_LOG, zip(events.levels, events.times_us, payloads, checksums, strict=True)
    else:
        statements = _INSERT_EVENTS
        each = zip(events.kinds, events.levels, events.keys, events.times_us, payloads, checksums, strict=True)
    start = 0
    while start < count:
        at_once = _MANY if count - start >= _MANY else _SOME
        values = chain.from_iterable(islice(each, at_once))
        cursor.execute(statements[at_once], [run_id, events.attempt, events.first_sequence + start, *values])
        start += at_once


def _driver(connection: sqlalchemy.Connection) -> sqlite3.Connection:
    return cast(sqlite3.Connection, connection.connection.dbapi_connection)
