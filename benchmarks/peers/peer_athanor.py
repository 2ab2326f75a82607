"""Athanor itself, by the same measure: orchestrator with SQLite, and one runner."""

import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.peers import peer
from benchmarks.peers.peer import Peer, Server, Victim, Way
from benchmarks.peers.processes import free_port

EXPERIMENTS = Path(__file__).resolve().parent / "experiments"


class AthanorServer(Server):
    """`athanor-orchestrator` and `athanor-runner`; or `athanor up`, which is both, and starts them anew."""

    program = "athanor_work.py"

    def __init__(self, python: Path, folder: Path, settings: Mapping[str, str]) -> None:
        super().__init__(python, folder, settings)
        self._port = free_port()
        self._up = self.env.pop("PEERS_UP", "") == "yes"
        self._runner: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        programs = self.python.parent
        data, found = str(self.folder / "data"), ("--path", str(EXPERIMENTS))
        if self._up:
            self._orchestrator = self.run(
                programs / "athanor", "up", "--data", data, *found, "--listen", self.address, log="up"
            )
            self._wait_for("up", "Athanor is ready", 1)
            return
        again = self._runner is not None
        self._orchestrator = self.run(
            programs / "athanor-orchestrator", "--listen", self.address, "--data", data, log="orchestrator"
        )
        self._wait_for("orchestrator", "listening on", 2 if again else 1)
        if not again:
            self._runner = self.run(
                *(programs / "athanor-runner", "--target", self.address, *found),
                *("--state", str(self.folder / "runner"), "--name", "runner"),
                log="runner",
            )
            self._wait_for("runner", "connected to", 1)

    def kill(self) -> None:
        self.kill_tree(self._orchestrator)

    def kill_worker(self) -> None:
        assert self._runner is not None
        self._runner.kill()
        self._runner.wait()

    def _wait_for(self, log: str, text: str, times: int) -> None:
        until = time.monotonic() + 60
        while (self.folder / f"{log}.log").read_text().count(text) < times:
            if time.monotonic() > until or self._started[-1].poll() is not None:
                raise RuntimeError((self.folder / f"{log}.log").read_text()[-3000:])
            time.sleep(0.02)


def runs(server: Server, count: int) -> Iterator[float]:
    """`StartRun` until the experiment's first line, in its own process."""
    return peer.submitted(server, count, rest=False)


UP = {"PEERS_UP": "yes"}
PEER = Peer(
    name="athanor",
    title="Athanor",
    server=AthanorServer,
    ingest=(Way("log_batch", "`log_batch`, 1000 a call", 100_000), Way("log", "`log`", 60_000)),
    latency=(Way("log", "`log`, `watch`"),),
    launch=((Way("run", "`StartRun`, a process of its own", 20), runs),),
    memory=(Way("up", "`athanor up`", settings=UP),),
    crash=(Way("log", "(`log`)"),),
    begin=peer.begin_by_submitting,
    power="may take the last 0.2 s of what was logged; what a reader has seen is on disk (WAL, `synchronous=FULL`)",
    victims=(
        Victim("run", "the run's process", peer.kill_run),
        Victim("worker", "the runner, not started again", lambda server, pid: server.kill_worker()),
    ),
)
