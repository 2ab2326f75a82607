"""Aim: a repository on disk, and its remote tracking server."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.peers import peer
from benchmarks.peers.peer import Peer, Server, Victim, Way
from benchmarks.peers.processes import Program, free_port, wait_for_url


class AimServer(Server):
    """`aim server` on a repository; or the repository alone, which needs no server."""

    program = "aim_work.py"

    def __init__(self, python: Path, folder: Path, settings: Mapping[str, str]) -> None:
        super().__init__(python, folder, settings)
        self._port = free_port()
        self._remote = self.env.pop("PEERS_PLACE", "remote") == "remote"

    @property
    def address(self) -> str:
        return f"aim://127.0.0.1:{self._port}" if self._remote else str(self.folder)

    def start(self) -> None:
        aim = self.python.parent / "aim"
        if not (self.folder / ".aim").exists():
            subprocess.run([aim, "init"], cwd=self.folder, env=self.env, check=True, capture_output=True)
        where = ("--host", "127.0.0.1", "--repo", str(self.folder))
        server = None
        if self._remote:
            server = self.run(aim, "server", *where, "--port", str(self._port), log="server")
            wait_for_url(f"http://127.0.0.1:{self._port}/status/", server)
        # Live runs are indexed by what serves the UI: without it another process does not see them.
        port = free_port()
        ui = self.run(aim, "up", *where, "--port", str(port), log="ui")
        wait_for_url(f"http://127.0.0.1:{port}/", ui)
        self._servers = [ui] if server is None else [server, ui]

    def kill(self) -> None:
        self.kill_tree(*self._servers)

    def call(self, command: str, **wanted: Any) -> Program:
        return super().call(command, **{"repository": str(self.folder), **wanted})


LOCAL = {"PEERS_PLACE": "local"}
PEER = Peer(
    name="aim",
    title="Aim",
    server=AimServer,
    ingest=(
        Way("local", "`track`, repository on the same disk", 3_000, settings=LOCAL, told={"close": True}),
        Way("remote", "`track`, `aim server`", 1_500, told={"close": True}),
    ),
    latency=(
        Way("local", "repository on the same disk, polled", settings=LOCAL, told={"close": False}),
        Way("remote", "`aim server`, polled", told={"close": False}),
    ),
    launch=(
        (Way("local", "new process, `Run()`, repository", 3, settings=LOCAL), peer.fresh_process),
        (Way("remote", "the same, `aim server`", 3), peer.fresh_process),
    ),
    memory=(Way("server", "`aim server` and `aim up`"), Way("ui", "`aim up` alone", settings=LOCAL)),
    crash=(Way("remote", "(`aim server`)", told={"close": True}),),
    begin=peer.begin_in_a_process,
    power="may take the last records (RocksDB, whose log is not flushed at a write)",
    victims=(Victim("run", "the run's process", peer.kill_run),),
    apart={"launch": "starting runs elsewhere is not its task", "worker": "executing runs is not its task"},
)
