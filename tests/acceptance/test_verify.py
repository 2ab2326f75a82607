"""`athanor runs verify` as a person uses it, on both databases: what was done to a log in the database is named."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.system import System, wait_until

EXPERIMENTS = Path(__file__).parent / "experiments"


class Database:
    """The database behind the orchestrator's back, by the driver of its kind."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.is_sqlite = url.startswith("sqlite:///")

    @contextmanager
    def _open(self) -> Iterator[Any]:
        if not self.is_sqlite:
            with psycopg.connect(self._url) as connection:
                yield connection
            return
        with closing(sqlite3.connect(self._url.removeprefix("sqlite:///"))) as connection, connection:
            yield connection

    def execute(self, statement: str, *values: object) -> None:
        """Change rows; there have to be some."""
        with self._open() as connection:
            done = connection.execute(statement if self.is_sqlite else statement.replace("?", "%s"), values)
            assert done.rowcount > 0, statement


@pytest.mark.timeout(120)
def test_verify_names_what_was_deleted_and_altered_by_its_sequence(database_url: str, tmp_path: Path) -> None:
    database = Database(database_url)
    with System(tmp_path / "system", database_url=database_url, paths=[EXPERIMENTS]) as system:
        system.start_orchestrator()
        system.start_runner()
        system.wait_for_experiment("ledger")

        def recorded(count: int = 500) -> str:
            ledger = tmp_path / f"ledger {len(system.cli_json('runs', 'list')['runs'])}"
            system.cli("run", "ledger", "--set", f"path={ledger}", "--set", f"count={count}")
            run = system.cli_json("runs", "list", "--limit", "1")["runs"][0]
            assert (run["state"], run["log_incomplete"], run["last_sequence"]) == ("COMPLETED", False, count + 4)
            return run["id"]

        # One that nobody touched, and never is: beside all that follows it stays complete.
        untouched = recorded()

        def is_complete() -> None:
            whole = system.cli("runs", "verify", untouched)
            first, attempt = whole.stdout.splitlines()
            assert first == f"complete: 504 events, all that was recorded, unaltered (run {untouched})"
            assert attempt == "  attempt 1: complete, 502 events, the digest fits"
            assert system.cli_json("runs", "verify", untouched)["verdict"] == "COMPLETE"

        is_complete()
        assert "log: complete" in system.cli("runs", "show", untouched).stdout

        # One event is deleted, another altered: in SQLite as one would by hand, which even leaves text in its place.
        run = recorded()
        database.execute("DELETE FROM run_events WHERE run_id = ? AND sequence = ?", run, 100)
        if database.is_sqlite:
            altered = "UPDATE run_events SET payload = replace(payload, '.', '!') WHERE run_id = ? AND sequence = ?"
            database.execute(altered, run, 201)
        else:
            altered = "UPDATE run_events SET payload = overlay(payload placing '!!' from 30) WHERE run_id = ?"
            database.execute(f"{altered} AND sequence = ?", run, 201)
        done = system.cli("runs", "verify", run, check=False)
        assert done.returncode == 1
        lines = [line.strip() for line in done.stdout.splitlines()]
        assert lines[:3] == [
            f"DAMAGED: 503 events of a log that reaches to 504 (run {run})",
            "attempt 1: DAMAGED, 500 events",
            "event 100 is missing",
        ]
        assert lines[3].startswith("event 201 was altered: ")
        assert len(lines) == 4
        document = system.cli("runs", "verify", run, "--json", check=False)
        assert document.returncode == 1
        assert '"first_sequence": 100' in document.stdout

        # One whose last events are gone, its end with them.
        run = recorded()
        database.execute("DELETE FROM run_events WHERE run_id = ? AND sequence > ?", run, 400)
        done = system.cli("runs", "verify", run, check=False)
        assert (done.returncode, "events 401 to 504 are missing" in done.stdout) == (1, True)
        is_complete()


@pytest.mark.timeout(90)
def test_a_run_whose_runner_lost_its_spool_is_not_whole_anywhere(database_url: str, tmp_path: Path) -> None:
    stop_file, ledger = tmp_path / "stop", tmp_path / "ledger"
    with System(tmp_path / "system", database_url=database_url, paths=[EXPERIMENTS]) as system:
        system.start_orchestrator()
        runner = system.start_runner()
        configuration = {"path": str(ledger), "count": 10**7, "per_second": 1000, "stop_file": str(stop_file)}
        run = system.start_run("ledger", configuration).id
        wait_until(lambda: system.get_run(run).last_sequence > 100, 30, "events")

        live = system.cli("runs", "verify", run)
        assert live.stdout.startswith("under way: ")
        assert "event " in next(line for line in system.cli("runs", "show", run).stdout.splitlines() if "log:" in line)

        # The runner's disk dies: it comes back as the same runner, and has nothing.
        runner.kill()
        wait_until(lambda: not system.run_processes(), 5, "the run's process to end")
        for spool in (system.folder / "runner" / "attempts").iterdir():
            spool.rename(tmp_path / "gone")
        system.start_runner()
        ended = system.wait_for_end(run, timeout=30)
        assert ended.log_incomplete
        reaches = ended.attempts[0].last_sequence

        done = system.cli("runs", "verify", run, check=False)
        assert done.returncode == 1
        assert done.stdout.startswith(f"NOT complete: {ended.last_sequence} events, unaltered")
        assert f"it reaches to event {reaches}; its end carries no digest" in done.stdout
        assert "FAILED (log not complete)" in system.cli("runs", "list").stdout
        assert f"log: NOT complete, it reaches to event {reaches}" in system.cli("runs", "show", run).stdout
        assert "NOT complete" in system.cli("logs", run).stderr
        assert "NOT complete" in system.cli("results", run).stderr
