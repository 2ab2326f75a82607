"""A machine with a runner in a world: the real agent over the world's disk, network, clock and processes."""

import asyncio
import fcntl
import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from athanor.experiment.assignment import Code
from athanor.experiment.spool import scan
from athanor_runner.agent import Agent
from athanor_runner.catalogue import DefaultPolicy, Definition, Description
from athanor_runner.output import SpoolTail
from athanor_runner.settings import Settings, Timings
from athanor_runner.state import StateFolder

from tests.simulation.body import Ledgers
from tests.simulation.decisions import Decisions
from tests.simulation.disk import Disk, Platter
from tests.simulation.loop import Machine, Process, later
from tests.simulation.network import Connection, Host, Network
from tests.simulation.oracles import require
from tests.simulation.processes import Processes

EXPERIMENT = "demo"
LEASE = 60.0  # seconds: the shortest that a policy may say, and no lease of a world is shorter
TIMINGS = Timings(
    tick=2.0,
    tree_poll=60.0,
    spool_poll=5.0,
    sync_interval=1.5,  # so that much of what is shipped is not flushed yet
    progress_interval=2.0,
    prune=5.0,
    stop_poll=0.5,
    welcome=10.0,
    segment_bytes=700,  # a few events: segments are begun, acknowledged and removed all the time
    spool_limit_bytes=8_000,
)


class _Clock:
    def now_ns(self) -> int:
        return round(asyncio.get_running_loop().time() * 1e9)

    def boot_time(self) -> float:
        return asyncio.get_running_loop().time()


class _Catalogue:
    """What a description of the environment has shown: one experiment, always."""

    def __init__(self) -> None:
        definition = Definition(
            name=EXPERIMENT,
            title="",
            description="",
            configuration_schema_json='{"type": "object"}',
            default_configuration_json="{}",
            module="demo:demo",
            search_path=(),
            code=Code(digest="d", module="demo:demo"),
            policy=DefaultPolicy(),
        )
        self.current = Description({EXPERIMENT: definition})

    def find(self, experiment: str) -> Definition | None:
        return self.current.definitions.get(experiment)

    async def wait_changed(self, known: Description | None) -> Description:
        while known is self.current:
            await asyncio.get_running_loop().create_future()
        return self.current

    async def run(self) -> None:
        await asyncio.get_running_loop().create_future()


class RunnerMachine(Machine):
    """The machine, its disk, its runner's incarnations and the processes of their runs."""

    def __init__(
        self,
        name: str,
        root: Path,
        platter: Platter,
        network: Network,
        decisions: Decisions,
        ledgers: Ledgers,
        hosts: Sequence[Host],
        slots: int,
    ) -> None:
        super().__init__(name)
        self.root = root
        self.agent: Process | None = None
        self.incarnations: list[Process] = []
        self.processes = Processes(self, decisions, ledgers)
        self.processes.on_exit = self._process_exits
        self.ended_by_itself: list[str] = []  # why runners ended that nobody had told to
        self._platter = platter
        self._network = network
        self._decisions = decisions
        self._ledgers = ledgers
        self._hosts = hosts
        self._slots = slots
        self._ask_to_stop: Callable[[], None] = lambda: None
        self._woken_at = 0.0  # by the world's clock; infinite while it stands still
        self._tails: list[SpoolTail] = []  # what the runner has open of spools
        root.mkdir()
        platter.named[root.parent.stat().st_ino] = {*platter.named.get(root.parent.stat().st_ino, ()), root.name}

    @property
    def up(self) -> bool:
        """Does its runner run?"""
        return self.agent is not None and self.agent.alive

    def start(self) -> None:
        """Start the runner, unless it runs."""
        if not self.up:
            process = self.agent = Process(self.name, self)
            self.incarnations.append(process)
            self._woken_at = asyncio.get_running_loop().time()
            process.on_death.append(self._agent_died)
            process.spawn(self._run_agent(process), "agent")

    @property
    def awake(self) -> bool:
        """Has its runner been there for as long as a lease lives, without standing still?"""
        return self.up and asyncio.get_running_loop().time() - self._woken_at > LEASE

    def executing(self, run_id: str, before_attempt: int) -> str:
        """Name the process of an older attempt at a run that lives here; empty when there is none."""
        for child in self.processes.all_living():
            ledger = self._ledgers.by_lease.get(child.lease_id)
            if ledger is not None and ledger.run_id == run_id and ledger.attempt < before_attempt:
                return str(child.process)
        return ""

    def held_runs(self) -> list[str]:
        """The run of each attempt that its runner has a folder of; empty where the folder does not say it."""
        attempts = self.root / "attempts"
        told = [folder / "assignment.json" for folder in attempts.iterdir()] if attempts.exists() else []
        return [json.loads(path.read_text())["run_id"] if path.exists() else "" for path in told]

    @property
    def known(self) -> bool:
        """Has its runner ever said who it is?"""
        return (self.root / "runner.json").exists()

    def kill(self) -> None:
        """`kill -9` of the runner."""
        if self.agent is not None:
            self.agent.kill()

    def stop(self) -> None:
        """SIGTERM to the runner."""
        self._ask_to_stop()

    def power_cut(self) -> None:
        """Everything stops, and what was not flushed may be gone."""
        for child in self.processes.all_living():
            child.end(-signal.SIGKILL)
        if self.agent is not None:
            self.agent.kill()
        self.boot += 1
        attempts = self.root / "attempts"
        there = [folder.name for folder in attempts.iterdir()] if attempts.exists() else []
        self._platter.power_cut(self.root, self.name, self._decisions)
        for lease_id in there:
            ledger = self._ledgers.by_lease.get(lease_id)
            if ledger is None:
                continue
            end = scan(attempts / lease_id / "spool").last_sequence
            require(ledger.flushed <= end, f"a power cut took flushed event {ledger.flushed} of {lease_id}, left {end}")
            ledger.last = end

    def cut_off(self, seconds: float) -> None:
        """Its network is gone for a while: what is connected breaks, and nothing can be reached."""
        self._network.cut_off.add(self.name)
        later(seconds, self._network.cut_off.discard, self.name)

    def _process_exits(self) -> None:
        # The moment in which the experiment has said how it ended and nobody has heard it.
        if self._network.happens(f"power at an end {self.name}", 0.03):
            later(self._decisions.delay(f"until the power is gone {self.name}", 0.002, 0.5), self.power_cut)

    def pause(self, seconds: float) -> None:
        """It stands still for a while: all of it, as in suspend, or the runner alone, whose runs go on."""
        alone = self._decisions.happens(f"the runner alone stands still {self.name}", 0.5)
        processes = [] if alone else [child.process for child in self.processes.all_living()]
        if self.agent is not None and self.agent.alive:
            processes.append(self.agent)
        for process in processes:
            process.paused = True
        self._woken_at = float("inf")
        later(seconds, self._resume, processes)

    def _resume(self, processes: list[Process]) -> None:
        for process in processes:
            if process.alive and process.paused:
                process.resume()
        self._woken_at = asyncio.get_running_loop().time()

    async def _run_agent(self, process: Process) -> None:
        settings = Settings(
            targets=tuple(host.name for host in self._hosts),
            slots=self._slots,
            display_name=self.name,
            timings=TIMINGS,
            stop_grace=5.0,
        )
        state = StateFolder.open(self.root)
        disk = Disk(self._decisions, process, lambda: self._network.faults)
        disk.on_answer = lambda answer: self._tails.append(answer) if isinstance(answer, SpoolTail) else None
        agent = Agent(settings, state, self._dial, _Clock(), disk, self.processes, {}, lambda line: None)
        cast(Any, agent)._catalogue = _Catalogue()
        self._ask_to_stop = agent.stopping.ask
        try:
            await agent.run()
        except Exception as error:
            self.ended_by_itself.append(f"{self.name}: {error!r}")
        state.close()
        process.kill()

    def _dial(self, target: str) -> Connection:
        agent = self.agent
        assert agent is not None
        (host,) = (host for host in self._hosts if host.name == target)
        return Connection(self._network, self.name, agent, host)

    def _agent_died(self) -> None:
        for child in self.processes.all_living():
            if not self._network.happens(f"process outlives runner {self.name}", 0.3):
                child.end(-signal.SIGKILL)
        for tail in self._tails:
            tail.close()
        self._tails.clear()
        release_lock(self.root / "lock")


def release_lock(path: Path) -> None:
    """What the kernel does with a lock of a process that is gone."""
    for entry in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{entry}") == str(path):
                fcntl.flock(int(entry), fcntl.LOCK_UN)
        except OSError:
            continue
