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

import pytest
from athanor_orchestrator.domain.clock import Clock, SystemClock
from athanor_orchestrator.storage.database import Database

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


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: PostgresqlServer) -> str:
    """The name of a migrated database to copy from."""
    name = postgresql_server.create()
    _migrate(postgresql_server.url(name))
    return name


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
    server: PostgresqlServer = request.getfixturevalue("postgresql_server")
    name = server.create(request.getfixturevalue("postgresql_template"))
    yield server.url(name)
    server.drop(name)


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
