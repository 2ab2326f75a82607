"""The port behind which the two databases differ: how they are opened, and the few things they do in their own way."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from enum import Enum
from itertools import repeat
from typing import Any

import sqlalchemy
from sqlalchemy import ColumnElement, Table, exc

from athanor_orchestrator.domain.digests import checksum
from athanor_orchestrator.domain.errors import StorageUnavailable
from athanor_orchestrator.domain.event_columns import EventColumns
from athanor_orchestrator.domain.records import Reach
from athanor_orchestrator.storage.aliases import AnyRow, AnySelect

EventTuple = tuple[str, int, int, int, int | None, str | None, int, bytes, int]
"""A row of run_events: run id, sequence, attempt, kind, level, key, time, payload, checksum."""

ResultTuple = tuple[str, int, int, str | None, str | None, int, bool]
"""A row of run_results: run id, sequence, attempt, key, value, time, superseded."""

StandingTuple = tuple[
    str, str, str, int, int, int, int, bytes, str | None, str | None, int | None, int, int, int, int, int | None
]
"""The columns of a `Standing`, its end and state as they are stored."""


READERS = 4  # connections for reading: enough that one long page does not hold up the next


def event_tuples(run_id: str, events: EventColumns) -> Iterator[EventTuple]:
    """Return events as rows, of which each is let go of before the next one is made."""
    return zip(
        repeat(run_id),
        range(events.first_sequence, events.last_sequence + 1),
        repeat(events.attempt),
        events.kinds,
        events.levels,
        events.keys,
        events.times_us,
        events.payloads,
        map(checksum, events.payloads),
    )


class Trouble(Enum):
    """What an error means for the transaction it came up in."""

    LOST = "the connection is of no use; another may be, and what was being committed may have been"
    UNAVAILABLE = "the database refuses for the moment, and nothing was committed: full, locked, too slow"
    REPEAT = "the same again may succeed: a deadlock, or somebody else was first"
    FAULT = "of the command itself, and of no other"


class Listener(ABC):
    """Hears what other orchestrators committed."""

    @abstractmethod
    def start(self, deliver: Callable[[frozenset[str]], None]) -> None:
        """Listen on a thread; `deliver` is called there with the topics of each commit of somebody else."""

    @abstractmethod
    def close(self) -> None:
        """Stop the thread and wait for its end."""


class Dialect(ABC):
    """One kind of database."""

    writer: sqlalchemy.Engine  # one connection; its transactions are made for writing
    readers: sqlalchemy.Engine  # a small pool; its transactions are snapshots and cannot write

    @abstractmethod
    def acquire(self) -> None:
        """Take hold of the database before anything else is done. Raises `StorageInUse`."""

    @abstractmethod
    def release(self) -> None:
        """Close every connection and let go. May be called twice."""

    @abstractmethod
    def lock_schema(self, connection: sqlalchemy.Connection) -> None:
        """Keep others from migrating until this connection's transaction ends."""

    @abstractmethod
    def now_us(self, connection: sqlalchemy.Connection) -> int:
        """Read the database's clock."""

    @abstractmethod
    def trouble(self, error: BaseException) -> Trouble:
        """Tell what an error means."""

    @abstractmethod
    def upsert(self, table: Table) -> Any:
        """Return an INSERT of the database's own kind, which has `on_conflict_do_update` and `excluded`."""

    def leading(self, column: ColumnElement[str], value: str | ColumnElement[str]) -> ColumnElement[bool]:
        """Compare a column so that only an index that it leads has the order of this column and what follows it."""
        return column == value

    @abstractmethod
    def append_events(self, connection: sqlalchemy.Connection, batches: Sequence[tuple[str, EventColumns]]) -> None:
        """Append to run_events, `(run_id, events)` each, as fast as the database can."""

    @abstractmethod
    def lock_standings(self, connection: sqlalchemy.Connection, lease_ids: Collection[str]) -> Sequence[StandingTuple]:
        """Lock the runs of leases in the order of their ids, then read both."""

    @abstractmethod
    def append_results(self, connection: sqlalchemy.Connection, rows: Sequence[ResultTuple]) -> None:
        """Append to run_results; a value that is refused becomes NULL."""

    @abstractmethod
    def write_counts(self, connection: sqlalchemy.Connection, reached: Sequence[Reach]) -> None:
        """Update runs and leases."""

    @abstractmethod
    def one_of(self, column: ColumnElement[str]) -> ColumnElement[bool]:
        """Return the condition that a column has one of the values of the parameter `ids`, a list."""

    @abstractmethod
    def fetch_capped(
        self, connection: sqlalchemy.Connection, rows: AnySelect, size_of: str, max_bytes: int, *, descending: bool
    ) -> tuple[Sequence[AnyRow], bool]:
        """Fetch the rows of a limited query as long as their column `size_of` adds up to at most `max_bytes`.

        There is at least one, if there is any; True beside them when there were more. The query is ordered by its
        column `sequence`, `descending` or not. Memory holds what is returned, not what the query could return.
        """

    @abstractmethod
    def fetch_log(
        self, connection: sqlalchemy.Connection, run_id: str, after_sequence: int, upto: int, limit: int, max_bytes: int
    ) -> Sequence[tuple[int, bytes]]:
        """Fetch sequence and payload of a run's events, `after_sequence` < sequence <= `upto`, capped likewise."""

    @abstractmethod
    def notify(self, connection: sqlalchemy.Connection, topics: Collection[str]) -> None:
        """Tell other orchestrators what this transaction concerns, should it commit."""

    @abstractmethod
    def lock_changes(self, connection: sqlalchemy.Connection) -> None:
        """Keep others from writing changes until this connection's transaction has ended, and is seen to have."""

    @abstractmethod
    def give_back_space(self, connection: sqlalchemy.Connection) -> bool:
        """Return some of the room that deleted rows took, when the database does not do so by itself.

        True when there is more.
        """

    @abstractmethod
    def break_off(self, driver: Any) -> None:
        """Have the statement that another thread waits for on a driver's connection fail, where that can be done."""

    def listener(self) -> Listener | None:
        """Return what hears other orchestrators, where there can be any."""
        return None


def unavailable(error: BaseException | None, *, maybe_done: bool = False) -> StorageUnavailable:
    """Say in one line what the driver said."""
    cause = error.orig if isinstance(error, exc.DBAPIError) and error.orig is not None else error
    raised = StorageUnavailable(f"the database is not available: {' '.join(str(cause).split())}", maybe_done=maybe_done)
    raised.__cause__ = cause
    return raised
