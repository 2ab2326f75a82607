"""Group commit, snapshots, waking and closing, on both databases."""

import asyncio
import threading

import pytest
from athanor_orchestrator.domain.errors import NotFound, StorageUnavailable
from athanor_orchestrator.storage import requests
from athanor_orchestrator.storage.database import Database
from athanor_orchestrator.storage.transaction import Repeat, Transaction

from tests.support.databases import OpenDatabase


def put(name: str):
    """Return a command that leaves a trace called `name`."""

    def command(tx: Transaction) -> str:
        requests.put_request(tx, name, b"hash", b"answer")
        return name

    return command


async def traces(database: Database, *names: str) -> set[str]:
    return await database.read(lambda tx: {name for name in names if requests.get_request(tx, name)})


class Gate:
    """Holds the writer inside a command, so that others gather behind it."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.leave = threading.Event()

    def __call__(self, tx: Transaction) -> None:
        self.entered.set()
        assert self.leave.wait(20)

    async def hold(self, database: Database) -> asyncio.Task[None]:
        task = asyncio.create_task(database.write(self))
        await asyncio.to_thread(self.entered.wait, 20)
        return task


async def test_a_command_is_answered_after_its_commit(database: Database) -> None:
    assert await database.write(put("one")) == "one"
    assert await traces(database, "one") == {"one"}


async def test_commands_that_wait_share_one_transaction(open_database: OpenDatabase) -> None:
    commits: list[frozenset[str]] = []
    database = await open_database(on_commit=commits.append)
    gate = Gate()
    held = await gate.hold(database)

    def waking(name: str):
        def command(tx: Transaction) -> str:
            tx.wake(name)
            return put(name)(tx)

        return command

    names = [f"n{number}" for number in range(50)]
    waiting = [asyncio.create_task(database.write(waking(name))) for name in names]
    await asyncio.sleep(0)
    gate.leave.set()
    assert await asyncio.gather(*waiting) == names
    await held
    assert await traces(database, *names) == set(names)
    assert commits == [frozenset(names)]


async def test_nothing_of_a_group_is_seen_before_its_commit(database: Database) -> None:
    gate = Gate()
    held = await gate.hold(database)
    gate.leave.set()
    await held
    second = Gate()

    def write_and_wait(tx: Transaction) -> None:
        put("early")(tx)
        second(tx)

    task = asyncio.create_task(database.write(write_and_wait))
    await asyncio.to_thread(second.entered.wait, 20)
    assert await traces(database, "early") == set()
    assert not task.done()
    second.leave.set()
    await task
    assert await traces(database, "early") == {"early"}


async def test_one_failing_command_of_a_group_harms_no_neighbour(open_database: OpenDatabase) -> None:
    commits: list[frozenset[str]] = []
    database = await open_database(on_commit=commits.append)
    gate = Gate()
    held = await gate.hold(database)

    def failing(error: Exception | None):
        def command(tx: Transaction) -> None:
            put("undone")(tx)
            tx.wake("undone")
            if error is None:
                tx.connection.exec_driver_sql("SELECT * FROM no_such_table")
            else:
                raise error

        return command

    tasks = [
        asyncio.create_task(database.write(command))
        for command in (put("before"), failing(NotFound("run", "x")), put("between"), failing(None), put("after"))
    ]
    await asyncio.sleep(0)
    gate.leave.set()
    before, not_found, between, refused, after = await asyncio.gather(*tasks, return_exceptions=True)
    await held
    assert (before, between, after) == ("before", "between", "after")
    assert isinstance(not_found, NotFound)
    assert isinstance(refused, Exception)
    assert not isinstance(refused, StorageUnavailable)
    assert "no_such_table" in str(refused)
    assert await traces(database, "before", "between", "after", "undone") == {"before", "between", "after"}
    assert commits == []


async def test_a_command_that_fails_alone_is_undone(database: Database) -> None:
    def command(tx: Transaction) -> None:
        put("undone")(tx)
        raise KeyError("a bug")

    with pytest.raises(KeyError, match="a bug"):
        await database.write(command)
    assert await traces(database, "undone") == set()
    assert await database.write(put("next")) == "next"


async def test_a_cancelled_caller_does_not_undo_its_command(database: Database) -> None:
    gate = Gate()
    held = await gate.hold(database)
    waiting = asyncio.create_task(database.write(put("kept")))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    gate.leave.set()
    await held
    await database.write(lambda tx: None)
    assert await traces(database, "kept") == {"kept"}


async def test_topics_are_told_once_for_each_commit(open_database: OpenDatabase) -> None:
    commits: list[frozenset[str]] = []
    database = await open_database(on_commit=commits.append)

    def command(tx: Transaction) -> None:
        tx.wake("runs")
        tx.wake("run:1")
        tx.wake("runs")

    await database.write(command)
    await asyncio.sleep(0)
    assert commits == [frozenset({"runs", "run:1"})]


async def test_a_waiter_is_answered_before_others_are_woken(open_database: OpenDatabase) -> None:
    """Acknowledge, then wake: whoever is woken finds the acknowledgement on its way."""
    order: list[str] = []
    database = await open_database(on_commit=lambda topics: order.append("woken"))
    future = asyncio.ensure_future(database.write(lambda tx: tx.wake("x")))
    future.add_done_callback(lambda done: order.append("answered"))
    await future
    await asyncio.sleep(0.01)
    assert sorted(order) == ["answered", "woken"]


async def test_a_group_is_delivered_to_the_loop_with_one_call(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    held = await gate.hold(database)
    waiting = [asyncio.create_task(database.write(put(f"n{number}"))) for number in range(20)]
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    calls: list[object] = []
    real = loop.call_soon_threadsafe

    def counting(*arguments, **keywords):
        if threading.current_thread().name == "athanor-writer":
            calls.append(arguments)
        return real(*arguments, **keywords)

    monkeypatch.setattr(loop, "call_soon_threadsafe", counting)
    gate.leave.set()
    await asyncio.gather(held, *waiting)
    assert len(calls) == 2  # the gate's own transaction, and that of the twenty


async def test_a_command_may_ask_to_be_repeated(database: Database) -> None:
    tries = 0

    def command(tx: Transaction) -> int:
        nonlocal tries
        tries += 1
        put(f"try-{tries}")(tx)
        if tries < 3:
            raise Repeat
        return tries

    assert await database.write(command) == 3
    assert await traces(database, "try-1", "try-2", "try-3") == {"try-3"}


async def test_a_repeated_command_does_not_take_its_group_with_it(database: Database) -> None:
    gate = Gate()
    held = await gate.hold(database)

    def always(tx: Transaction) -> None:
        raise Repeat

    waiting = [asyncio.create_task(database.write(command)) for command in (put("a"), always, put("b"))]
    await asyncio.sleep(0)
    gate.leave.set()
    first, repeated, last = await asyncio.gather(*waiting, return_exceptions=True)
    await held
    assert (first, last) == ("a", "b")
    assert isinstance(repeated, StorageUnavailable)
    assert await traces(database, "a", "b") == {"a", "b"}


async def test_a_read_is_one_snapshot(database: Database) -> None:
    written = threading.Event()
    read_once = threading.Event()

    def query(tx: Transaction) -> tuple[bool, bool]:
        first = requests.get_request(tx, "later") is not None
        read_once.set()
        assert written.wait(20)
        return first, requests.get_request(tx, "later") is not None

    reading = asyncio.create_task(database.read(query))
    await asyncio.to_thread(read_once.wait, 20)
    await database.write(put("later"))
    written.set()
    assert await reading == (False, False)
    assert await traces(database, "later") == {"later"}


async def test_a_read_cannot_write(database: Database) -> None:
    with pytest.raises(Exception, match=r"(?i)read-?only"):
        await database.read(put("sneaked"))
    assert await traces(database, "sneaked") == set()


async def test_the_clock_is_read_once_for_a_transaction(database: Database) -> None:
    first, again = await database.write(lambda tx: (tx.now_us, tx.now_us))
    assert first == again
    later = await database.write(lambda tx: tx.now_us)
    assert later > first
    assert abs(later - await database.read(lambda tx: tx.now_us)) < 10_000_000


async def test_closing_carries_out_what_waits_and_then_refuses(open_database: OpenDatabase) -> None:
    database = await open_database()
    gate = Gate()
    held = await gate.hold(database)
    waiting = asyncio.create_task(database.write(put("last")))
    await asyncio.sleep(0)
    closing = asyncio.create_task(database.close())
    await asyncio.sleep(0)
    with pytest.raises(StorageUnavailable, match="closed"):
        await database.write(put("too late"))
    with pytest.raises(StorageUnavailable, match="closed"):
        await database.read(lambda tx: None)
    gate.leave.set()
    assert await waiting == "last"
    await held
    await closing
    await database.close()

    again = await open_database()
    assert await traces(again, "last", "too late") == {"last"}
