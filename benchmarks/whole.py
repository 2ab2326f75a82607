"""`athanor up` as a person starts it, for measurements of the whole."""

import contextlib
import re
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from athanor.v1 import runner_service_pb2 as calls
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks import footprint
from tests.support.system import BIN, Child, System, command_line

_LOOK = 0.005  # seconds between two questions
_LIMIT = 60.0  # seconds
_NAMES = (  # in a command line, and for people
    (" up ", "supervisor"),
    ("athanor.cli.system", "supervisor"),
    ("athanor_orchestrator", "orchestrator"),
    ("athanor_runner", "runner"),
    ("/template-", "template"),
    ("athanor.experiment.execute", "run"),
    ("athanor.experiment.describe", "describing"),
)


@dataclass(frozen=True)
class Up:
    """A whole system that was started by one command, and serves."""

    system: System
    child: Child
    seconds: float  # from its start until health was SERVING and a runner had a session

    def processes(self) -> list[tuple[str, int]]:
        """Every process of it, by what it is and its id."""
        return [(_name(pid), pid) for pid in footprint.tree(self.child.pid)]


@contextlib.contextmanager
def up(folder: Path, *options: str, paths: Sequence[Path] = ()) -> Iterator[Up]:
    """Start `athanor up` with its data in `folder`/data, and wait until it works; stopped afterwards."""
    with System(folder) as system:
        address = f"127.0.0.1:{_free_port()}"
        command = [str(BIN / "athanor"), "up", "--listen", address, "--data", str(folder / "data"), *options]
        for path in paths:
            command += ["--path", str(path)]
        begin = time.monotonic()
        child = system.start("up", *command)
        system.use(address)
        _wait_until_it_works(system, child, begin + _LIMIT)
        seconds = time.monotonic() - begin
        yield Up(system, child, seconds)
        child.send(signal.SIGTERM)
        child.wait()


def settled(whole: Up) -> None:
    """Return once it has announced itself and nothing of its start is left: no experiments are being described."""
    whole.child.wait_for_line(r"^Ctrl-C stops it")
    deadline = time.monotonic() + _LIMIT
    while any(name == "describing" for name, _ in whole.processes()):
        _sleep(deadline, "the experiments to be described")


def _wait_until_it_works(system: System, child: Child, deadline: float) -> None:
    host, _, port = system.target.rpartition(":")
    while True:  # a connection that is refused would have gRPC wait before its next try
        try:
            socket.create_connection((host, int(port)), 1).close()
            break
        except OSError:
            _sleep(deadline, f"{child.name} to listen\n{child.log}")
    health = health_pb2_grpc.HealthStub(system.channel)
    while not (_serves(health) and _has_a_runner(system)):
        _sleep(deadline, f"{child.name} to serve\n{child.log}")


def _serves(health: health_pb2_grpc.HealthStub) -> bool:
    try:
        answer = health.Check(health_pb2.HealthCheckRequest(), timeout=5)
    except grpc.RpcError:
        return False
    return answer.status == health_pb2.HealthCheckResponse.SERVING


def _has_a_runner(system: System) -> bool:
    return any(runner.connected for runner in system.fleet.ListRunners(calls.ListRunnersRequest(), timeout=5).runners)


def _sleep(deadline: float, what: str) -> None:
    if time.monotonic() > deadline:
        raise TimeoutError(f"waited {_LIMIT:g} s for {what}")
    time.sleep(_LOOK)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _name(pid: int) -> str:
    command = command_line(pid)
    for sign, what in _NAMES:
        if re.search(re.escape(sign), command):
            return what
    return command.strip() or "ended"
