"""What holds on SQLite alone: durability is really set, one orchestrator, trouble with the file."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest
from athanor_orchestrator.domain.errors import StorageInUse, StorageUnavailable
from athanor_orchestrator.storage import events
from athanor_orchestrator.storage.checkpoints import EVERY_BYTES
from athanor_orchestrator.storage.database import Database
from sqlalchemy import event

from tests.support.databases import OpenDatabase
from tests.support.rows import a_stored_run, get, log_events

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


def pragma(name: str):
    return lambda tx: tx.connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()


async def test_a_commit_is_flushed_before_it_is_answered(database: Database) -> None:
    assert await database.write(pragma("journal_mode")) == "wal"
    assert await database.write(pragma("synchronous")) == 2  # FULL
    assert await database.write(pragma("foreign_keys")) == 1
    assert await database.write(pragma("busy_timeout")) == 5_000
    assert await database.write(pragma("auto_vacuum")) == 2  # incremental
    assert await database.write(pragma("page_size")) == 8192


async def test_what_is_stored_is_folded_into_the_file_beside_the_commits(database: Database, tmp_path: Path) -> None:
    run = await a_stored_run(database)
    pages = await database.write(pragma("wal_autocheckpoint"))
    for first in range(2, 8):
        large = log_events(first, first, payload=b"x" * (EVERY_BYTES // 4))
        await database.write(lambda tx, large=large: events.append_events(tx, [(run.id, large)]))
    assert (tmp_path / "athanor.db-wal").stat().st_size < pages * 8192  # so it was not the writer who did it
    async with asyncio.timeout(20):
        while (tmp_path / "athanor.db").stat().st_size < EVERY_BYTES // 2:
            await asyncio.sleep(0.01)
    assert "athanor-checkpoints" in {thread.name for thread in threading.enumerate()}
    await database.close()
    assert "athanor-checkpoints" not in {thread.name for thread in threading.enumerate()}


async def test_events_of_several_runs_that_go_by_the_hundred_stay_each_in_its_own_log(database: Database) -> None:
    stored = {}
    for number in range(4):
        run = await a_stored_run(database)
        stored[run.id] = log_events(2, 71 + 40 * number, payload=bytes([number]) * 10)
    await database.write(lambda tx: events.append_events(tx, list(stored.items())))
    for run_id, rows in stored.items():
        read = partial(events.read_events, run_id=run_id, after_sequence=1, limit=1000, max_bytes=1 << 30)
        assert (await database.read(lambda tx, read=read: read(tx))).items == rows


async def test_connections_for_reading_cannot_write(database: Database) -> None:
    assert await database.read(pragma("query_only")) == 1
    assert await database.write(pragma("query_only")) == 0


async def test_a_second_orchestrator_on_one_file_is_refused(open_database: OpenDatabase, tmp_path: Path) -> None:
    first = await open_database()
    with pytest.raises(StorageInUse, match="in use by another orchestrator"):
        await open_database()
    run = await a_stored_run(first)
    await first.close()
    again = await open_database()
    assert await get(again, run) == run


async def test_the_lock_goes_with_its_process_and_not_to_its_children(
    open_database: OpenDatabase, database_url: str
) -> None:
    """A killed orchestrator leaves no lock behind, and a child that it started does not inherit one."""
    script = (
        "import os, subprocess, sys\n"
        "from athanor_orchestrator.domain.clock import SystemClock\n"
        "from athanor_orchestrator.storage.database import Database\n"
        "Database.open(sys.argv[1], clock=SystemClock(), on_commit=print)\n"
        "child = subprocess.Popen(['sleep', '60'], close_fds=False, stdout=-3)\n"
        "print(child.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    process = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script, database_url], stdout=subprocess.PIPE, check=False
    )
    child = int(process.stdout)
    try:
        assert process.returncode == -9
        await open_database()
    finally:
        os.kill(child, 9)


async def test_a_file_that_somebody_holds_locked_is_unavailable_and_then_is_again(
    open_database: OpenDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "athanor_orchestrator.storage.sqlite._OF_THE_CONNECTION",
        ("PRAGMA busy_timeout = 50", "PRAGMA synchronous = FULL"),
    )
    database = await open_database()
    run = await a_stored_run(database)
    shell = sqlite3.connect(tmp_path / "athanor.db", isolation_level=None)
    shell.execute("BEGIN IMMEDIATE")
    writes = [
        database.write(lambda tx, n=n: events.append_events(tx, [(run.id, log_events(n, n))])) for n in range(2, 12)
    ]
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {StorageUnavailable}
    assert "locked" in str(outcomes[0])
    assert await get(database, run) == run  # reading goes on meanwhile
    shell.execute("ROLLBACK")
    shell.close()
    await database.write(lambda tx: events.append_events(tx, [(run.id, log_events(2, 5))]))


async def test_a_full_disk_fails_the_group_and_harms_nothing(open_database: OpenDatabase) -> None:
    database = await open_database()
    run = await a_stored_run(database)
    pages = await database.write(pragma("page_count"))

    def make_small(connection: sqlite3.Connection, record: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages + 4}")

    event.listen(database._dialect.writer, "connect", make_small)
    await database.write(pragma(f"max_page_count = {pages + 4}"))
    large = log_events(2, 200, payload=b"x" * 8000)
    with pytest.raises(StorageUnavailable, match="full"):
        await database.write(lambda tx: events.append_events(tx, [(run.id, large)]))
    assert await get(database, run) == run

    event.remove(database._dialect.writer, "connect", make_small)  # somebody made room
    await database.write(lambda tx: events.append_events(tx, [(run.id, large)]))
    page = await database.read(lambda tx: events.read_events(tx, run.id, limit=1000, max_bytes=1 << 30))
    assert len(page.items) == 199


async def test_a_folder_that_cannot_be_made_is_told_clearly(open_database: OpenDatabase, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StorageUnavailable, match="cannot open"):
        await open_database(url=f"sqlite:///{tmp_path}/file/athanor.db")


async def test_a_file_that_is_no_database_is_told_clearly(open_database: OpenDatabase, tmp_path: Path) -> None:
    (tmp_path / "noise.db").write_bytes(os.urandom(8192))
    with pytest.raises(StorageUnavailable, match="not a database"):
        await open_database(url=f"sqlite:///{tmp_path}/noise.db")
    (tmp_path / "noise.db").unlink()
    await open_database(url=f"sqlite:///{tmp_path}/noise.db")
