"""`athanor up`: the whole system by one command, as a person starts it in a terminal."""

import os
import signal
from pathlib import Path

import pytest
from athanor.v1 import run_pb2

from tests.support.system import BIN, Child, System, command_line, wait_until

EXPERIMENTS = Path(__file__).parent / "experiments"


def start_up(system: System, *options: str) -> Child:
    """Start it, wait until it is ready, and let the system call it."""
    command = [str(BIN / "athanor"), "up", "--listen", "127.0.0.1:0", "--data", str(system.folder / "data")]
    child = system.start("up", *command, "--path", str(EXPERIMENTS), *options)
    system.use(child.wait_for_line(r"ready at (\S+)")[1])
    return child


def service(system: System, module: str) -> int:
    """The process id of the one service of this module."""
    (pid,) = [pid for pid in system.processes() if f"-m {module} " in command_line(pid)]
    return pid


@pytest.mark.timeout(60)
def test_ctrl_c_stops_everything_in_order(tmp_path: Path) -> None:
    with System(tmp_path) as system:
        up = start_up(system)
        run = system.start_run("waits")
        system.wait_for_state(run.id, run_pb2.RUN_STATE_RUNNING)

        # A terminal sends it to the whole foreground group; the services must not take it as theirs.
        up.interrupt_group()
        wait_until(lambda: "Ctrl-C again" in up.log, 10, "it to say what it does")
        up.interrupt_group()  # not patient enough to wait ten seconds for the run
        assert up.wait() == 0
        assert system.processes() == []

        # The run has its end in the database: the runner was stopped first, and could still deliver.
        start_up(system)
        run = system.get_run(run.id)
        assert run.state == run_pb2.RUN_STATE_FAILED
        assert run.failure.kind == run_pb2.Failure.KIND_RUNNER_STOPPED
        assert run.attempts[0].log_complete


@pytest.mark.timeout(90)
def test_either_service_is_started_again_when_it_dies(tmp_path: Path) -> None:
    with System(tmp_path) as system:
        start_up(system)
        run = system.start_run("waits")
        system.wait_for_state(run.id, run_pb2.RUN_STATE_RUNNING)

        # The orchestrator comes back at the same address; the run does not notice.
        orchestrator = service(system, "athanor_orchestrator")
        os.kill(orchestrator, signal.SIGKILL)
        wait_until(lambda: orchestrator not in system.processes(), 10, "the orchestrator to be gone")
        assert system.get_run(run.id).state == run_pb2.RUN_STATE_RUNNING
        system.cancel_run(run.id)
        assert system.wait_for_end(run.id).state == run_pb2.RUN_STATE_CANCELLED

        # The runner comes back as the same runner, and executes runs again.
        (before,) = system.cli_json("runners", "list")["runners"]
        os.kill(service(system, "athanor_runner"), signal.SIGKILL)
        run = system.wait_for_end(system.start_run("returns").id)
        assert run.state == run_pb2.RUN_STATE_COMPLETED
        (after,) = system.cli_json("runners", "list")["runners"]
        assert after["id"] == before["id"]


@pytest.mark.timeout(60)
def test_what_cannot_be_is_said_without_a_traceback(tmp_path: Path) -> None:
    with System(tmp_path) as system:
        start_up(system)
        taken = system.cli("up", "--listen", system.target, "--data", str(tmp_path / "other"), check=False)
        assert taken.returncode == 1
        assert system.target in taken.stderr
        assert "--listen" in taken.stderr, "it says what to do"

        open_to_all = system.cli("up", "--listen", "0.0.0.0:0", "--data", str(tmp_path / "other"), check=False)
        assert open_to_all.returncode == 1
        assert "--allow-unauthenticated" in open_to_all.stderr
        assert "Traceback" not in taken.stderr + open_to_all.stderr
