"""Orchestrator and runner as two supervised processes: what `athanor up` becomes.

`python -m athanor.cli.system SETTINGS` is what stays for as long as the system runs, so it imports little: neither the
command line nor gRPC. Whoever needs those is another process, which ends.
"""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from athanor.cli import exits, faults, output, paint, supervise

_ORCHESTRATOR_READY = re.compile(r"athanor-orchestrator listening on (?P<address>\S+)$")
_RUNNER_READY = re.compile(r"athanor-runner (?P<id>\S+) connected to (?P<address>\S+)$")
_LEVEL = re.compile(r"^[-\d]+ [:,\d]+ ([A-Z]+)")  # of a line that a service logs
_STYLES = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}
_DEFAULT = "127.0.0.1:7400"
_STOP_RUNNER = 60.0  # seconds: its grace, what it does to processes that do not end, and the last events
_STOP_ORCHESTRATOR = 20.0  # seconds
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}


@dataclass(frozen=True)
class Settings:
    """What `athanor up` was told."""

    listen: str
    data: Path
    paths: tuple[Path, ...] = ()
    slots: int | None = None
    python: Path | None = None
    allow_unauthenticated: bool = False
    debug: bool = False  # show a traceback of what is a fault of the program

    def to_json(self) -> str:
        """As text, for a command line."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> "Settings":
        """The inverse of `to_json`."""
        told: dict[str, Any] = json.loads(text)
        told["data"] = Path(told["data"])
        told["paths"] = tuple(Path(path) for path in told["paths"])
        told["python"] = Path(told["python"]) if told["python"] else None
        return cls(**told)


def become(settings: Settings) -> NoReturn:
    """Turn this process into one that runs the system; it keeps nothing of what was imported for the command line."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", __name__, settings.to_json()])


def default_data_folder() -> Path:
    """The folder for everything, unless told otherwise: $XDG_DATA_HOME/athanor, else ~/.local/share/athanor."""
    home = os.environ.get("XDG_DATA_HOME")
    return (Path(home) if home else Path.home() / ".local" / "share") / "athanor"


def orchestrator_arguments(settings: Settings, listen: str) -> list[str]:
    """The command line of the orchestrator."""
    unauthenticated = ["--allow-unauthenticated"] if settings.allow_unauthenticated else []
    return ["--listen", listen, "--data", str(settings.data), *unauthenticated]


def runner_arguments(settings: Settings, target: str) -> list[str]:
    """The command line of the runner."""
    arguments = ["--target", target, "--state", str(settings.data / "runner")]
    for path in settings.paths:
        arguments += ["--path", str(path)]
    if settings.slots is not None:
        arguments += ["--slots", str(settings.slots)]
    if settings.python is not None:
        arguments += ["--python", str(settings.python)]
    return arguments


def reachable(address: str) -> str:
    """The address by which this machine reaches a service that listens on `address`."""
    host, _, port = address.rpartition(":")
    return f"{_ANYWHERE.get(host, host)}:{port}"


def taken(listen: str) -> str | None:
    """Say why nothing can listen there; None when it can. Port 0 is any free one."""
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        return f"--listen takes HOST:PORT, for example {_DEFAULT}; it is {listen!r}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return (
            f"cannot listen on {listen}: {error.strerror or error}\n"
            f"If Athanor runs there already, use it: `athanor experiments list --target {reachable(listen)}`.\n"
            "Else choose another address with --listen HOST:PORT."
        )
    return None


async def run(settings: Settings) -> int:
    """Run the system until a signal says to stop; return the exit status."""
    problem = taken(settings.listen)
    if problem:
        output.note(f"athanor: {problem}")
        return exits.FAILED
    system = _System(settings)
    status = exits.OK
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, system.signalled)
    try:
        await system.run()
    except* supervise.StartFailed as group:
        output.note(f"athanor: {group.exceptions[0]}")
        status = exits.FAILED
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    return status


class _System:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._signals = 0
        self._stop = asyncio.Event()
        env = dict(os.environ)
        env.pop("GRPC_VERBOSITY", None)  # it was set for this command, not for the services
        self._orchestrator = supervise.Service(
            "orchestrator",
            "athanor_orchestrator",
            lambda: orchestrator_arguments(settings, self._address or settings.listen),
            ready=_ORCHESTRATOR_READY,
            say=_say,
            env=env,
        )
        self._runner = supervise.Service(
            "runner",
            "athanor_runner",
            lambda: runner_arguments(settings, self._target),
            ready=_RUNNER_READY,
            say=_say,
            env=env,
        )

    def signalled(self) -> None:
        """The first signal stops the system; each further one insists on it with those that are still there."""
        self._signals += 1
        if self._signals == 1:
            self._stop.set()
            return
        # Not SIGTERM again: of two that come at the same moment the kernel delivers one.
        number = signal.SIGINT if self._signals == 2 else signal.SIGKILL
        for service in (self._runner, self._orchestrator):
            if service.pid is not None:
                service.stop(number)
                break

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            orchestrator = tasks.create_task(self._orchestrator.run(), name="orchestrator")
            runner = tasks.create_task(self._run_runner(), name="runner")
            announcement = tasks.create_task(self._announce(), name="announcement")
            await self._stop.wait()

            announcement.cancel()
            # The runner first: what its runs say at their end still reaches the orchestrator.
            if self._runner.pid is not None:
                output.note("Stopping the runner; its runs have some seconds to end. Ctrl-C again: at once.")
            await self._end(self._runner, runner, _STOP_RUNNER)
            await self._end(self._orchestrator, orchestrator, _STOP_ORCHESTRATOR)
        output.note("Stopped.")

    async def _run_runner(self) -> None:
        # A runner could wait for the orchestrator by itself, but not at an address that is not known yet.
        ready = asyncio.create_task(self._orchestrator.ready.wait(), name="orchestrator ready")
        stop = asyncio.create_task(self._stop.wait(), name="stop")
        try:
            await asyncio.wait((ready, stop), return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
            stop.cancel()
        if not self._stop.is_set():
            await self._runner.run()

    async def _end(self, service: supervise.Service, task: asyncio.Task[None], limit: float) -> None:
        service.stop()
        done, _ = await asyncio.wait((task,), timeout=limit)
        if not done:
            output.note(f"The {service.name} does not end; killing it.")
            service.stop(signal.SIGKILL)
            await asyncio.wait((task,))

    @property
    def _address(self) -> str | None:
        """Where the orchestrator listens; it comes back there after a restart, also when any port was asked for."""
        return self._orchestrator.match["address"] if self._orchestrator.match else None

    @property
    def _target(self) -> str:
        return reachable(self._address or self._settings.listen)

    async def _announce(self) -> None:
        """Say what there is and what to do next, once the runner has reported its experiments."""
        # Asked before there is a runner to tell of any: who asks takes as long to start as the runner does.
        await self._orchestrator.ready.wait()
        experiments, broken = await self._discovered()
        await self._runner.ready.wait()
        address = self._address or self._settings.listen
        for line in announcement(address, self._settings.data, experiments, broken, self._settings.paths):
            print(line, flush=True)

    async def _discovered(self) -> tuple[list[str], list[str]]:
        """What `discovery` finds, in a process of its own: with gRPC it takes more memory than all that is here."""
        process = await asyncio.create_subprocess_exec(
            *supervise.command("athanor.cli.discovery", self._target),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            said, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return json.loads(said) if process.returncode == exits.OK else ([], [])


def announcement(
    address: str, data: Path, experiments: Sequence[str], broken: Sequence[str], paths: Sequence[Path]
) -> list[str]:
    """The lines that say that the system works, what it has, and what to do next.

    `experiments` begin with those of `paths`.
    """
    target = reachable(address)
    lines = [f"Athanor is ready at {address}", f"  data         {data}"]
    if experiments:
        lines.append(f"  experiments  {', '.join(experiments)}")
    else:
        where = ", ".join(map(str, paths)) or "the installed packages (name a folder with --path FOLDER)"
        lines.append(f"  experiments  none found in {where}")
    if broken:
        lines.append(f"  not loaded   {', '.join(broken)} (why: `athanor experiments list`)")
    lines.append("In another terminal:")
    if target != _DEFAULT:
        lines.append(f"  export ATHANOR_TARGET={target}")
    if "hello" in experiments and not paths:
        first = "hello"
    else:
        first = experiments[0] if experiments else "EXPERIMENT"
    lines += [f"  athanor run {first}", "  athanor experiments list", "Ctrl-C stops it."]
    return lines


def _say(name: str, line: str) -> None:
    """A line of a service, with its name in front. On a terminal what is as usual steps back behind what is not."""
    text = f"{name:<12} | {line}"
    if paint.wanted(sys.stderr):
        level = _LEVEL.search(line)
        text = paint.painted(paint.visible(text), _STYLES.get(level[1] if level else "", "dim"))
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Run the system that the command line describes, and end with its status."""
    settings = Settings.from_json(sys.argv[1])
    with faults.told(lambda: settings.debug):
        sys.exit(asyncio.run(run(settings)))


if __name__ == "__main__":
    main()
