"""What the containers of docker-compose.yml run, run without Docker: their scripts, their health checks, PostgreSQL."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pages import ROOT
from tests.support.postgresql_server import PostgresqlServer
from tests.support.reader import free_port
from tests.support.system import BIN, System, wait_until

DOCKER = ROOT / "docker"


def health(*arguments: str) -> tuple[int, str]:
    """Exit status of the health check, and what it says."""
    done = subprocess.run(
        [sys.executable, DOCKER / "health.py", *arguments], capture_output=True, text=True, timeout=30
    )
    return done.returncode, done.stderr.strip()


@pytest.mark.timeout(120)
def test_orchestrator_and_two_runners_by_their_scripts(tmp_path: Path, postgresql_server: PostgresqlServer) -> None:
    address = f"127.0.0.1:{free_port()}"
    status, said = health("orchestrator", address)
    assert (status, said.partition(":")[0]) == (1, "UNAVAILABLE"), "nothing serves yet"

    url = postgresql_server.url(postgresql_server.create())
    path = {"PATH": f"{BIN}:{os.environ['PATH']}"}
    experiments = tmp_path / "experiments"
    experiments.mkdir()
    with System(tmp_path / "system", env=path) as system:
        orchestrator = system.start(
            "orchestrator",
            str(DOCKER / "orchestrator.sh"),
            env={"ATHANOR_DATABASE_URL": url, "ATHANOR_LISTEN": address},
        )
        orchestrator.wait_for_line("listening on")
        system.use(address)
        assert health("orchestrator", address) == (0, "")
        assert health("runner", address, "runner-1") == (1, "no runner runner-1 is connected")

        for name in ("runner-1", "runner-2"):
            env = {
                "ATHANOR_TARGET": address,
                "RUNNER_NAME": name,
                "ATHANOR_RUNNER_STATE": str(tmp_path / name),
                "RUNNER_PATH": str(experiments),
            }
            system.start(name, str(DOCKER / "runner.sh"), env=env).wait_for_line("connected to")
            assert health("runner", address, name) == (0, "")

        run = system.start_run("hello", {"times": 2})
        assert system.wait_for_end(run.id).result_count == 1

        # The database hangs: the container becomes unhealthy, and healthy again by itself.
        with postgresql_server.frozen():
            wait_until(lambda: health("orchestrator", address) == (1, "NOT_SERVING"), 40, "it to say so")
        wait_until(lambda: health("orchestrator", address) == (0, ""), 40, "it to be well again")

        # What `docker stop` sends.
        runner = system.others[-1]
        assert runner.stop() == 0
        wait_until(lambda: health("runner", address, "runner-2")[0] == 1, 10, "the runner to be gone")
        assert orchestrator.stop() == 0


def test_a_script_without_what_it_needs_says_what() -> None:
    for script, missing in (("orchestrator.sh", "ATHANOR_DATABASE_URL"), ("runner.sh", "ATHANOR_TARGET")):
        done = subprocess.run([DOCKER / script], env={"PATH": str(BIN)}, capture_output=True, text=True)
        assert done.returncode != 0
        assert missing in done.stderr
