"""What holds on PostgreSQL alone: several orchestrators, waking each other, and the server going away."""

import asyncio
import os
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import pytest
from athanor_orchestrator.domain.errors import StorageUnavailable
from athanor_orchestrator.storage import events, requests, runs
from athanor_orchestrator.storage.database import Database
from athanor_orchestrator.storage.transaction import Transaction
from sqlalchemy import text

from tests.support.databases import OpenDatabase
from tests.support.plans import plans_of
from tests.support.postgresql_server import PostgresqlServer
from tests.support.rows import a_stored_run, get, log_events

pytestmark = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)


def setting(name: str):
    return lambda tx: tx.connection.execute(text("SELECT current_setting(:name)"), {"name": name}).scalar_one()


class Heard:
    """Collects topics, and lets a test wait for one."""

    def __init__(self) -> None:
        self.commits: list[frozenset[str]] = []
        self._changed = asyncio.Event()

    def __call__(self, topics: frozenset[str]) -> None:
        self.commits.append(topics)
        self._changed.set()

    async def until(self, topic: str) -> None:
        async with asyncio.timeout(20):
            while not any(topic in topics for topics in self.commits):
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture
def own_server() -> Iterator[PostgresqlServer]:
    """A server that the test may stop."""
    with PostgresqlServer() as server:
        yield server


async def test_a_commit_is_flushed_before_it_is_answered(
    open_database: OpenDatabase, postgresql_server: PostgresqlServer, database_url: str
) -> None:
    """Also where the server's own default is not to wait for that."""
    name = database_url.split("@/")[1].split("?")[0]
    postgresql_server.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    try:
        database = await open_database()
        assert await database.write(setting("synchronous_commit")) == "on"
        assert await database.write(setting("transaction_isolation")) == "read committed"
        assert await database.read(setting("transaction_isolation")) == "repeatable read"
        assert await database.read(setting("transaction_read_only")) == "on"
    finally:
        postgresql_server.execute(f"ALTER DATABASE {name} RESET synchronous_commit")


async def test_a_page_of_a_log_without_figures_is_read_without_sorting_what_is_left(database: Database) -> None:
    """The planner takes the log of a new run for a few rows; sorting them all for each page is what it then likes."""
    run = await a_stored_run(database)
    await database.write(lambda tx: events.append_events(tx, [(run.id, log_events(2, 5000))]))

    def read(tx: Transaction) -> object:
        return events.read_events(tx, run.id, after_sequence=10, limit=100, max_bytes=1000)

    plan = await database.read(lambda tx: plans_of(tx, read))
    assert "Index Scan using run_events_pkey" in plan
    assert "Sort" not in plan
    assert "Bitmap" not in plan


async def test_a_commit_wakes_another_orchestrator(open_database: OpenDatabase) -> None:
    here, there = Heard(), Heard()
    one = await open_database(on_commit=here)
    other = await open_database(on_commit=there)
    await until_listening(one, 2)

    def command(tx: Transaction) -> None:
        tx.wake("runs")
        tx.wake("run:1")

    await one.write(command)
    await there.until("run:1")
    assert there.commits == [frozenset({"runs", "run:1"})]
    # What comes back from the server is known to be one's own, and told once.
    await other.write(lambda tx: tx.wake("work"))
    await here.until("work")
    assert here.commits == [frozenset({"runs", "run:1"}), frozenset({"work"})]


async def test_other_orchestrators_are_heard_also_with_more_than_a_thousand_descriptors_open(
    open_database: OpenDatabase,
) -> None:
    # A listener that comes back after many clients have connected: select(2) takes no descriptor from 1024 on.
    there = Heard()
    with ExitStack() as held:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, limits[1]), limits[1]))
        held.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        for _ in range(1100):
            held.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        one = await open_database()
        other = await open_database(on_commit=there)
        await until_listening(one, 2)
        await one.write(lambda tx: tx.wake("run:1"))
        await there.until("run:1")
        await one.close()
        await other.close()


async def test_a_group_of_any_size_wakes_all_it_concerns(open_database: OpenDatabase) -> None:
    there = Heard()
    one = await open_database()
    await open_database(on_commit=there)
    await until_listening(one, 2)
    topics = {f"run:{number:036}" for number in range(1000)}

    def command(tx: Transaction) -> None:
        for topic in topics:
            tx.wake(topic)

    await one.write(command)
    await there.until(f"run:{999:036}")
    assert frozenset().union(*there.commits) == topics


async def test_a_failed_command_wakes_nobody_elsewhere(open_database: OpenDatabase) -> None:
    there = Heard()
    one = await open_database()
    await open_database(on_commit=there)
    await until_listening(one, 2)

    def failing(tx: Transaction) -> None:
        tx.wake("never")
        raise KeyError

    with pytest.raises(KeyError):
        await one.write(failing)
    await one.write(lambda tx: tx.wake("after"))
    await there.until("after")
    assert there.commits == [frozenset({"after"})]


async def test_the_same_request_at_two_orchestrators_is_carried_out_once(open_database: OpenDatabase) -> None:
    """Both find the request_id unused before either commits; the second one waits, and is then repeated."""
    one, other = await open_database(), await open_database()
    barrier = threading.Barrier(2)
    tries = {"one": 0, "other": 0}

    def command(name: str):
        def call(tx: Transaction) -> bytes:
            known = requests.get_request(tx, "r-1")
            tries[name] += 1
            if tries[name] == 1:
                barrier.wait(20)
            if known is not None:
                return known.answer
            requests.put_request(tx, "r-1", b"hash", name.encode())
            return name.encode()

        return call

    answers = await asyncio.gather(one.write(command("one")), other.write(command("other")))
    assert answers[0] == answers[1]
    assert sorted(tries.values()) == [1, 2]


async def test_a_deadlock_is_repeated_and_harms_nobody(open_database: OpenDatabase) -> None:
    """Two orchestrators lock two runs in opposite orders, as groups of commands may; the server ends one of them."""
    one, other = await open_database(), await open_database()
    first, second = await a_stored_run(one), await a_stored_run(one)
    barrier = threading.Barrier(2)

    def locking(this: str, that: str):
        met = False

        def command(tx: Transaction) -> str:
            nonlocal met
            assert runs.lock_run(tx, this) is not None
            if not met:
                met = True
                barrier.wait(20)
            assert runs.lock_run(tx, that) is not None
            runs.update_run(tx, that, cancel_reason=this)
            return that

        return command

    await one.write(lambda tx: tx.connection.execute(text("SET deadlock_timeout = '50ms'")))
    await other.write(lambda tx: tx.connection.execute(text("SET deadlock_timeout = '50ms'")))
    answers = await asyncio.gather(one.write(locking(first.id, second.id)), other.write(locking(second.id, first.id)))
    assert answers == [second.id, first.id]
    assert (await get(one, second)).cancel_reason == first.id
    assert (await get(one, first)).cancel_reason == second.id


async def test_a_server_that_goes_away_and_comes_back(
    open_database: OpenDatabase, own_server: PostgresqlServer
) -> None:
    heard, there = Heard(), Heard()
    url = own_server.url(own_server.create())
    database = await open_database(url=url, on_commit=heard)
    other = await open_database(url=url, on_commit=there)
    run = await a_stored_run(database)
    await until_listening(database, 2)

    await asyncio.to_thread(own_server.stop)
    append = [
        database.write(lambda tx, n=n: events.append_events(tx, [(run.id, log_events(n, n))])) for n in range(2, 5)
    ]
    outcomes = await asyncio.gather(*append, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {StorageUnavailable}
    with pytest.raises(StorageUnavailable, match="not available"):
        await get(database, run)

    await asyncio.to_thread(own_server.start)
    # Nobody has to be told: the next command and the next query find it there.
    await database.write(lambda tx: events.append_events(tx, [(run.id, log_events(2, 4))]))
    assert await get(database, run) == run
    assert await get(other, run) == run
    # Those who listen come back too, and look at everything because they may have missed something.
    await there.until("runs")
    await until_listening(database, 2)
    await database.write(lambda tx: tx.wake("run:again"))
    await there.until("run:again")


@pytest.mark.parametrize(
    "query",
    [
        pytest.param(runs.get_run, id="by SQLAlchemy"),
        pytest.param(partial(events.read_log, after_sequence=0, upto=9, limit=9, max_bytes=9999), id="by the driver"),
    ],
)
async def test_a_connection_that_the_server_ended_is_replaced_without_anybody_noticing(
    open_database: OpenDatabase, query: Callable[[Transaction, str], object]
) -> None:
    database = await open_database()
    run = await a_stored_run(database)
    await database.write(lambda tx: events.append_events(tx, [(run.id, log_events(2, 4))]))
    before = await database.read(lambda tx: query(tx, run.id))
    other = await open_database()
    await other.write(
        lambda tx: tx.connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    )
    assert await database.read(lambda tx: query(tx, run.id)) == before
    assert await database.write(lambda tx: runs.update_run(tx, run.id, log_count=5))


async def test_a_server_that_is_not_there_is_told_at_the_start(open_database: OpenDatabase) -> None:
    with pytest.raises(StorageUnavailable, match="not available"):
        await open_database(url="postgresql://postgres@/nothing?host=/tmp/athanor-there-is-no-server")


async def until_listening(database: Database, count: int) -> None:
    """Wait until so many connections listen: that begins a moment after `start`."""
    query = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'")
    async with asyncio.timeout(20):
        while await database.read(lambda tx: tx.connection.execute(query).scalar_one()) < count:
            await asyncio.sleep(0.01)
