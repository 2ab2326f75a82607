"""Orchestrator and runner as two supervised processes: what `athanor up` does."""

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from athanor.cli import exits, output, supervise

_ORCHESTRATOR_READY = re.compile(r"athanor-orchestrator listening on (?P<address>\S+)$")
_RUNNER_READY = re.compile(r"athanor-runner (?P<id>\S+) connected to (?P<address>\S+)$")
_DEFAULT = "127.0.0.1:7400"
_DISCOVERY = 20.0  # seconds to wait for the first experiments before saying that there are none
_SETTLED = 0.3  # seconds without another one after which all experiments have been reported
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
        await self._runner.ready.wait()
        experiments, broken = await discovered(self._target)
        address = self._address or self._settings.listen
        for line in announcement(address, self._settings.data, experiments, broken, self._settings.paths):
            print(line, flush=True)


async def discovered(target: str) -> tuple[list[str], list[str]]:
    """The experiments that runners offer, and the modules that could not be loaded, once there are any."""
    from athanor.client import AsyncClient, AthanorError

    experiments, broken = list[str](), list[str]()
    with suppress(TimeoutError):
        async with asyncio.timeout(_DISCOVERY), AsyncClient(target) as client:
            seen = None
            # They are reported one by one: it is all when nothing was added for a moment.
            while seen != (experiments, broken) or not (experiments or broken):
                seen = experiments, broken
                await asyncio.sleep(_SETTLED)
                with suppress(AthanorError):
                    known = await client.experiments.list().all()
                    experiments = [item.name for item in known if item.available_runner_count]
                    broken = [item.module for item in await client.experiments.discovery_errors()]
    return experiments, broken


def announcement(
    address: str, data: Path, experiments: Sequence[str], broken: Sequence[str], paths: Sequence[Path]
) -> list[str]:
    """The lines that say that the system works, what it has, and what to do next."""
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
    first = "hello" if "hello" in experiments else (experiments[0] if experiments else "EXPERIMENT")
    lines += [f"  athanor run {first}", "  athanor experiments list", "Ctrl-C stops it."]
    return lines


def _say(name: str, line: str) -> None:
    """A line of a service, with its name in front."""
    print(f"{name:<12} | {line}", file=sys.stderr, flush=True)
