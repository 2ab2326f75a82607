"""A runner that does not come back is given up by its operator; and then it comes back after all."""

import re
import signal
from pathlib import Path

import pytest
from athanor.v1 import run_pb2

from tests.support.ledger import Ledger
from tests.support.system import BIN, System, wait_until

EXPERIMENTS = Path(__file__).parent / "experiments"
# Silence counts sooner than by default, and a heartbeat comes sooner, so that a test need not last for minutes.
SOONER = {"ATHANOR_UNREACHABLE_AFTER": "2", "ATHANOR_REAPER_INTERVAL": "0.3", "ATHANOR_HEARTBEAT_INTERVAL": "0.5"}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("fate", ["killed", "frozen"])
def test_what_a_silent_runner_held_ends_at_once_and_when_it_comes_back_it_is_fenced(
    database_url: str, tmp_path: Path, fate: str
) -> None:
    ledger = Ledger(tmp_path / "ledger")
    with System(tmp_path / "system", database_url=database_url, paths=[EXPERIMENTS], env=SOONER) as system:
        system.start_orchestrator()
        runner = system.start_runner()
        run_id = system.start_run("ledger", {"path": str(ledger.path), "count": 10_000_000, "per_second": 500}).id
        wait_until(lambda: len(ledger) > 500, 30, "the run to record")
        (found,) = system.cli_json("runners", "list")["runners"]
        watch = system.start("watch", str(BIN / "athanor"), "--target", system.target, "runs", "watch")
        watch.wait_for_line(f"^{run_id}  ledger  RUNNING$")

        refused = system.cli("runners", "forget", found["id"], check=False)
        assert refused.returncode == 5
        assert re.search(r"is connected: it was heard from \d s ago", refused.stderr)

        if fate == "killed":
            runner.kill()
        else:
            runner.send(signal.SIGSTOP)
            assert system.run_processes()
        wait_until(
            lambda: not system.cli_json("runners", "list")["runners"][0]["connected"], 20, "its silence to be noticed"
        )
        watch.wait_for_line(f"^{run_id}  ledger  RUNNING \\(runner silent\\)$")

        said = system.cli("runners", "forget", found["id"][:8]).stdout
        assert said.splitlines() == [
            f"gave up runner {found['id']}; it held 1 run",
            f"ended the attempt of run {run_id}",
        ]
        run = system.get_run(run_id)
        assert run.state == run_pb2.RUN_STATE_FAILED
        assert run.failure.kind == run_pb2.Failure.KIND_RUNNER_LOST
        (attempt,) = run.attempts
        assert not attempt.log_complete
        assert not attempt.process_gone
        last = run.last_sequence
        watch.wait_for_line(f"^{run_id}  ledger  FAILED  .* RUNNER_LOST: its runner was given up by an operator$")

        if fate == "killed":
            runner = system.start_runner()
        else:
            runner.send(signal.SIGCONT)
        wait_until(lambda: not system.run_processes(), 30, "the run's process to end")
        quarantine = tmp_path / "system" / "runner" / "quarantine"
        wait_until(lambda: quarantine.is_dir() and list(quarantine.iterdir()), 30, "the spool to be put aside")
        wait_until(lambda: system.get_run(run_id).attempts[0].process_gone, 30, "it to be said that nothing is left")
        (aside,) = quarantine.iterdir()
        assert list((aside / "spool").iterdir()), "what it had recorded is readable there"
        assert not list((tmp_path / "system" / "runner" / "attempts").iterdir())

        run = system.get_run(run_id)
        assert (run.state, run.last_sequence) == (run_pb2.RUN_STATE_FAILED, last), "nothing of it enters the run"

        # And the runner works: it has its slots back.
        again = system.start_run("isolation")
        assert system.wait_for_end(again.id).state == run_pb2.RUN_STATE_COMPLETED
        watch.send(signal.SIGINT)
        assert watch.wait() == 130
