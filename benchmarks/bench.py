"""What every measurement works with: folders, databases, systems of real processes, and how much there is to do."""

import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from benchmarks.figures import Figure
from tests.support.postgresql_server import PostgresqlServer
from tests.support.system import System

EXPERIMENTS = Path(__file__).resolve().parent / "experiments"

Scale = Literal["quick", "normal", "full"]


@dataclass(frozen=True)
class Database:
    """Where the orchestrator of a measurement stores."""

    name: Literal["SQLite", "PostgreSQL"]
    url: str | None  # of a PostgreSQL of its own, durable; None for SQLite in the system's data folder


@dataclass(frozen=True)
class Bench:
    """How a measurement is told what to do, and gets at what it needs."""

    folder: Path  # temporary, gone afterwards
    scale: Scale = "normal"  # quick: does it work at all; full: the sizes that take an hour
    rounds: int = 3  # how often a limit and Athanor are measured, in turn; the median counts
    only: frozenset[str] = field(default_factory=frozenset)  # databases by name; empty: both

    def size(self, quick: int, normal: int, full: int | None = None) -> int:
        """How many, at this scale."""
        return {"quick": quick, "normal": normal, "full": full or normal}[self.scale]

    def say(self, text: str) -> None:
        """Tell whoever waits what is being done: on standard error, over the line before when that is a terminal."""
        if sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def temporary(self) -> Iterator[Path]:
        """An empty folder for a moment."""
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            yield Path(name)

    @contextlib.contextmanager
    def sqlite(self) -> Iterator[Database]:
        """The embedded default."""
        yield Database("SQLite", None)

    @contextlib.contextmanager
    def postgresql(self) -> Iterator[Database]:
        """A server of one's own with an empty database, durable as one in use is."""
        with PostgresqlServer(durable=True) as server:
            yield Database("PostgreSQL", server.url(server.create()))

    def databases(self) -> Iterator[Database]:
        """Each kind of database in turn, empty."""
        for name, opened in (("SQLite", self.sqlite), ("PostgreSQL", self.postgresql)):
            if not self.only or name.lower() in self.only:
                with opened() as database:
                    yield database

    @contextlib.contextmanager
    def system(self, database: Database, *, slots: int | None = None, runners: int = 1) -> Iterator[System]:
        """Orchestrator and runners as real processes, with the experiments of the benchmarks; stopped afterwards."""
        options = [] if slots is None else ["--slots", str(slots)]
        with (
            self.temporary() as folder,
            System(folder, database_url=database.url, paths=[EXPERIMENTS]) as system,
        ):
            system.start_orchestrator()
            for number in range(1, runners + 1):
                system.start_runner(f"runner-{number}", *options)
            yield system


Measure = Callable[[Bench], Iterator[Figure]]
