"""The processes of runs on a machine of a world; implements `athanor_runner.ports.Processes`."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

from athanor_runner.ports import Command, ProcessId

from tests.simulation.body import Body, Ledgers
from tests.simulation.decisions import Decisions
from tests.simulation.loop import CURRENT, Machine, Process, later

PACE = 0.7  # seconds that a step of an experiment ordinarily takes


class Child:
    """A run's process, with the body that it executes."""

    def __init__(self, id: ProcessId, lease_id: str, process: Process, body: Body) -> None:
        self.id = id
        self.lease_id = lease_id
        self.process = process
        self.body = body
        self.status: int | None = None
        self._ended = asyncio.Event()

    async def wait(self) -> int:
        await self._ended.wait()
        assert self.status is not None
        return self.status

    def release(self) -> None:
        assert self.status is not None, "a process that lives was buried"

    def end(self, status: int) -> None:
        """It is gone."""
        if self.status is None:
            self.status = status
            self.process.kill()
            self.body.let_go()
            self._ended.set()


class Processes:
    """Starts, finds and signals the processes of one machine."""

    def __init__(self, machine: Machine, decisions: Decisions, ledgers: Ledgers) -> None:
        self.children: list[Child] = []
        self.faults: list[str] = []  # exceptions that a simulated process did not expect
        self.on_exit: Callable[[], None] = lambda: None
        self._machine = machine
        self._decisions = decisions
        self._ledgers = ledgers

    def all_living(self) -> list[Child]:
        """Those that live."""
        return [child for child in self.children if child.status is None]

    def living_runs(self) -> list[str]:
        """The run of each process that lives; empty for one that has not read of which it is."""
        ledgers = [self._ledgers.by_lease.get(child.lease_id) for child in self.all_living()]
        return [ledger.run_id if ledger is not None else "" for ledger in ledgers]

    async def prepare(self, command: Command) -> None:
        """Nothing has to be made ready."""

    def start(self, command: Command, on_ring: Callable[[], None] | None = None) -> Child:
        folder = Path(command.arguments[-1])
        number = len(self.children) + 100
        process = Process(f"{self._machine.name} process {number}", self._machine)
        runner = CURRENT.get()

        def ring() -> None:
            if on_ring is not None and runner is not None and runner.alive:
                later(0.0005, on_ring)

        body = Body(folder, self._decisions, self._ledgers, self._machine.boot_id, ring, PACE)
        child = Child(ProcessId(number, number), folder.name, process, body)
        self.children.append(child)
        process.spawn(self._live(child), "body")
        return child

    async def _live(self, child: Child) -> None:
        try:
            status = await child.body.execute()
        except Exception as error:
            self.faults.append(f"the process of lease {child.lease_id} raised {error!r}")
            status = 1
        self.on_exit()
        child.end(status)

    def living(self, lease_id: str, main: ProcessId | None, owned: bool) -> list[ProcessId]:
        return [child.id for child in self.all_living() if child.lease_id == lease_id]

    def trace(self) -> None:
        """There are no orphans here."""

    def signal(self, process: ProcessId, number: int) -> bool:
        for child in self.all_living():
            if child.id == process:
                deaf = number == signal.SIGTERM and self._decisions.happens("process ignores SIGTERM", 0.3)
                if number != signal.SIGCONT and not deaf:
                    child.end(-number)
                return True
        return False

    def memory_kills(self) -> int:
        return 0
