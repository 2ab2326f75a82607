"""What a peer has to say of itself to be measured."""

import json
import os
import subprocess
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peers.processes import Process, Program, tree

WORK = Path(__file__).resolve().parent / "work"


@dataclass(frozen=True)
class Way:
    """One of the ways in which a peer does a thing."""

    name: str  # what its program is told
    label: str  # what the table says
    count: int = 0  # records of an ingest, some seconds of them; of a latency, where the usual number takes too long
    follow: str = ""  # how records are followed, where there are several ways
    settings: Mapping[str, str] = field(default_factory=dict[str, str])  # variables of the peer's own
    told: Mapping[str, Any] = field(default_factory=dict[str, Any])  # what else its program is told


class Server(ABC):
    """A peer's server and whatever belongs to it, in a folder of its own."""

    program: str  # in work/

    def __init__(self, python: Path, folder: Path, settings: Mapping[str, str]) -> None:
        self.python = python
        self.folder = folder
        self.marker = uuid.uuid4().hex
        self.env = clean_environment() | dict(settings)
        self._started: list[subprocess.Popen[bytes]] = []
        self._known: set[Process] = set()
        self._numbers = iter(range(1_000_000))

    @property
    @abstractmethod
    def address(self) -> str:
        """What clients are given."""

    @abstractmethod
    def start(self) -> None:
        """Start it, for the first time or again, and wait until it serves."""

    @abstractmethod
    def kill(self) -> None:
        """SIGKILL to all processes of the server; what executes runs is left."""

    def start_worker(self) -> None:
        """Start what executes runs, where that is something of its own; called once, before runs are submitted."""
        return

    def kill_worker(self) -> None:
        """SIGKILL to what executes runs."""
        raise NotImplementedError

    def left(self) -> str:
        """What is left after a killed server that its clients do not see; empty when there is no such thing."""
        return ""

    def close(self) -> None:
        """End everything that was started, by its id."""
        self._known.update(self.processes())
        for process in self._started:
            if process.poll() is None:
                process.terminate()
        until = time.monotonic() + 10
        while time.monotonic() < until and any(process.alive for process in self._known):
            for process in self._started:
                process.poll()
            time.sleep(0.1)
        for process in self._known | set(self.processes()):
            process.kill()
        for process in self._started:
            process.wait()

    def processes(self) -> list[Process]:
        """All of its processes."""
        roots = [process.pid for process in self._started if process.poll() is None]
        return tree(roots, self.marker)

    # For those below

    def run(self, *command: str | Path, log: str) -> subprocess.Popen[bytes]:
        """Start a process of the server."""
        with (self.folder / f"{log}.log").open("ab") as file:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd=self.folder,
                env=self.env | {"ATHANOR_PEERS": self.marker},
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def kill_tree(self, *roots: subprocess.Popen[bytes]) -> None:
        """SIGKILL to processes and their descendants."""
        victims = tree([root.pid for root in roots])
        self._known.update(self.processes())
        for victim in victims:
            victim.kill()
        for root in roots:
            root.wait()

    # For the measurements

    def path(self, what: str) -> Path:
        """A file that is not there yet."""
        return self.folder / f"{what}-{next(self._numbers)}"

    def call(self, command: str, **wanted: Any) -> Program:
        """Start the peer's program in its environment."""
        return Program(
            [self.python, WORK / self.program, command, json.dumps({"address": self.address, **wanted})],
            env=self.env,
            folder=self.folder,
            log=self.folder / f"{command}.log",
        )


Launch = Callable[[Server, int], Iterator[float]]


@dataclass(frozen=True)
class Victim:
    """Something that is killed while a run goes on."""

    name: str
    label: str  # "the run's process"
    kill: Callable[[Server, int], None]  # given the server and the id of the run's process


@dataclass(frozen=True)
class Peer:
    """One of those that are measured."""

    name: str
    title: str
    server: Callable[[Path, Path, Mapping[str, str]], Server]
    ingest: Sequence[Way]
    latency: Sequence[Way]
    launch: Sequence[tuple[Way, Launch]]
    memory: Sequence[Way]
    crash: Sequence[Way]
    begin: Callable[[Server], tuple[str, int]]  # starts a run that rests: the run's id and its process
    victims: Sequence[Victim]
    power: str  # what a power cut leaves of what was logged, as far as its configuration says
    apart: Mapping[str, str] = field(default_factory=dict[str, str])  # by measurement: what is not its task

    def ways(self) -> dict[str, list[str]]:
        """The order of the ways in each cell."""
        return {
            f"{self.name}/ingest": [way.name for way in self.ingest],
            f"{self.name}/latency": [way.name for way in self.latency],
            f"{self.name}/launch": [way.name for way, _ in self.launch],
            f"{self.name}/memory": [way.name for way in self.memory],
            f"{self.name}/crash": [way.name for way in self.crash],
            f"{self.name}/worker": [victim.name for victim in self.victims],
        }


def submitted(server: Server, count: int, command: str = "start", **wanted: Any) -> Iterator[float]:
    """From submitting until the first line of user code, for what a program that stays submits one by one."""
    marks = [server.path("mark") for _ in range(count)]
    with server.call(command, marks=[str(mark) for mark in marks], **wanted) as program:
        for mark in marks:
            at = program.hear("at", 90)["at"]
            yield wait_for_mark(mark)["at"] - at


def fresh_process(server: Server, count: int) -> Iterator[float]:
    """`python script.py` that begins a run by the peer's SDK and then calls its own code."""
    for _ in range(count):
        mark = server.path("mark")
        begin = time.monotonic()
        with server.call("begin", mark=str(mark), rest=False):
            yield wait_for_mark(mark)["at"] - begin


def begin_in_a_process(server: Server) -> tuple[str, int]:
    """A run that rests in a process of its own, which is nobody's child but this one's; its id and that process."""
    mark = server.path("mark")
    program = server.call("begin", mark=str(mark), rest=True)
    run = program.hear("run", 90)["run"]
    return run, wait_for_mark(mark)["pid"]


def begin_by_submitting(server: Server) -> tuple[str, int]:
    """A run that rests, which the server's worker executes; its id and its process."""
    mark = server.path("mark")
    with server.call("start", marks=[str(mark)], rest=True) as program:
        run = program.hear("run", 90)["run"]
    return run, wait_for_mark(mark)["pid"]


def wait_for_mark(path: Path, seconds: float = 90) -> dict[str, Any]:
    """When user code began, and in which process. TimeoutError when it does not."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with suppress(FileNotFoundError):
            note: dict[str, Any] = json.loads(path.read_text())
            return note
        time.sleep(0.005)
    raise TimeoutError(f"no user code began within {seconds:.0f} s")


def kill_run(server: Server, pid: int) -> None:
    """SIGKILL to the process that executes the run."""
    process = Process.of(pid)
    assert process is not None, "the run is gone before it was killed"
    process.kill()


def clean_environment() -> dict[str, str]:
    """The environment without settings of any peer, with nothing sent to anybody, and loopback without a proxy."""
    own = ("MLFLOW_", "PREFECT_", "RAY_", "AIM_", "ATHANOR_", "PYTHONPATH", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return kept | {
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "RAY_USAGE_STATS_ENABLED": "0",
        "AIM_UI_TELEMETRY_ENABLED": "0",
    }
