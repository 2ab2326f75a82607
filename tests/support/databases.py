"""Fresh databases for tests, each test once on SQLite and once on PostgreSQL; exposed by tests/conftest.py.

database_url     the address of a new, migrated database (for processes)
open_database    opens it as the orchestrator does, as often as a test wants; closed after the test
database         one that is open
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Protocol

import psycopg
import pytest
from athanor_orchestrator.domain.clock import Clock, SystemClock
from athanor_orchestrator.storage import schema
from athanor_orchestrator.storage.database import Database
from psycopg import sql

from tests.support.postgresql_server import PostgresqlServer

BACKENDS = ("sqlite", "postgresql")


class OpenDatabase(Protocol):
    """Opens and starts the test's database; another `url` opens another."""

    async def __call__(
        self,
        *,
        on_commit: Callable[[frozenset[str]], None] = ...,
        clock: Clock = ...,
        url: str | None = None,
    ) -> Database: ...


def ignore(topics: frozenset[str]) -> None:
    """Wake nobody."""


def sqlite_url(path: Path) -> str:
    """Return the address of an SQLite file."""
    return f"sqlite:///{path}"


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    """One server for the session (for each worker of a parallel one), started by the first test that needs it."""
    with PostgresqlServer() as server:
        yield server


class PostgresqlStock:
    """Migrated databases to hand out. What comes back is emptied, which is much faster than making a new one."""

    def __init__(self, server: PostgresqlServer) -> None:
        self.server = server
        self._template = server.create()
        _migrate(server.url(self._template))
        self._empty: list[str] = []

    def take(self) -> str:
        """Return the name of a migrated, empty database."""
        return self._empty.pop() if self._empty else self.server.create(self._template)

    def give_back(self, name: str) -> None:
        """Empty a database for the next test; drop it when somebody is connected still, or changed its schema."""
        with psycopg.connect(self.server.url(name)) as connection:
            (usable,) = connection.execute(
                "SELECT (SELECT version_num FROM alembic_version) = %s AND NOT EXISTS (SELECT FROM pg_stat_activity"
                " WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid())",
                (schema.REVISION,),
            ).fetchone() or (False,)
            if usable:
                for table in reversed(schema.metadata.sorted_tables):
                    connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table.name)))
        if usable:
            self._empty.append(name)
        else:
            self.server.drop(name)


@pytest.fixture(scope="session")
def postgresql_stock(postgresql_server: PostgresqlServer) -> PostgresqlStock:
    """The session's PostgreSQL databases."""
    return PostgresqlStock(postgresql_server)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file to copy from."""
    path = tmp_path_factory.mktemp("template") / "athanor.db"
    _migrate(sqlite_url(path))
    return path


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """The kind of database."""
    return request.param


@pytest.fixture
def database_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a new, migrated database, removed after the test."""
    if backend == "sqlite":
        path = tmp_path / "athanor.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield sqlite_url(path)
        return
    stock: PostgresqlStock = request.getfixturevalue("postgresql_stock")
    name = stock.take()
    yield stock.server.url(name)
    stock.give_back(name)


@pytest.fixture
def empty_database_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a new database without a schema."""
    if backend == "sqlite":
        yield sqlite_url(tmp_path / "empty.db")
        return
    server: PostgresqlServer = request.getfixturevalue("postgresql_server")
    name = server.create()
    yield server.url(name)
    server.drop(name)


@pytest.fixture
async def open_database(database_url: str) -> AsyncIterator[OpenDatabase]:
    """Open the test's database; everything opened is closed after the test."""
    opened: list[Database] = []

    async def open_one(
        *,
        on_commit: Callable[[frozenset[str]], None] = ignore,
        clock: Clock | None = None,
        url: str | None = None,
    ) -> Database:
        database = await asyncio.to_thread(
            Database.open, url or database_url, clock=clock or SystemClock(), on_commit=on_commit
        )
        opened.append(database)
        database.start(asyncio.get_running_loop())
        return database

    yield open_one
    for database in opened:
        await database.close()


@pytest.fixture
async def database(open_database: OpenDatabase) -> Database:
    """The test's database, open."""
    return await open_database()


def _migrate(url: str) -> None:
    database = Database.open(url, clock=SystemClock(), on_commit=ignore)
    asyncio.run(database.close())
