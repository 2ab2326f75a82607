"""The runner is killed, and what it has of its run cannot be read any more: a run of one attempt is executed once."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from athanor.v1 import run_pb2, run_policy_pb2

from tests.support.ledger import Ledger
from tests.support.system import System, wait_until

EXPERIMENTS = Path(__file__).parent / "experiments"
LINES = 20


@pytest.mark.timeout(90)
@pytest.mark.parametrize("damage", [lambda path: os.truncate(path, 100), Path.unlink], ids=["truncated", "lost"])
def test_a_run_of_which_nothing_is_stored_is_not_executed_again(
    database_url: str, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """The orchestrator dies as soon as the lease is taken up, so all it knows is that it granted one."""
    ledger = Ledger(tmp_path / "ledger")
    with System(tmp_path / "system", database_url=database_url, paths=[EXPERIMENTS]) as system:
        system.start_orchestrator()
        runner = system.start_runner()
        policy = run_policy_pb2.RunPolicy(max_attempts=1)
        run_id = system.start_run("ledger", {"path": str(ledger.path), "count": LINES}, policy=policy).id
        folder = first_in(system.folder / "runner" / "attempts")
        assert system.orchestrator is not None
        system.orchestrator.kill()
        wait_until(lambda: len(ledger) == LINES, 30, "the run to be executed")
        runner.kill()
        wait_until(lambda: not system.run_processes(), 5, "the run's process to end")
        damage(folder / "assignment.json")

        system.start_orchestrator()
        system.start_runner()
        run = system.wait_for_end(run_id, timeout=30)
        assert run.state == run_pb2.RUN_STATE_FAILED
        assert run.failure.kind == run_pb2.Failure.KIND_STORAGE, str(run.failure)
        kinds = [event.WhichOneof("event") for event in system.events(run_id)]
        assert kinds == ["state_change", "attempt_ended", "state_change"]
        (attempt,) = run.attempts
        assert not attempt.log_complete
        wait_until(
            lambda: system.get_run(run_id).attempts[0].process_gone, 20, "the runner to say that nothing is left"
        )
        quarantine = system.folder / "runner" / "quarantine" / folder.name
        assert list((quarantine / "spool").glob("*.seg"))
        assert "could not go on with" in (quarantine / "NOTE.txt").read_text()

        # The runner works, and whatever it was given meanwhile was not this run.
        again = system.start_run("isolation")
        assert system.wait_for_end(again.id).state == run_pb2.RUN_STATE_COMPLETED
        assert len(ledger) == LINES


def first_in(attempts: Path) -> Path:
    """The folder of the attempt, as soon as it is there: its process takes a while longer to record anything."""
    deadline = time.monotonic() + 30
    while not (found := [folder for folder in attempts.iterdir() if (folder / "assignment.json").exists()]):
        assert time.monotonic() < deadline, "the lease was not taken up"
        time.sleep(0.001)
    return found[0]
