"""Ways to make a database refuse what is written, for real, and to let it go again.

    async with trouble("locked", url, database):
        ...

locked    somebody else holds the table of runs: a shell that forgot to commit
full      no room for another event. SQLite: its own limit of pages. PostgreSQL: a trigger that raises what the server
          raises without room, SQLSTATE 53100: a disk of its own for a server is no matter of a test
"""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import psycopg
import pytest
from athanor_orchestrator.storage import postgresql, sqlite
from athanor_orchestrator.storage.database import Database
from sqlalchemy import event


@asynccontextmanager
async def trouble(kind: str, url: str, database: Database) -> AsyncIterator[None]:
    """Have trouble of a kind with the database at `url`, which `database` has open."""
    of_sqlite = url.startswith("sqlite")
    match kind:
        case "locked" if of_sqlite:
            with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as shell:
                shell.execute("BEGIN IMMEDIATE")
                yield
        case "locked":
            with psycopg.connect(url) as connection:
                connection.execute("LOCK TABLE runs")
                yield
        case "full" if of_sqlite:
            async with _few_pages(database):
                yield
        case "full":
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(_FULL)
                try:
                    yield
                finally:
                    connection.execute("DROP FUNCTION full_disk CASCADE")
        case _:
            raise ValueError(kind)


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have databases that are opened from now on wait one second for what somebody else holds locked, instead of 5."""
    settings = [setting.replace(" 5000", " 1000") for setting in sqlite._OF_THE_CONNECTION]
    monkeypatch.setattr(sqlite, "_OF_THE_CONNECTION", settings)
    options = postgresql._WRITER_OPTIONS.replace("lock_timeout=5s", "lock_timeout=1s")
    monkeypatch.setattr(postgresql, "_WRITER_OPTIONS", options)


_FULL = """
    CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
    CREATE TRIGGER full_disk BEFORE INSERT ON run_events FOR EACH ROW EXECUTE FUNCTION full_disk();
    CREATE TRIGGER full_disk BEFORE INSERT ON requests FOR EACH ROW EXECUTE FUNCTION full_disk();
"""


@asynccontextmanager
async def _few_pages(database: Database) -> AsyncIterator[None]:
    pages = await database.write(lambda tx: tx.connection.exec_driver_sql("PRAGMA page_count").scalar_one())
    limit = f"PRAGMA max_page_count = {pages + 4}"

    def make_small(connection: sqlite3.Connection, record: object) -> None:
        connection.execute(limit)

    event.listen(database._dialect.writer, "connect", make_small)
    await database.write(lambda tx: tx.connection.exec_driver_sql(limit).scalar_one())
    try:
        yield
    finally:
        event.remove(database._dialect.writer, "connect", make_small)  # whoever was refused makes a new connection
