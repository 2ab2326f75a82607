"""What goes wrong in a world, second by second: machines, processes, clocks, the database."""

import signal
from collections.abc import Callable, Sequence

from tests.simulation.decisions import Decisions
from tests.simulation.machine import RunnerMachine
from tests.simulation.oracles import Oracles
from tests.simulation.orchestrator import OrchestratorHost
from tests.simulation.store import Store


class Weather:
    """Strikes where the decisions say."""

    def __init__(
        self,
        decisions: Decisions,
        hosts: Sequence[OrchestratorHost],
        machines: Sequence[RunnerMachine],
        store: Store,
        oracles: Oracles,
        forget: Callable[[RunnerMachine], object],
    ) -> None:
        """`forget` has an operator give a machine's runner up."""
        self._decisions = decisions
        self._hosts = hosts
        self._machines = machines
        self._store = store
        self._oracles = oracles
        self._forget = forget

    def strike(self) -> None:
        """Let one second's troubles happen."""
        for host in self._hosts:
            self._strike_host(host)
        for machine in self._machines:
            self._strike_machine(machine)
        self._strike_store()

    def _strike_host(self, host: OrchestratorHost) -> None:
        happens, delay = self._decisions.happens, self._decisions.delay
        if happens(f"crash {host.name}", 0.012):
            host.kill()
        if not host.up and happens(f"starts again {host.name}", 0.25):
            host.start()
        if happens(f"pause {host.name}", 0.004):
            host.pause(delay(f"pause of {host.name}", 12.0, 60.0))

    def _strike_machine(self, machine: RunnerMachine) -> None:
        happens, delay = self._decisions.happens, self._decisions.delay
        if happens(f"crash {machine.name}", 0.012):
            machine.kill()
        if happens(f"power {machine.name}", 0.008):
            machine.power_cut()
        if happens(f"stop {machine.name}", 0.004):
            machine.stop()
        if not machine.up and happens(f"starts again {machine.name}", 0.25):
            machine.start()
        if happens(f"pause {machine.name}", 0.004):
            long = happens(f"suspend of {machine.name}", 0.3)  # longer than any lease lives
            machine.pause(delay(f"pause of {machine.name}", 90.0 if long else 12.0, 100.0))
        if happens(f"cut off {machine.name}", 0.004):
            long = happens(f"long cut off {machine.name}", 0.3)
            machine.cut_off(delay(f"network of {machine.name} is gone", 90.0 if long else 8.0, 120.0))
        if not machine.up and machine.known and happens(f"operator forgets {machine.name}", 0.03):
            self._forget(machine)
        for child in machine.processes.all_living():
            if happens(f"process killed {machine.name}", 0.006):
                child.end(-signal.SIGKILL)

    def _strike_store(self) -> None:
        happens, delay, store = self._decisions.happens, self._decisions.delay, self._store
        if happens("clock jumps", 0.01):
            store.clock.jump(delay("clock jump", 120.0, 400.0) * (-1 if happens("the jump goes back", 0.5) else 1))
        if not store.away and happens("database goes away", 0.008):
            store.away = True
        elif store.away and happens("database comes back", 0.2):
            store.away = False
        if not store.copies and happens("restore: a copy is made", 0.02):
            store.copy()
        elif store.copies and happens("restore: the copy takes the place", 0.02):
            self._restore()

    def _restore(self) -> None:
        """Put an older copy in the database's place: with all orchestrators stopped, or behind their backs."""
        if self._decisions.pick("restore: the orchestrators live on", 2) == 0:
            for host in self._hosts:
                host.kill()
        self._store.restore(0)
        self._store.copies.clear()
        self._oracles.database_restored()
