"""The database of a world: one SQLite database in memory, behind the real dialect, transactions and writer.

All orchestrators of a world share it, as they would share one PostgreSQL: a transaction is one step of the world, so
they are serial. What is injected: commits that fail before or after they are durable, an orchestrator that is killed
before or after its commit, a database that is away, a clock that jumps, wake-ups that come late or never, older
copies.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import sqlalchemy
from athanor_orchestrator.storage.checkpoints import Checkpoints
from athanor_orchestrator.storage.database import Database
from athanor_orchestrator.storage.dialect import Trouble
from athanor_orchestrator.storage.sqlite import SqliteDialect
from athanor_orchestrator.storage.writer import Command, Writer
from sqlalchemy.pool import StaticPool

from tests.simulation.decisions import Decisions
from tests.simulation.loop import BEGIN, CURRENT, Process, later
from tests.support.virtual_time import BEGIN_US


class ConnectionLost(sqlite3.OperationalError):
    """There is no answer any more, and what was under way may have been done."""


class Killed(BaseException):
    """The process that was at work is no more."""


class _Connection(sqlite3.Connection):
    """A connection whose commits can be made to fail. It is never really closed: the database lives in it."""

    before_commit: Callable[[], None] | None = None
    after_commit: Callable[[], None] | None = None

    def commit(self) -> None:
        if not self.in_transaction:
            return super().commit()
        if self.before_commit is not None:
            self.before_commit()
        super().commit()
        if self.after_commit is not None:
            self.after_commit()
        return None

    def close(self) -> None:
        if self.in_transaction:
            self.rollback()


class Engine:
    """What outlives worlds: the connection, with the statements that SQLAlchemy has compiled for it."""

    def __init__(self, template: Path) -> None:
        """`template` is an empty database with the newest schema."""
        image = bytearray(template.read_bytes())
        image[18:20] = b"\1\1"  # no WAL, which a database in memory does not have
        self.template = bytes(image)
        self.raw = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False, factory=_Connection)
        self.engine = sqlalchemy.create_engine("sqlite://", creator=lambda: self.raw, poolclass=StaticPool)
        sqlalchemy.event.listen(self.engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))

    def load(self, image: bytes) -> None:
        """Replace everything by an image."""
        self.raw.before_commit = self.raw.after_commit = None
        self.raw.close()
        self.raw.deserialize(image)
        self.raw.execute("PRAGMA foreign_keys = ON").close()


class StoreClock:
    """The database's clock, which all orchestrators go by."""

    def __init__(self) -> None:
        self._offset_us = BEGIN_US

    def now_us(self) -> int:
        return self._offset_us + round((asyncio.get_running_loop().time() - BEGIN) * 1_000_000)

    def jump(self, seconds: float) -> None:
        """Set it wrong."""
        self._offset_us += round(seconds * 1_000_000)


class Store:
    """The database, and who is connected to it."""

    def __init__(self, engine: Engine, decisions: Decisions, on_commit: Callable[[], None]) -> None:
        """`on_commit` looks at what was just committed, before anybody is told."""
        engine.load(engine.template)
        self.clock = StoreClock()
        self.decisions = decisions
        self.away = False
        self.faults = True
        self.copies: list[bytes] = []
        self.on_breach: Callable[[str], None] = lambda text: None
        self._engine = engine
        self._on_commit = on_commit
        self._handles: list[StoreHandle] = []
        engine.raw.before_commit = self._before_commit
        engine.raw.after_commit = self._after_commit

    @property
    def raw(self) -> sqlite3.Connection:
        """For looking at it from outside."""
        return self._engine.raw

    def connect(self, process: Process, publish: Callable[[frozenset[str]], None]) -> "StoreHandle":
        """One orchestrator's way to it."""
        handle = StoreHandle(self, self._engine.engine, process, publish)
        self._handles.append(handle)
        return handle

    def copy(self) -> None:
        """Keep a copy as it is now."""
        self.copies.append(self.raw.serialize())

    def restore(self, number: int) -> None:
        """Replace everything by a copy: nobody may be connected."""
        image = self.copies[number]
        self._engine.load(image)
        self.raw.before_commit = self._before_commit  # type: ignore[attr-defined]
        self.raw.after_commit = self._after_commit  # type: ignore[attr-defined]

    def notify(self, origin: "StoreHandle", topics: Collection[str]) -> None:
        """Tell the other orchestrators, soon, or never."""
        for other in self._handles:
            if other is origin or not other.process.alive:
                continue
            name = f"wake {origin.process.name}"
            if self.faults and self.decisions.happens(f"wake lost {origin.process.name}", 0.1):
                continue
            delay = self.decisions.delay(name, 0.002, 0.5) if self.faults else 0.002
            later(delay, other.hear, frozenset(topics))

    def check_there(self) -> None:
        """Raise what a driver raises when the server is away."""
        process = CURRENT.get()
        if process is not None and not process.alive:
            self.raw.rollback()  # as the server does when a client is gone
            raise Killed
        if self.away:
            self.raw.rollback()
            raise _error(sqlite3.SQLITE_CANTOPEN, "the database is away")

    def _before_commit(self) -> None:
        process = CURRENT.get()
        if process is None:
            return
        self.check_there()
        if not self.faults:
            return
        if self.decisions.happens(f"crash before commit {process.name}", 0.004):
            process.kill()
            self.check_there()
        if self.decisions.happens(f"database fails before commit {process.name}", 0.01):
            self.raw.rollback()
            if self.decisions.pick(f"how it fails {process.name}", 2):
                raise _error(sqlite3.SQLITE_IOERR, "the disk is gone for a moment")
            raise ConnectionLost("the connection was lost before the commit")

    def _after_commit(self) -> None:
        self._on_commit()
        process = CURRENT.get()
        if process is None or not self.faults:
            return
        if self.decisions.happens(f"crash after commit {process.name}", 0.004):
            process.kill()
            raise Killed
        if self.decisions.happens(f"database fails after commit {process.name}", 0.004):
            raise ConnectionLost("the connection was lost in the commit")


class _NoCheckpoints(Checkpoints):
    def storing(self, size: int) -> None:
        """There is no WAL, and no thread but one."""


class _Dialect(SqliteDialect):
    """The real one, on the shared connection."""

    def __init__(self, handle: "StoreHandle", engine: sqlalchemy.Engine, clock: StoreClock) -> None:
        # Not the base's: it would make engines for a file.
        self._handle = handle
        self._clock = clock
        self._checkpoints = _NoCheckpoints(Path())
        self.writer = engine
        self.readers = engine

    def acquire(self) -> None:
        """There is no file to be locked."""

    def release(self) -> None:
        """The connection stays for the next world."""

    def trouble(self, error: BaseException) -> Trouble:
        """A connection to another machine can be lost, also in the midst of a commit."""
        cause = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error
        return Trouble.LOST if isinstance(cause, ConnectionLost) else super().trouble(error)

    def notify(self, connection: sqlalchemy.Connection, topics: Collection[str]) -> None:
        """As PostgreSQL does: what is said in a transaction is heard by others once it is committed."""
        self._handle.said = frozenset(topics)


class _Writer(Writer):
    """The real one without its thread: a task takes the commands that wait and carries them out as the thread does."""

    def __init__(self, handle: "StoreHandle", *arguments: Any) -> None:
        super().__init__(*arguments)
        self._handle = handle
        self._edge = asyncio.Event()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handle.process.spawn(self._work(), "writer")

    def submit(self, command: Command) -> None:
        super().submit(command)
        self._edge.set()

    async def _work(self) -> None:
        handle = self._handle
        while True:
            await self._edge.wait()
            self._edge.clear()
            while not self._queue.empty():
                await asyncio.sleep(handle.delay("begin"))
                commands, _ = self._next_group()
                if not commands:
                    break  # all of them had been given up
                handle.said = frozenset()
                group = self._carry_out(commands)
                if not handle.process.alive:
                    return
                if handle.said and group.topics:
                    handle.store.notify(handle, sorted(handle.said))
                await asyncio.sleep(handle.delay("answer"))
                self._answer(commands, group)


class StoreHandle:
    """One orchestrator's connection to the store."""

    def __init__(
        self,
        store: Store,
        engine: sqlalchemy.Engine,
        process: Process,
        publish: Callable[[frozenset[str]], None],
    ) -> None:
        self.store = store
        self.process = process
        self.said: frozenset[str] = frozenset()
        self._publish = publish
        dialect = _Dialect(self, engine, store.clock)
        self.database = database = Database(dialect, self._committed)
        # In the place of the one with a thread.
        database._writer = _Writer(self, dialect, database._under_way, self._committed, database._troubled)
        database._ask = self._ask_checked(database._ask)  # type: ignore[method-assign]
        process.thread_delay = lambda: self.delay("read")

    def delay(self, what: str) -> float:
        """How long a step takes."""
        return self.store.decisions.delay(f"{what} {self.process.name}", 0.001, 0.3) if self.store.faults else 0.001

    def hear(self, topics: frozenset[str]) -> None:
        """Somebody else has committed something."""
        if self.process.alive:
            self._publish_sorted(topics)  # sets events: those who wait are called in their own process

    def _committed(self, topics: frozenset[str]) -> None:
        store = self.store
        if store.raw.in_transaction:
            store.on_breach("others were woken before the commit")
        if store.faults and store.decisions.happens(f"wake lost within {self.process.name}", 0.03):
            return
        self._publish_sorted(topics)

    def _publish_sorted(self, topics: frozenset[str]) -> None:
        for topic in sorted(topics):  # a set of texts has another order in every process
            self._publish(frozenset([topic]))

    def _ask_checked(self, ask: Callable[..., Any]) -> Callable[..., Any]:
        def checked(query: Callable[..., Any]) -> Any:
            try:
                self.store.check_there()
            except sqlite3.OperationalError as error:
                raise sqlalchemy.exc.OperationalError("", {}, error) from error
            return ask(query)

        return checked


def _error(code: int, text: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code  # type: ignore[misc]
    return error
