"""A database that is locked, full, hanging or away: callers are told in time, and the next command finds it over."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
import sqlalchemy
from athanor_orchestrator.domain.errors import StorageUnavailable
from athanor_orchestrator.storage import database as database_module
from athanor_orchestrator.storage import events, notifications, runs
from athanor_orchestrator.storage.database import Database
from athanor_orchestrator.storage.postgresql import PostgresqlDialect
from athanor_orchestrator.storage.probe import probe
from athanor_orchestrator.storage.transaction import Transaction

from tests.support import trouble as trouble_module
from tests.support.databases import OpenDatabase
from tests.support.postgresql_server import PostgresqlServer
from tests.support.rows import a_stored_run, get, log_events
from tests.support.trouble import trouble

postgresql = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """To be asked for before the database is."""
    trouble_module.impatient(monkeypatch)


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresqlServer]:
    """A server that tests may stop, and start again."""
    with PostgresqlServer() as server:
        yield server


async def refused(
    database: Database, command: Callable[[Any], Any], **options: Any
) -> tuple[StorageUnavailable, float]:
    """The refusal of a command, and after how many seconds it came."""
    begun = time.monotonic()
    with pytest.raises(StorageUnavailable) as caught:
        await database.write(command, **options)
    return caught.value, time.monotonic() - begun


async def test_a_locked_database_is_told_within_seconds_and_waited_for_once(
    database: Database, database_url: str
) -> None:
    """It was waited for twice, 20 s together: the same again at once gains nothing."""
    run = await a_stored_run(database)
    async with trouble("locked", database_url, database):
        refusal, seconds = await refused(database, lambda tx: runs.update_run(tx, run.id, log_count=5))
        assert 4 < seconds < 9
        assert not refusal.maybe_done
        assert database.refusals == 1
    assert await database.write(lambda tx: runs.update_run(tx, run.id, log_count=6))
    assert (await get(database, run)).log_count == 6


async def test_a_caller_is_told_in_time_and_what_was_not_begun_by_then_is_not_begun_any_more(
    impatient: None, database: Database, database_url: str
) -> None:
    run = await a_stored_run(database)
    async with trouble("locked", database_url, database):
        holding = asyncio.create_task(refused(database, lambda tx: runs.update_run(tx, run.id, log_count=1)))
        await asyncio.sleep(0.2)
        refusal, seconds = await refused(database, lambda tx: runs.update_run(tx, run.id, log_count=2), within=0.3)
        assert seconds < 0.7
        assert refusal.maybe_done
        await holding
    assert await database.write(lambda tx: True)
    assert (await get(database, run)).log_count == run.log_count


async def test_the_probe_leaves_nothing_and_notices_a_lock(
    impatient: None, database: Database, database_url: str
) -> None:
    run = await a_stored_run(database)
    await database.write(lambda tx: probe(tx, 100_000))
    assert await get(database, run) == run
    counted = "SELECT count(*) FROM requests"
    assert await database.read(lambda tx: tx.connection.exec_driver_sql(counted).scalar_one()) == 0
    async with trouble("locked", database_url, database):
        await refused(database, lambda tx: probe(tx, 100))
    await database.write(lambda tx: probe(tx, 100))


@postgresql
async def test_a_full_server_refuses_once_and_takes_it_when_there_is_room(
    database: Database, database_url: str
) -> None:
    run = await a_stored_run(database)
    append = lambda tx: events.append_events(tx, [(run.id, log_events(2, 5))])  # noqa: E731
    async with trouble("full", database_url, database):
        refusal, seconds = await refused(database, append)
        assert "No space left" in str(refusal)
        assert not refusal.maybe_done
        assert seconds < 3
        assert database.refusals == 1
        assert await get(database, run) == run
    await database.write(append)


@postgresql
async def test_a_server_that_hangs_holds_no_caller_and_no_thread(
    open_database: OpenDatabase, own_server: PostgresqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the middle: its kernel answers for it, so neither keepalives nor any timeout of its own are of use."""
    monkeypatch.setattr(database_module, "HANGING_S", 2.0)
    database = await open_database(url=own_server.url(own_server.create()))
    run = await a_stored_run(database)
    await get(database, run)

    with own_server.frozen():
        writes = [refused(database, lambda tx: runs.update_run(tx, run.id, log_count=9), within=1.0) for _ in range(5)]
        told = await asyncio.gather(*writes, *[unread(database) for _ in range(6)])
        assert max(seconds for _, seconds in told) < 3
        await asyncio.sleep(1.5)
        assert database.break_off_hanging() > 1
        # What comes after that finds no server at all, and is told so.
        refusal, seconds = await refused(database, select, within=20)
        assert seconds < 12
        assert not refusal.maybe_done

    assert (await get(database, run)).log_count in (run.log_count, 9)
    assert await database.write(lambda tx: runs.update_run(tx, run.id, log_count=10))
    assert (await get(database, run)).log_count == 10


def select(tx: Transaction) -> None:
    tx.connection.exec_driver_sql("SELECT 1")


async def unread(database: Database) -> tuple[StorageUnavailable, float]:
    begun = time.monotonic()
    with pytest.raises(StorageUnavailable) as caught:
        await database.read(select, within=1.0)
    return caught.value, time.monotonic() - begun


@postgresql
async def test_a_commit_that_breaks_off_is_said_to_be_uncertain_and_others_are_not(
    open_database: OpenDatabase, own_server: PostgresqlServer
) -> None:
    url = own_server.url(own_server.create())
    database = await open_database(url=url)
    run = await a_stored_run(database)
    with psycopg.connect(url, autocommit=True) as shell:
        # A deferred trigger is carried out by COMMIT itself; it ends its own server process.
        shell.execute(
            "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5); RETURN NULL; END $$"
        )
        shell.execute(
            "CREATE CONSTRAINT TRIGGER die AFTER UPDATE ON runs DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION die()"
        )
        refusal, _ = await refused(database, lambda tx: runs.update_run(tx, run.id, log_count=5))
        assert refusal.maybe_done
        shell.execute("DROP FUNCTION die CASCADE")
    assert await database.write(lambda tx: runs.update_run(tx, run.id, log_count=6))


@postgresql
async def test_what_waits_longer_than_a_minute_without_a_server_finds_it_when_it_is_back(
    open_database: OpenDatabase, own_server: PostgresqlServer
) -> None:
    """However many tries to connect fail before: the writer, every reader, and who listens."""
    heard = asyncio.Event()

    def hear(topics: frozenset[str]) -> None:
        if "run:again" in topics:
            heard.set()

    url = own_server.url(own_server.create())
    database, other = await open_database(url=url), await open_database(url=url, on_commit=hear)
    run = await a_stored_run(database)
    await asyncio.gather(*(get(each, run) for each in (database, other) for _ in range(8)))
    await asyncio.to_thread(own_server.stop)
    for _ in range(60):
        refusal, _ = await refused(database, select)
        assert not refusal.maybe_done
        await unread(database)
    await asyncio.sleep(2.5)  # those who listen have tried in vain, too
    own_server.start()  # here: a server is told to stop when the thread ends that has started it
    await database.write(lambda tx: runs.update_run(tx, run.id, log_count=7))
    assert {(await get(each, run)).log_count for each in (database, other) for _ in range(8)} == {7}
    async with asyncio.timeout(20):
        while not heard.is_set():
            await database.write(lambda tx: tx.wake("run:again"))
            await asyncio.sleep(0.2)


@postgresql
async def test_a_hanging_server_does_not_keep_an_orchestrator_from_its_end(
    open_database: OpenDatabase, own_server: PostgresqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "CLOSING_S", 0.5)
    database = await open_database(url=own_server.url(own_server.create()))
    run = await a_stored_run(database)
    with own_server.frozen():
        write = asyncio.create_task(refused(database, lambda tx: runs.update_run(tx, run.id, log_count=9), within=60))
        await asyncio.sleep(1)
        begun = time.monotonic()
        await database.close()
        assert time.monotonic() - begun < 12
        await write


def test_a_server_that_hangs_just_as_it_is_listened_to_does_not_keep_a_listener_from_its_end(
    own_server: PostgresqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "CLOSING_S", 0.2)
    url, connect, connected = own_server.url(own_server.create()), psycopg.connect, threading.Event()
    with ExitStack() as frozen:

        def connect_and_freeze(**options: Any) -> psycopg.Connection[Any]:
            connection = connect(**options)
            frozen.enter_context(own_server.frozen())
            connected.set()
            return connection

        def ignore(topics: frozenset[str]) -> None:
            pass

        monkeypatch.setattr(psycopg, "connect", connect_and_freeze)
        dialect = PostgresqlDialect(sqlalchemy.make_url(url))
        listener = dialect.listener()
        listener.start(ignore)
        assert connected.wait(10)
        time.sleep(0.1)
        begun = time.monotonic()
        listener.close()
        assert time.monotonic() - begun < 5
    dialect.release()
