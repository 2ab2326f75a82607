"""What a command or a query is given to work with."""

from dataclasses import dataclass

import sqlalchemy

from athanor_orchestrator.domain.records import ChangeKind, Resource
from athanor_orchestrator.storage.dialect import Dialect


class Repeat(Exception):
    """Raised inside a command to have the transaction around it undone and the command carried out again."""


@dataclass(frozen=True, slots=True)
class Noted:
    """A resource that a command has changed, to be written into the journal before the commit; see `changes`."""

    resource: Resource
    id: str
    kind: ChangeKind
    selected_by: "SelectedBy | None" = None  # None: its row tells


@dataclass(frozen=True, slots=True)
class SelectedBy:
    """What a watch selects a resource by, where its row may not tell any more when the journal is written."""

    instance_id: str
    experiment: str
    labels_json: str


class Reading:
    """The database's clock, read at most once for all who share the transaction."""

    def __init__(self, connection: sqlalchemy.Connection, dialect: Dialect) -> None:
        self._connection = connection
        self._dialect = dialect
        self._now_us: int | None = None

    def now_us(self) -> int:
        """Microseconds since the epoch, UTC."""
        if self._now_us is None:
            self._now_us = self._dialect.now_us(self._connection)
        return self._now_us


class Transaction:
    """One command's or query's view of the database; valid only while it runs."""

    __slots__ = ("_reading", "connection", "dialect", "noted", "topics")

    def __init__(self, connection: sqlalchemy.Connection, dialect: Dialect, reading: Reading | None = None) -> None:
        self.connection = connection
        self.dialect = dialect
        self.topics: set[str] = set()
        self.noted: set[Noted] = set()
        self._reading = reading or Reading(connection, dialect)

    @property
    def now_us(self) -> int:
        """The database's clock: read once for each transaction. On SQLite it is the machine's."""
        return self._reading.now_us()

    def wake(self, topic: str) -> None:
        """Have those who wait for `topic` woken after the commit, once; nothing when the command fails."""
        self.topics.add(topic)
