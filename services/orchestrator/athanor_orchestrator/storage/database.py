"""The database as the engine sees it: commands that write, queries that read, and word of what was committed."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from athanor_orchestrator.domain.clock import Clock
from athanor_orchestrator.storage.transaction import Transaction

T = TypeVar("T")


class Database:
    """One open database: one writer, a few readers, and on PostgreSQL a listener for other orchestrators' commits."""

    @classmethod
    def open(cls, url: str, *, clock: Clock, on_commit: Callable[[frozenset[str]], None]) -> "Database":
        """Open the database at `url` and bring its schema up to date; blocks meanwhile.

        `url` is `sqlite:////absolute/path` (the file is made when it is not there) or `postgresql://...`. `on_commit`
        is called on the event loop with the topics of each commit, this process's and on PostgreSQL also those of other
        orchestrators; a lost call must be harmless, because a wake-up is a hint.

        Raises `StorageInUse` when another orchestrator has the SQLite file, `StorageIncompatible` when a newer version
        wrote the database or the address is of neither kind, `StorageUnavailable` when it cannot be reached.
        """
        raise NotImplementedError

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the threads; answers and wake-ups are delivered on `loop`."""
        raise NotImplementedError

    async def close(self) -> None:
        """Carry out what is waiting, then stop the threads and let go of the database. May be called twice."""
        raise NotImplementedError

    async def write(self, command: Callable[[Transaction], T]) -> T:
        """Carry out a command and answer after its commit.

        Commands that wait at the same time share one transaction, each in a savepoint of its own: what one of them
        raises undoes that one alone and is raised here. A command may be called more than once (when the transaction
        around it has to be repeated), so it changes nothing but the database. When the caller is cancelled the command
        is carried out all the same.

        Raises `StorageUnavailable` when the database cannot be reached or written; when the connection was lost
        during the commit itself, the command may have been carried out.
        """
        raise NotImplementedError

    async def read(self, query: Callable[[Transaction], T]) -> T:
        """Answer a query from one snapshot of what is committed. It may be called more than once and must not write.

        Raises `StorageUnavailable` when the database cannot be reached.
        """
        raise NotImplementedError
