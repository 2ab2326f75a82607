"""What a commit of one row takes with full durability: the floor of whatever is committed first."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg

from benchmarks.bench import Database

Commit = Callable[[], None]


@contextmanager
def one_row(database: Database, folder: Path) -> Iterator[Commit]:
    """Something that commits one small row: on the same PostgreSQL, or in a SQLite file of its own in `folder`."""
    payload = b"x" * 120
    if database.url is None:
        with closing(sqlite3.connect(folder / "bare.db", isolation_level=None)) as file:
            for pragma in ("page_size = 8192", "journal_mode = WAL", "synchronous = FULL"):
                file.execute(f"PRAGMA {pragma}")
            file.execute("CREATE TABLE IF NOT EXISTS bare (number INTEGER PRIMARY KEY, payload BLOB NOT NULL)")

            def commit() -> None:
                file.execute("BEGIN IMMEDIATE")
                file.execute("INSERT INTO bare (payload) VALUES (?)", (payload,))
                file.execute("COMMIT")

            yield commit
        return

    with psycopg.connect(database.url) as connection:
        connection.execute("SET synchronous_commit = on")
        connection.execute("CREATE TABLE IF NOT EXISTS bare (number bigserial PRIMARY KEY, payload bytea NOT NULL)")
        connection.commit()

        def commit_there() -> None:
            connection.execute("INSERT INTO bare (payload) VALUES (%s)", (payload,))
            connection.commit()

        yield commit_there


def milliseconds(commit: Commit, count: int, pause: float = 0.01) -> list[float]:
    """How long each of `count` commits took, a pause between them as there is between events that come now and then."""
    took: list[float] = []
    for _ in range(count):
        time.sleep(pause)
        begin = time.perf_counter()
        commit()
        took.append((time.perf_counter() - begin) * 1e3)
    return took
