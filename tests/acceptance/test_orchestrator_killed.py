"""The orchestrator is killed again and again under a run that records all the time.

Nothing may be lost, doubled or moved. Three accounts are compared: the ledger that the experiment wrote itself, the
database, and what a watching client iterated.
"""

import hashlib
import random
import signal
import time
from pathlib import Path

import pytest
import sqlalchemy
from athanor.v1 import run_pb2, run_service_pb2

from tests.support.ledger import Ledger, recorded_lines
from tests.support.system import System, wait_until
from tests.support.watching import Watcher

EXPERIMENTS = Path(__file__).parent / "experiments"
KILLS = 20
UNACKNOWLEDGED = 1000  # events at least, at each kill
PER_SECOND = 4000  # events recorded by the run, whatever happens to the orchestrator

HEARTBEAT = 0.5  # seconds
UNREACHABLE_AFTER = 1.5
AWAY = 4.0  # longer than either

TIMINGS = {
    "ATHANOR_HEARTBEAT_INTERVAL": str(HEARTBEAT),
    "ATHANOR_UNREACHABLE_AFTER": str(UNREACHABLE_AFTER),
    "ATHANOR_REAPER_INTERVAL": "0.5",
    "ATHANOR_RUNNER_RECONNECT_MOST": "0.3",
}


@pytest.mark.timeout(240)
def test_killing_the_orchestrator_twenty_times_loses_doubles_and_moves_nothing(
    database_url: str, tmp_path: Path
) -> None:
    ledger, stop_file = Ledger(tmp_path / "ledger"), tmp_path / "stop"
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    moment = random.Random(seed)

    with System(tmp_path / "system", database_url=database_url, paths=[EXPERIMENTS], env=TIMINGS) as system:
        system.start_orchestrator()
        system.start_runner()
        configuration = {
            "path": str(ledger.path),
            "count": 10_000_000,
            "per_second": PER_SECOND,
            "stop_file": str(stop_file),
        }
        run_id = system.start_run("ledger", configuration).id
        database = Database(database_url, run_id)

        with Watcher(system.target, run_id) as watcher:
            wait_until(lambda: len(watcher.seen) > 100, 30, "the watch to begin")

            counted = 0
            while counted < KILLS:
                # Anywhere between the moment in which it serves again and the steady state: while runners say hello,
                # while the backlog is taken in, while a transaction is written, while watchers are served.
                time.sleep(moment.uniform(0, 0.6))
                orchestrator = system.orchestrator
                assert orchestrator is not None

                # It stands still where it is, in the middle of whatever it does, until the run is far enough ahead.
                orchestrator.send(signal.SIGSTOP)
                wait_until(lambda: len(ledger) - database.committed() >= UNACKNOWLEDGED, 10, "the run to get ahead")
                orchestrator.kill()
                # PostgreSQL may have finished a commit meanwhile that it had been sent: then this one does not count.
                counted += len(ledger) - database.committed() >= UNACKNOWLEDGED

                if counted == KILLS // 2:
                    before = len(ledger)
                    time.sleep(AWAY)
                    assert len(ledger) - before > PER_SECOND, "the experiment does not notice"
                system.start_orchestrator()

            stop_file.touch()
            run = system.wait_for_end(run_id, timeout=60)
            watcher.join(30)

        assert run.state == run_pb2.RUN_STATE_COMPLETED, str(run)
        assert not run.HasField("unreachable_since")
        (attempt,) = run.attempts
        assert attempt.log_complete
        assert watcher.interruptions > 0
        assert watcher.last_run.ended

        written = ledger.lines()
        events = system.events(run_id)
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        assert recorded_lines(events) == written

        # The watcher had the same, once each and in order, across all the interruptions.
        assert [event.sequence for event in watcher.events] == list(range(1, len(events) + 1))
        assert recorded_lines(watcher.events) == written

        # All of it is byte for byte what was recorded: the run's own digest says so of the database, and a watcher is
        # sent the bytes of the database.
        payloads = database.payloads()
        assert chained(payloads[1:-2]) == events[-2].attempt_ended.digest
        assert replay(system, run_id) == payloads
        assert database.result_rows() == [
            (event.sequence, event.result.value_json) for event in events if event.HasField("result")
        ]
        print(f"{len(events)} events, {watcher.interruptions} interruptions")


def chained(payloads: list[bytes]) -> bytes:
    """The digest of AttemptEnded."""
    digest = bytes(32)
    for payload in payloads:
        digest = hashlib.sha256(digest + payload).digest()
    return digest


def replay(system: System, run_id: str) -> list[bytes]:
    """The bytes of every event as a watch from the beginning is sent them."""
    payloads = []
    for item in system.runs.WatchRun(run_service_pb2.WatchRunRequest(id=run_id), timeout=60):
        payloads += [event.SerializeToString(deterministic=True) for event in item.batch.events]
    return payloads


class Database:
    """The database itself, read beside the orchestrator and while it is gone."""

    def __init__(self, url: str, run_id: str) -> None:
        self._run = {"run": run_id}
        # A connection for each question: one that stays open would outlive the test's database.
        self._engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)

    def committed(self) -> int:
        """Sequence of the newest event that is stored."""
        with self._engine.connect() as connection:
            query = sqlalchemy.text("SELECT max(sequence) FROM run_events WHERE run_id = :run")
            return connection.execute(query, self._run).scalar() or 0

    def payloads(self) -> list[bytes]:
        with self._engine.connect() as connection:
            query = sqlalchemy.text("SELECT payload FROM run_events WHERE run_id = :run ORDER BY sequence")
            return [bytes(row.payload) for row in connection.execute(query, self._run)]

    def result_rows(self) -> list[tuple[int, str]]:
        with self._engine.connect() as connection:
            query = sqlalchemy.text(
                "SELECT sequence, CAST(value AS TEXT) AS value FROM run_results"
                " WHERE run_id = :run AND NOT superseded ORDER BY sequence"
            )
            return [(row.sequence, row.value) for row in connection.execute(query, self._run)]
