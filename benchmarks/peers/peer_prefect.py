"""Prefect: a server with SQLite, and a process worker."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.peers import peer
from benchmarks.peers.peer import Peer, Server, Victim, Way
from benchmarks.peers.processes import free_port, wait_for_url


class PrefectServer(Server):
    """`prefect server start`, and `prefect worker start` with a pool of type process."""

    program = "prefect_work.py"

    def __init__(self, python: Path, folder: Path, settings: Mapping[str, str]) -> None:
        super().__init__(python, folder, settings)
        self._port = free_port()
        self.env |= {"PREFECT_HOME": str(folder / "home"), "PREFECT_API_URL": self.address}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}/api"

    def start(self) -> None:
        self._server = self.run(
            *(self.python, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self._port)),
            log="server",
        )
        wait_for_url(f"{self.address}/health", self._server)

    def kill(self) -> None:
        self.kill_tree(self._server)

    def start_worker(self) -> None:
        prefect = (self.python, "-m", "prefect")
        self.run(*prefect, "work-pool", "create", "--type", "process", "peers", log="pool").wait(90)
        self._worker = self.run(*prefect, "worker", "start", "--pool", "peers", log="worker")
        with self.call("deploy", source=str(peer.WORK)) as program:
            program.hear("deployed", 90)

    def kill_worker(self) -> None:
        self._worker.kill()
        self._worker.wait()


def deployment(server: Server, count: int) -> Iterator[float]:
    """`run_deployment` until the flow's first line, one after the other, at a random point of the worker's round."""
    server.start_worker()
    for number in range(count):
        mark = server.path("mark")
        time.sleep(1.3 * (number % 4))
        with server.call("start", mark=str(mark), rest=False) as program:
            at = program.hear("at", 90)["at"]
            yield peer.wait_for_mark(mark)["at"] - at


def begin(server: Server) -> tuple[str, int]:
    """A flow run that rests."""
    mark = server.path("mark")
    with server.call("start", mark=str(mark), rest=True) as program:
        run = program.hear("run", 90)["run"]
    return run, peer.wait_for_mark(mark)["pid"]


OFTEN = {"PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "0.01"}
PEER = Peer(
    name="prefect",
    title="Prefect",
    server=PrefectServer,
    ingest=(Way("create_logs", "`create_logs`, 1000 a call", 5_000), Way("logger", "`get_run_logger().info`", 3_000)),
    latency=(
        Way("logger", "as it comes, polled"),
        Way("often", "batch interval 0.01 s, polled", settings=OFTEN),
    ),
    launch=(
        (Way("default", "`run_deployment`, process worker as it comes", 4), deployment),
        (
            Way("often", "the same, worker asks every 1 s", 5, settings={"PREFECT_WORKER_QUERY_SECONDS": "1"}),
            deployment,
        ),
    ),
    memory=(Way("default", "server and process worker"),),
    crash=(Way("logger", "(`get_run_logger`)"),),
    begin=begin,
    power="may take what was not sent yet (2 s by default) and the last commits (WAL, `synchronous=NORMAL`)",
    victims=(
        Victim("run", "the flow run's process", peer.kill_run),
        Victim("worker", "the worker", lambda server, pid: server.kill_worker()),
    ),
)
