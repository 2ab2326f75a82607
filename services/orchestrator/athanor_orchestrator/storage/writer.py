"""The one writer: a thread that carries out every waiting command in one transaction (group commit).

While one transaction is under way the next group gathers. So an idle system commits at once, a busy one in large
groups, and no timer delays anything.
"""

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy
from sqlalchemy import exc

from athanor_orchestrator.domain.errors import AthanorError, StorageUnavailable
from athanor_orchestrator.storage import changes
from athanor_orchestrator.storage.dialect import Dialect, Trouble, unavailable
from athanor_orchestrator.storage.transaction import Noted, Reading, Repeat, Transaction
from athanor_orchestrator.storage.under_way import UnderWay

TRIES = 5  # of one command that is told to repeat; beyond that the database is busy with somebody else

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Command:
    """A command that waits, and where its answer goes."""

    function: Callable[[Transaction], Any]
    future: asyncio.Future[Any]
    given_up: bool = False  # its caller was told that it failed: it is not begun any more


@dataclass(slots=True)
class Outcome:
    """What became of a command."""

    value: Any = None
    error: BaseException | None = None


@dataclass(slots=True)
class _Group:
    """What became of the commands of one transaction."""

    outcomes: list[Outcome]
    topics: set[str]
    refused: bool = False  # by the database, not by a fault of a command


class _RepeatOneByOne(Exception):
    """The transaction as a whole failed; its commands are to be carried out each in one of its own."""


class _Lost(Exception):
    """The database was not available, and nothing was committed."""


class _Failed(Exception):
    """The only command of a transaction failed by its own fault."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


class Writer:
    """Carries out commands on a thread of its own, and answers them on the event loop after their commit."""

    def __init__(
        self,
        dialect: Dialect,
        under_way: UnderWay,
        on_commit: Callable[[frozenset[str]], None],
        on_trouble: Callable[[], None],
    ) -> None:
        """`on_commit` is called on the event loop with the topics of a commit, `on_trouble` when one was refused."""
        self._dialect = dialect
        self._under_way = under_way
        self._on_commit = on_commit
        self._on_trouble = on_trouble
        self._queue: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._connection: sqlalchemy.Connection | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="athanor-writer", daemon=True)
        self._closed = False

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the thread."""
        self._loop = loop
        self._thread.start()

    def submit(self, command: Command) -> None:
        """Put a command in line. Called on the event loop. Raises `StorageUnavailable` after `close`."""
        if self._closed:
            raise StorageUnavailable("the database is being closed")
        self._queue.put(command)

    def close(self) -> None:
        """Take no more commands; the thread ends when those in line are carried out. Called on the event loop."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)

    def join(self, timeout: float | None = None) -> None:
        """Wait for the thread's end, for so many seconds at most."""
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        last = False
        while not last:
            commands, last = self._next_group()
            if commands:
                group = self._carry_out(commands)
                self._answer(commands, group)
        self._disconnect()

    def _next_group(self) -> tuple[list[Command], bool]:
        """Wait for a command and take all there are; True beside them when there will be no more."""
        commands: list[Command] = []
        command = self._queue.get()
        while command is not None:
            if not command.given_up:
                commands.append(command)
            try:
                command = self._queue.get_nowait()
            except queue.Empty:
                return commands, False
        return commands, True

    def _answer(self, commands: Sequence[Command], group: _Group) -> None:
        assert self._loop is not None
        try:
            # Once for the group, not for each command: waking the loop is what costs.
            self._loop.call_soon_threadsafe(self._deliver, commands, group)
        except RuntimeError:
            _log.warning("the event loop ended before %d committed commands were answered", len(commands))

    def _deliver(self, commands: Sequence[Command], group: _Group) -> None:
        for command, outcome in zip(commands, group.outcomes, strict=True):
            if not command.future.done():
                if outcome.error is None:
                    command.future.set_result(outcome.value)
                else:
                    command.future.set_exception(outcome.error)
            elif outcome.error is not None and not isinstance(outcome.error, AthanorError):
                _log.error("a command failed after its caller was cancelled", exc_info=outcome.error)
        if group.topics:
            self._on_commit(frozenset(group.topics))
        if group.refused:
            self._on_trouble()

    def _carry_out(self, commands: Sequence[Command]) -> _Group:
        try:
            return self._in_one_transaction(commands)
        except _RepeatOneByOne:
            group = _Group([], set())
            for command in commands:
                alone = self._alone(command)
                group.outcomes += alone.outcomes
                group.topics |= alone.topics
                group.refused |= alone.refused
            return group
        except BaseException as error:  # noqa: BLE001
            # The thread must live, and every caller must get an answer.
            _log.exception("a group of %d commands failed", len(commands))
            self._disconnect()
            return _Group([Outcome(error=error) for _ in commands], set())

    def _alone(self, command: Command) -> _Group:
        for _ in range(TRIES):
            try:
                return self._in_one_transaction([command])
            except _RepeatOneByOne:
                continue
        return _Group([Outcome(error=StorageUnavailable("somebody else was always first"))], set())

    def _in_one_transaction(self, commands: Sequence[Command]) -> _Group:
        try:
            try:
                return self._try(commands)
            except _Lost:
                # The connection was broken from before, as after a restart of the server: nothing was done on it.
                return self._try(commands)
        except _Lost as lost:
            return _refused(commands, lost.__cause__)

    def _try(self, commands: Sequence[Command]) -> _Group:
        """Carry out the commands in one transaction.

        Raises `_Lost` when the connection was of no use and a new one may be, `_RepeatOneByOne`.
        """
        committing = False
        used_before = self._connection is not None
        try:
            connection = self._connect()
            with self._under_way.work(connection), connection.begin():
                group = self._execute(connection, commands)
                if group.topics:
                    self._dialect.notify(connection, group.topics)
                committing = True
        except _Failed as failed:
            return _Group([Outcome(error=failed.error)], set())
        except BaseException as error:
            trouble = Trouble.REPEAT if isinstance(error, Repeat) else self._dialect.trouble(error)
            if trouble is Trouble.UNAVAILABLE or trouble is Trouble.LOST:
                self._disconnect()
                if trouble is Trouble.LOST and used_before and not committing:
                    raise _Lost from error
                # When it was lost in the commit itself nobody knows what became of it, so it is not tried again here.
                return _refused(commands, error, maybe_done=committing and trouble is Trouble.LOST)
            if trouble is Trouble.REPEAT or len(commands) > 1:
                raise _RepeatOneByOne from error
            return _Group([Outcome(error=error)], set())
        return group

    def _execute(self, connection: sqlalchemy.Connection, commands: Sequence[Command]) -> _Group:
        group = _Group([], set())
        noted: set[Noted] = set()
        reading = Reading(connection, self._dialect)
        if len(commands) == 1:
            # Alone it needs no savepoint: what it raises undoes the transaction.
            transaction = Transaction(connection, self._dialect, reading)
            try:
                group.outcomes.append(Outcome(commands[0].function(transaction)))
            except BaseException as error:
                if isinstance(error, Repeat) or self._dialect.trouble(error) is not Trouble.FAULT:
                    raise
                raise _Failed(error) from error
            group.topics |= transaction.topics
            self._record(connection, reading, group, transaction.noted)
            return group

        for command in commands:
            transaction = Transaction(connection, self._dialect, reading)
            connection.exec_driver_sql("SAVEPOINT command")
            try:
                outcome = Outcome(command.function(transaction))
            except BaseException as error:
                if isinstance(error, Repeat) or self._dialect.trouble(error) is not Trouble.FAULT:
                    raise
                connection.exec_driver_sql("ROLLBACK TO SAVEPOINT command")
                outcome = Outcome(error=error)
            else:
                group.topics |= transaction.topics
                noted |= transaction.noted
            connection.exec_driver_sql("RELEASE SAVEPOINT command")
            group.outcomes.append(outcome)
        self._record(connection, reading, group, noted)
        return group

    def _record(
        self, connection: sqlalchemy.Connection, reading: Reading, group: _Group, noted: Collection[Noted]
    ) -> None:
        """Write the journal of changes, at the very end: others wait from then on until the commit."""
        if noted:
            group.topics |= changes.record(Transaction(connection, self._dialect, reading), noted)

    def _connect(self) -> sqlalchemy.Connection:
        if self._connection is None:
            self._connection = self._dialect.writer.connect()
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            connection.invalidate()
            connection.close()
        except (exc.SQLAlchemyError, OSError):
            _log.debug("a broken connection could not be closed", exc_info=True)


def _refused(commands: Sequence[Command], error: BaseException | None, *, maybe_done: bool = False) -> _Group:
    outcomes = [Outcome(error=unavailable(error, maybe_done=maybe_done)) for _ in commands]
    return _Group(outcomes, set(), refused=True)
