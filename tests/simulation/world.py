"""A world: one database, two orchestrators, two machines with runners, clients, and everything that can go wrong.

It has three parts. In the first, faults happen as the decisions say. Then all faults are mended, and everything must
come to its end. At last a new run is started, which must end: nothing that was held has leaked.
"""

import asyncio
import gc
import json
import os
import random
import secrets
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from athanor.experiment import intent
from athanor.experiment.control import ControlPage
from athanor_orchestrator.domain import ids
from athanor_orchestrator.domain.certificate import Verdict
from athanor_orchestrator.domain.errors import AthanorError, NotFound, RunTerminal, StorageUnavailable
from athanor_orchestrator.domain.records import Instance, Policy
from athanor_orchestrator.engine.idempotency import Call
from athanor_orchestrator.engine.runs import Order
from athanor_orchestrator.storage import instances
from athanor_orchestrator.storage.transaction import Transaction
from athanor_runner import output
from athanor_runner.backoff import Backoff

from tests.simulation.body import Ledgers, NotedWriter
from tests.simulation.clients import Client, NoAnswer, Picture, Watcher
from tests.simulation.decisions import Decisions
from tests.simulation.disk import Platter
from tests.simulation.loop import BEGIN, CURRENT, Hung, Process, WorldLoop
from tests.simulation.machine import EXPERIMENT, RunnerMachine
from tests.simulation.network import Network
from tests.simulation.oracles import Breach, Oracles, require
from tests.simulation.orchestrator import OrchestratorHost
from tests.simulation.store import Engine, Store

CALM = 20.0  # seconds of the world's clock in which faults happen
LOST_AFTER = 60.0  # seconds: the shortest that a policy may say
ENOUGH = 1500.0  # seconds after which everything has ended, or never will


@dataclass(frozen=True)
class Report:
    """How a world went."""

    breach: str  # empty: every promise was kept
    seconds: float  # of the world's clock
    steps: int
    commits: int
    states: tuple[str, ...]  # of the runs at the end


class World:
    """One world, from its beginning to its end."""

    def __init__(self, engine: Engine, decisions: Decisions, folder: Path) -> None:
        self.decisions = decisions
        self.ledgers = NotedWriter.ledgers = Ledgers()
        self.platter = Platter()
        self.network = Network(decisions)
        self.oracles = Oracles(engine.raw, self.ledgers)
        self.store = Store(engine, decisions, self.oracles.committed)
        self.network.on_answer = self.oracles.answered
        self.store.on_breach = self.oracles.broken
        self.hosts = [OrchestratorHost(f"orchestrator {number}", self.store) for number in (1, 2)]
        self.machines = [
            RunnerMachine(
                f"runner {number}",
                folder / f"runner-{number}",
                self.platter,
                self.network,
                decisions,
                self.ledgers,
                self.hosts,
                slots=2,
            )
            for number in (1, 2)
        ]
        self.runs: dict[str, int] = {}  # with how often each may be executed
        self.watchers: list[Watcher] = []
        self.pictures: list[Picture] = []
        self.clients: list[Process] = []
        self._instances: list[str] = []

    # Its course.

    async def live(self) -> None:
        """Live to the end. Raises Breach or Hung."""
        asyncio.get_running_loop().limit = BEGIN + CALM + ENOUGH  # type: ignore[attr-defined]
        self._make_instances(4)
        for host in self.hosts:
            host.start()
        for machine in self.machines:
            machine.start()
        count = 1 + self.decisions.pick("runs", 3)
        begun = [self._begin(f"client {number}", self._start_run(number)) for number in range(count)]

        if self.decisions.happens("somebody watches all runs", 0.4):
            self._begin("watcher of all", self._watch_all)
        await self._weather()
        self._mend()
        for each in begun:
            await each
        await self._until_all_have_ended()
        await self._still_works()
        await self._shows_what_is()
        await self._verify_all()
        self._check_end()

    async def _weather(self) -> None:
        """Let things go wrong for a while."""
        loop = asyncio.get_running_loop()
        while loop.time() < BEGIN + CALM:
            await asyncio.sleep(1.0)
            self._check()
            self._trouble()

    def _trouble(self) -> None:
        happens, delay = self.decisions.happens, self.decisions.delay
        for host in self.hosts:
            if happens(f"crash {host.name}", 0.012):
                host.kill()
            if not host.up and happens(f"starts again {host.name}", 0.25):
                host.start()
            if happens(f"pause {host.name}", 0.006):
                host.pause(delay(f"pause of {host.name}", 12.0, 60.0))
        for machine in self.machines:
            if happens(f"crash {machine.name}", 0.012):
                assert machine.agent is not None
                machine.agent.kill()
            if happens(f"power {machine.name}", 0.008):
                machine.power_cut()
            if happens(f"stop {machine.name}", 0.004):
                machine.stop()
            if not machine.up and happens(f"starts again {machine.name}", 0.25):
                machine.start()
            if happens(f"pause {machine.name}", 0.006):
                long = happens(f"suspend of {machine.name}", 0.5)  # longer than any lease lives
                machine.pause(delay(f"pause of {machine.name}", 90.0 if long else 12.0, 100.0))
            known = (machine.root / "runner.json").exists()
            if not machine.up and known and happens(f"operator forgets {machine.name}", 0.03):
                self._begin("operator", self._forget(machine))
            for child in machine.processes.all_living():
                if happens(f"process killed {machine.name}", 0.006):
                    child.end(-9)
        if happens("clock jumps", 0.01):
            self.store.clock.jump(delay("clock jump", 120.0, 400.0) * (-1 if happens("the jump goes back", 0.5) else 1))
        if not self.store.away and happens("database goes away", 0.008):
            self.store.away = True
        elif self.store.away and happens("database comes back", 0.2):
            self.store.away = False
        if not self.store.copies and happens("restore: a copy is made", 0.02):
            self.store.copy()
        elif self.store.copies and happens("restore: the copy takes the place", 0.02):
            self._restore()

    def _restore(self) -> None:
        """Put an older copy in the database's place: with all orchestrators stopped, or behind their backs."""
        if self.decisions.pick("restore: the orchestrators live on", 2) == 0:
            for host in self.hosts:
                host.kill()
        self.store.restore(0)
        self.store.copies.clear()
        self.oracles.database_restored()

    def _mend(self) -> None:
        """Nothing goes wrong any more, and what was away comes back."""
        self.network.faults = self.store.faults = False
        self.store.away = False
        for host in self.hosts:
            host.start()
        for machine in self.machines:
            machine.start()

    async def _until_all_have_ended(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(5.0)
            self._check()
            for host in self.hosts:
                host.start()
            for machine in self.machines:
                machine.start()
            states = dict(self.store.raw.execute("SELECT id, state FROM runs").fetchall())
            over = all(states.get(run_id, 3) >= 3 for run_id in self.runs)
            if over and self._all_watched() and self._quiet():
                return
            if loop.time() > loop.limit - 10:  # type: ignore[attr-defined]
                waiting = [run_id for run_id in self.runs if states.get(run_id, 3) < 3]
                deaf = [watcher.run_id for watcher in self.watchers if not (watcher.finished or watcher.broken)]
                raise Breach(f"not everything has ended: runs {waiting}, watchers of {deaf}, quiet: {self._quiet()}")

    def _all_watched(self) -> bool:
        there = {watcher.run_id for watcher in self.watchers if watcher.finished or watcher.broken}
        return there >= set(self.runs)

    def _quiet(self) -> bool:
        return not any(machine.processes.all_living() for machine in self.machines)

    async def _still_works(self) -> None:
        """A run that is started now completes: no slot has leaked, and nothing stands in its way."""
        number = len(self.runs)
        begun = self._begin("client at the end", self._start_run(number, last=True))
        run_id = await begun
        loop = asyncio.get_running_loop()
        loop.limit = loop.time() + 600.0  # type: ignore[attr-defined]
        until = loop.time() + 300.0
        while self._state(run_id) < 3 or not self._all_watched():
            await asyncio.sleep(1.0)
            self._check()
            require(loop.time() < until, f"run {run_id}, started when all was well, has not ended")

    async def _shows_what_is(self) -> None:
        """Whoever watches all runs knows how each of them stands, after a poll at the latest."""
        until = asyncio.get_running_loop().time() + 60.0
        for picture in self.pictures:
            while not (picture.synced and picture.states == dict(self.store.raw.execute("SELECT id, state FROM runs"))):
                await asyncio.sleep(1.0)
                self._check()
                late = asyncio.get_running_loop().time() > until
                require(not late and not picture.broken, f"a watcher of all shows {picture.states}: {picture.broken!r}")

    async def _verify_all(self) -> None:
        """Nothing is damaged, and what is called complete is what the attempts say of themselves."""
        for run_id in self._there():
            (doubtful,) = self.store.raw.execute(
                "SELECT COUNT(*) FROM attempts WHERE run_id = ? AND NOT log_complete", (run_id,)
            ).fetchone()
            work = self._begin("auditor", lambda client, run_id=run_id: self._verify(client, run_id))
            certificate = await work
            expected = Verdict.INCOMPLETE if doubtful else Verdict.COMPLETE
            require(
                certificate.verdict is expected, f"run {run_id} verifies as {certificate}, expected {expected.name}"
            )

    async def _verify(self, client: Client, run_id: str) -> Any:
        return await client.insist(lambda host: host.verification.verify(run_id), unless=lambda error: True)

    def _there(self) -> list[str]:
        there = {row[0] for row in self.store.raw.execute("SELECT id FROM runs").fetchall()}
        return [run_id for run_id in self.runs if run_id in there]

    def _state(self, run_id: str) -> int:
        row = self.store.raw.execute("SELECT state FROM runs WHERE id = ?", (run_id,)).fetchone()
        return 3 if row is None else row[0]

    def _check(self) -> None:
        if self.oracles.breach is not None:
            raise self.oracles.breach
        for host in self.hosts:
            require(not host.ended_by_itself, "; ".join(host.ended_by_itself))
        for machine in self.machines:
            require(not machine.processes.faults, "; ".join(machine.processes.faults))
            require(not machine.ended_by_itself, "; ".join(machine.ended_by_itself))
        loop = asyncio.get_running_loop()
        failures = loop.failures  # type: ignore[attr-defined]
        require(not failures, f"nobody caught: {failures[:1]}")

    def _check_end(self) -> None:
        self.oracles.settled(self._there())
        for run_id, most in self.runs.items():
            self.oracles.executed(run_id, most)
        for watcher in self.watchers:
            if watcher.broken is not None:
                require(self.oracles.restored, f"a watcher of run {watcher.run_id} gave up: {watcher.broken!r}")
            elif not self.oracles.restored:
                last = self.oracles.logs[watcher.run_id].last
                require(
                    watcher.sequences == list(range(1, last + 1)), f"a watcher of {watcher.run_id} missed something"
                )
        self._check()

    # Its clients.

    def _begin(self, name: str, work: Callable[[Client], Any]) -> "asyncio.Task[Any]":
        client = Client(name, self.network, self.decisions, self.hosts)
        self.clients.append(client.process)
        return client.process.spawn(work(client), "work")

    def _start_run(self, number: int, *, last: bool = False) -> Callable[[Client], Any]:
        decisions = self.decisions
        attempts = 1 if last else (1, 3, 2, 1)[decisions.pick(f"attempts of run {number}", 4)]
        policy = Policy(
            timeout=timedelta(seconds=30) if decisions.happens(f"timeout of run {number}", 0.1) else None,
            cancel_grace_period=timedelta(seconds=decisions.pick(f"grace of run {number}", 2) * 5),
            max_attempts=attempts,
            retry_backoff=timedelta(seconds=decisions.pick(f"backoff of run {number}", 3)),
            lost_after=timedelta(seconds=LOST_AFTER + 5),
        )

        async def work(client: Client) -> str:
            if not last:
                await asyncio.sleep(decisions.delay(f"start of run {number}", 1.0, 12.0))
            call = Call(f"run-{number}", b"the same")
            order = Order(self._instances[number % len(self._instances)], policy, number, {})
            answer = await client.insist(
                lambda host: host.runs.start(order, call, lambda run: run.id.encode()),
                unless=lambda error: not isinstance(error, NotFound | StorageUnavailable),
            )
            run_id = answer.decode()
            self.runs[run_id] = attempts
            self._begin(f"watcher of run {number}", self._watch(run_id, f"run {number}"))
            if not last and decisions.happens(f"cancel run {number}", 0.25):
                await asyncio.sleep(decisions.delay(f"cancel of run {number}", 4.0, 40.0))
                await self._cancel(client, run_id)
            return run_id

        return work

    async def _cancel(self, client: Client, run_id: str) -> None:
        with suppress(AthanorError):
            await client.insist(
                lambda host: host.runs.cancel(run_id, "enough"),
                unless=lambda error: isinstance(error, RunTerminal | NotFound),
            )

    def _watch(self, run_id: str, name: str) -> Callable[[Client], Any]:
        slow = self.decisions.happens(f"watcher of {name} is slow", 0.3)

        def given(watcher: Watcher, sequence: int, payload: bytes) -> None:
            if not self.oracles.restored:
                self.oracles.watched(run_id, watcher.last, sequence, payload)
            watcher.last = sequence

        async def work(client: Client) -> None:
            await asyncio.sleep(self.decisions.delay(f"watcher of {name} comes", 0.1, 30.0))
            watcher = Watcher(client, run_id, given)
            self.watchers.append(watcher)
            await watcher.follow(lambda: 0.4 if slow and self.network.faults else 0.0)

        return work

    async def _watch_all(self, client: Client) -> None:
        picture = Picture(client)
        self.pictures.append(picture)
        await picture.follow()

    def _forget(self, machine: RunnerMachine) -> Callable[[Client], Any]:
        async def work(client: Client) -> None:
            runner_id = json.loads((machine.root / "runner.json").read_text())["runner_id"]
            with suppress(AthanorError, NoAnswer):
                await client.call(lambda host: host.fleet.forget(runner_id))

        return work

    def _make_instances(self, count: int) -> None:
        handle = self.store.connect(Process("the beginning"), lambda topics: None)
        dialect = handle.database._dialect
        with dialect.writer.connect() as connection, connection.begin():
            tx = Transaction(connection, dialect)
            for number in range(count):
                instance = Instance(
                    ids.new_id(), EXPERIMENT, f"run {number}", "", "{}", {}, "etag", tx.now_us, tx.now_us
                )
                instances.insert_instance(tx, instance)
                self._instances.append(instance.id)
        handle.process.kill()


def simulate(engine: Engine, decisions: Decisions) -> Report:
    """Let a world live; how it went."""
    gc.disable()  # a world makes much that is gone with it; collected between two worlds, not all the time
    folder = Path(tempfile.mkdtemp(prefix="world-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    loop = WorldLoop()
    breach = ""
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        world = undo.enter_context(_installed(loop, engine, decisions, folder))
        try:
            loop.run_until_complete(world.live())
        except (Breach, Hung) as error:
            breach = str(error) or repr(error)
        states = tuple(str(row[0]) for row in world.store.raw.execute("SELECT state FROM runs ORDER BY id"))
        report = Report(breach, loop.now - BEGIN, loop.steps, world.oracles.commits, states)
    gc.enable()
    return report


@contextmanager
def _installed(loop: WorldLoop, engine: Engine, decisions: Decisions, folder: Path) -> Iterator[World]:
    """A world in place of the real one: its clock, its chance, its flushes, its boots."""
    chance = random.Random(7)
    pages: list[ControlPage] = []
    real_init = ControlPage.__init__

    def noted_init(page: ControlPage, path: Path) -> None:
        real_init(page, path)
        pages.append(page)

    real_next = Backoff.next

    def drawn_next(backoff: Backoff) -> float:
        backoff.chance = chance
        return real_next(backoff)

    def drawn_uuid() -> uuid.UUID:
        return uuid.UUID(int=chance.getrandbits(128), version=4)

    def boot_id() -> str:
        process = CURRENT.get()
        return process.machine.boot_id if process is not None and process.machine is not None else ""

    patches = [
        mock.patch.object(ids, "time", mock.Mock(time_ns=lambda: round(loop.now * 1e9))),
        mock.patch.object(ids, "os", mock.Mock(urandom=lambda count: chance.randbytes(count))),
        mock.patch.object(ids, "_last", {"machine": 0, "given": 0}),
        mock.patch.object(secrets, "randbits", chance.getrandbits),
        mock.patch.object(secrets, "token_hex", lambda count=8: chance.randbytes(count).hex()),
        mock.patch.object(uuid, "uuid4", drawn_uuid),
        mock.patch.object(intent, "boot_id", boot_id),
        mock.patch.object(output, "SpoolWriter", NotedWriter),
        mock.patch.object(ControlPage, "__init__", noted_init),
        mock.patch.object(Backoff, "next", drawn_next),
    ]
    random.seed(7)
    with ExitStack() as undo:
        for patch in patches:
            undo.enter_context(patch)
        asyncio.set_event_loop(loop)

        async def make() -> World:
            return World(engine, decisions, folder)

        world = loop.run_until_complete(make())
        undo.enter_context(world.platter.installed())
        try:
            yield world
        finally:
            _bury(loop, world, pages, folder)
            asyncio.set_event_loop(None)
            loop.close()


def _bury(loop: WorldLoop, world: World, pages: list[ControlPage], folder: Path) -> None:
    """Close what the dead have left open, so that nothing of this world reaches into the next."""
    engine_raw = world.store.raw
    engine_raw.before_commit = engine_raw.after_commit = None  # type: ignore[attr-defined]
    processes: list[Process] = [*world.clients]
    for host in world.hosts:
        processes += host.incarnations
    for machine in world.machines:
        processes += machine.incarnations
        processes += [child.process for child in machine.processes.children]
    for process in processes:
        process.on_death.clear()
        process.kill()
        for task in process.tasks:
            coroutine = task.get_coro()
            with suppress(BaseException):  # its last words, spoken into a world that is no more
                coroutine.close()  # type: ignore[union-attr]
    for page in pages:
        with suppress(ValueError, BufferError):
            page.close()
    for entry in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if os.readlink(f"/proc/self/fd/{entry}").startswith(f"{folder}/"):
                os.close(int(entry))
