"""MLflow: a tracking server with an SQLite backend."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.peers import peer
from benchmarks.peers.peer import Peer, Server, Victim, Way
from benchmarks.peers.processes import free_port, wait_for_url

PROJECT = 'name: peers\nentry_points:\n  main:\n    command: "{python} {program} begin @{wanted}"\n'


class MlflowServer(Server):
    """`mlflow server`, as its documentation starts it."""

    program = "mlflow_work.py"

    def __init__(self, python: Path, folder: Path, settings: Mapping[str, str]) -> None:
        super().__init__(python, folder, settings)
        self._port = free_port()
        self._options = self.env.pop("PEERS_OPTIONS", "").split()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        store = f"sqlite:///{self.folder}/mlflow.db"
        artifacts = str(self.folder / "artifacts")
        server = self.run(
            *(self.python, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)),
            *("--backend-store-uri", store, "--default-artifact-root", artifacts, *self._options),
            log="server",
        )
        wait_for_url(f"{self.address}/health", server)

    def kill(self) -> None:
        self.kill_tree(self._started[-1])


def project(server: Server, count: int) -> Iterator[float]:
    """`mlflow run` of a project, in the environment that is there; the project's code calls `start_run`."""
    source = server.path("project")
    source.mkdir()
    wanted = source / "wanted.json"
    program = peer.WORK / server.program
    (source / "MLproject").write_text(PROJECT.format(python=server.python, program=program, wanted=wanted))
    server.env["MLFLOW_TRACKING_URI"] = server.address
    for _ in range(count):
        mark = server.path("mark")
        wanted.write_text(json.dumps({"address": server.address, "mark": str(mark), "rest": False}))
        begin = time.monotonic()
        run = server.run(*(server.python, "-m", "mlflow", "run", str(source), "--env-manager", "local"), log="project")
        yield peer.wait_for_mark(mark)["at"] - begin
        run.wait(60)


PEER = Peer(
    name="mlflow",
    title="MLflow",
    server=MlflowServer,
    ingest=(
        Way("log_batch", "`log_batch`, 500 a call", 5_000),
        Way("asynchronous", "`log_metrics(synchronous=False)`", 500),
        Way("log_metrics", "`log_metrics`", 100),
    ),
    latency=(Way("log_metrics", "`log_metrics`, polled", 100),),
    launch=(
        (Way("process", "new process, `start_run`", 3), peer.fresh_process),
        (Way("project", "`mlflow run`", 3), project),
    ),
    memory=(
        Way("default", "as it comes"),
        Way(
            "small",
            "`--workers 1`, without job execution",
            settings={"PEERS_OPTIONS": "--workers 1", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        ),
    ),
    crash=(Way("log_metrics", "(`log_metrics`)"), Way("asynchronous", "(`synchronous=False`)")),
    begin=peer.begin_in_a_process,
    power="takes nothing of what a call has returned (SQLite's defaults: rollback journal, `synchronous=FULL`)",
    victims=(Victim("run", "the run's process", peer.kill_run),),
    apart={"launch": "starting runs elsewhere is not its task", "worker": "watching over runs is not its task"},
)
