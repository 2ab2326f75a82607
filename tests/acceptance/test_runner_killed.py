"""The runner is killed and comes back."""

from pathlib import Path

import pytest
from athanor.v1 import run_pb2

from tests.support.ledger import Ledger, recorded_lines
from tests.support.system import System, wait_until

EXPERIMENTS = Path(__file__).parent / "experiments"


@pytest.mark.timeout(90)
def test_a_killed_runner_comes_back_with_everything_its_run_had_recorded(database_url: str, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    with System(tmp_path / "system", database_url=database_url, paths=[EXPERIMENTS]) as system:
        system.start_orchestrator()
        runner = system.start_runner()
        run_id = system.start_run("ledger", {"path": str(ledger.path), "count": 10_000_000, "per_second": 5000}).id
        wait_until(lambda: len(ledger) > 5000, 30, "the run to record")
        assert system.run_processes()

        runner.kill()
        # Its death is the end of the run's process; nothing else is told.
        wait_until(lambda: not system.run_processes(), 5, "the run's process to end")
        assert system.get_run(run_id).state == run_pb2.RUN_STATE_RUNNING, "silence ends nothing"

        system.start_runner()
        run = system.wait_for_end(run_id, timeout=30)
        assert run.state == run_pb2.RUN_STATE_FAILED
        assert run.failure.kind == run_pb2.Failure.KIND_RUNNER_RESTARTED, str(run.failure)
        assert system.run_processes() == []

        (attempt,) = run.attempts
        assert attempt.log_complete
        assert attempt.process_gone

        # The ledger is written behind the log: a kill between the two leaves one more event than lines.
        recorded = recorded_lines(system.events(run_id))
        written = ledger.lines()
        assert recorded[: len(written)] == written
        assert len(recorded) - len(written) <= 1

        # And the runner works: it has its slots back.
        again = system.start_run("isolation")
        assert system.wait_for_end(again.id).state == run_pb2.RUN_STATE_COMPLETED
