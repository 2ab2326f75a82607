"""Durable ingest: events a second from `ctx.log` to the commit, against the database fed with rows that are ready.

Athanor's time is from the moment at which the waiting run processes are told to begin until another connection to the
database sees the last event of the last run, which is after its commit. Within it two cores are shared by the run
processes, the runner, the orchestrator and, on PostgreSQL, the server. The limit has what Athanor stored a moment ago
as rows in memory, and puts them through one connection, made as Athanor's writer makes its own, into the same table of
a database beside it: 1000 a commit, by executemany on SQLite, where another thread folds the WAL as it does for
Athanor, and by COPY on PostgreSQL.
"""

import contextlib
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import psycopg
import sqlalchemy
from athanor_orchestrator.domain.clock import SystemClock
from athanor_orchestrator.storage import migration
from athanor_orchestrator.storage.checkpoints import Checkpoints
from athanor_orchestrator.storage.database import dialect_for
from athanor_orchestrator.storage.schema import run_events

from benchmarks.bench import Bench, Database
from benchmarks.cores import two_cores
from benchmarks.figures import Figure, median, number
from tests.support.system import System

_PER_COMMIT = 1000
_TIMEOUT = 60.0  # seconds, of one round
_LOOK = 0.002  # seconds between two looks at what is committed
_BEFORE = 2  # events of a run before its first log entry: StateChange, AttemptStarted

_COLUMNS = [column.name for column in run_events.columns]
_PAYLOAD = _COLUMNS.index("payload")
_TYPES = ["varchar", "int8", "int4", "int4", "int4", "text", "int8", "bytea", "int8"]


@dataclass(frozen=True)
class _Work:
    what: str
    reach: float
    runs: int
    count: int  # log entries of each run
    at_once: int = 1  # of one call


def measure(bench: Bench) -> Iterator[Figure]:
    """One run; ten runs; and one that hands over a hundred entries with each call."""
    works = [
        _Work("one run", 0.4, 1, bench.size(5_000, 300_000)),
        _Work("ten runs", 0.5, 10, bench.size(500, 30_000)),
        _Work("log_batch", 0.5, 1, bench.size(5_000, 300_000), at_once=100),
    ]
    with two_cores():
        for database in bench.databases():
            yield from _measure(bench, database, works)


def _measure(bench: Bench, database: Database, works: Sequence[_Work]) -> Iterator[Figure]:
    with bench.system(database, slots=10) as system, _limit_of(bench, database) as limit:
        url = database.url or f"sqlite:///{system.folder}/data/athanor.db"
        for work in works:
            rates: list[float] = []
            limits: list[float] = []
            for _ in range(bench.rounds):
                bench.say(f"durable ingest, {work.what}, {database.name}: {number(work.runs * work.count)} events")
                run_ids, seconds = _ingest(bench, system, url, work)
                rates.append(work.runs * work.count / seconds)
                rows = _rows(url, run_ids)
                limits.append(len(rows) / limit(rows))
            ratio = median(rate / most for rate, most in zip(rates, limits, strict=True))
            yield Figure(
                f"durable ingest, {work.what}, {database.name}",
                ratio,
                "of the limit",
                work.reach,
                "more",
                f"{number(median(rates))} events/s, the database alone {number(median(limits))}",
            )


def _ingest(bench: Bench, system: System, url: str, work: _Work) -> tuple[list[str], float]:
    """Have runs record, all at once; their ids, and the seconds until all of it was committed."""
    with bench.temporary() as folder, _committed(url) as committed:
        configuration = {"folder": str(folder), "count": work.count, "at_once": work.at_once}
        run_ids = [system.start_run("ingest", configuration).id for _ in range(work.runs)]
        deadline = time.monotonic() + _TIMEOUT
        while len(list(folder.glob("*.ready"))) < work.runs:
            _sleep(deadline, "the runs to start")

        (folder / "go").touch()
        begin = time.monotonic()
        while committed(run_ids) < _BEFORE + work.count:
            _sleep(deadline, "the last commit")
        seconds = time.monotonic() - begin
        for run_id in run_ids:
            system.wait_for_end(run_id)
    return run_ids, seconds


def _sleep(deadline: float, what: str) -> None:
    if time.monotonic() > deadline:
        raise TimeoutError(f"waited {_TIMEOUT} s for {what}")
    time.sleep(_LOOK)


@contextlib.contextmanager
def _committed(url: str) -> Iterator[Callable[[Sequence[str]], int]]:
    """What tells, on a connection of its own, up to which sequence the slowest of some runs is committed."""
    engine = sqlalchemy.create_engine(_driver_url(url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        cursor = connection.connection.cursor()

        def committed(run_ids: Sequence[str]) -> int:
            # Ids are hexadecimal, and come from the orchestrator.
            named = ", ".join(f"'{run_id}'" for run_id in run_ids)
            cursor.execute(f"SELECT min(last_sequence) FROM runs WHERE id IN ({named})")
            return cursor.fetchall()[0][0]

        yield committed
    engine.dispose()


def _rows(url: str, run_ids: Sequence[str]) -> list[tuple[Any, ...]]:
    """What is stored of runs, as rows of new ones."""
    engine = sqlalchemy.create_engine(_driver_url(url))
    found: list[tuple[Any, ...]] = []
    with engine.connect() as connection:
        for run_id in run_ids:
            query = sqlalchemy.select(run_events).where(run_events.c.run_id == run_id).order_by(run_events.c.sequence)
            found += [tuple(row) for row in connection.execute(query)]
    engine.dispose()
    return found


def _driver_url(url: str) -> sqlalchemy.URL:
    address = sqlalchemy.make_url(url)
    return address if address.get_backend_name() == "sqlite" else address.set(drivername="postgresql+psycopg")


@contextlib.contextmanager
def _limit_of(bench: Bench, database: Database) -> Iterator[Callable[[list[tuple[Any, ...]]], float]]:
    """What stores rows as fast as the database can, in one beside that which is measured; answers the seconds."""
    with bench.temporary() as folder:
        url = f"sqlite:///{folder}/limit.db" if database.url is None else _beside(database.url)
        dialect = dialect_for(url, SystemClock())
        dialect.acquire()
        try:
            migration.upgrade(dialect)
            with dialect.writer.connect() as connection:
                driver: Any = connection.connection.dbapi_connection
                if database.url is not None:
                    yield partial(_copy, driver)
                    return
                with contextlib.closing(Checkpoints(folder / "limit.db")) as checkpoints:
                    yield partial(_executemany, driver, checkpoints)
        finally:
            dialect.release()


def _beside(url: str) -> str:
    """An empty database on the same server."""
    name = f"limit_{uuid.uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # pyright: ignore[reportArgumentType, reportCallIssue]
    return sqlalchemy.make_url(url).set(database=name).render_as_string(hide_password=False)


def _executemany(driver: sqlite3.Connection, checkpoints: Checkpoints, found: list[tuple[Any, ...]]) -> float:
    insert = f"INSERT INTO run_events ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
    # A bytearray is bound by its type; bytes are looked up twice first.
    rows = [tuple(bytearray(value) if isinstance(value, bytes) else value for value in row) for row in found]
    sizes = [len(row[_PAYLOAD]) for row in rows]
    begin = time.monotonic()
    for start in range(0, len(rows), _PER_COMMIT):
        driver.execute("BEGIN IMMEDIATE")
        driver.executemany(insert, rows[start : start + _PER_COMMIT])
        checkpoints.storing(sum(sizes[start : start + _PER_COMMIT]))
        driver.execute("COMMIT")
    return time.monotonic() - begin


def _copy(driver: "psycopg.Connection[Any]", rows: list[tuple[Any, ...]]) -> float:
    into = f"COPY run_events ({', '.join(_COLUMNS)}) FROM STDIN (FORMAT BINARY)"
    begin = time.monotonic()
    for start in range(0, len(rows), _PER_COMMIT):
        with driver.cursor() as cursor, cursor.copy(into) as copy:  # pyright: ignore[reportArgumentType, reportCallIssue]
            copy.set_types(_TYPES)
            for row in rows[start : start + _PER_COMMIT]:
                copy.write_row(row)
        driver.commit()
    return time.monotonic() - begin
