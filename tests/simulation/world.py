"""A world: one database, two orchestrators, two machines with runners, clients, and everything that can go wrong.

It has three parts. In the first, faults happen as the decisions say. Then all faults are mended, and everything must
come to its end. At last a new run is started, which must end: nothing that was held has leaked.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from athanor_orchestrator.domain import ids
from athanor_orchestrator.domain.certificate import Verdict
from athanor_orchestrator.domain.errors import AthanorError, NotFound, RunTerminal, StorageUnavailable
from athanor_orchestrator.domain.records import Instance, Policy
from athanor_orchestrator.engine.idempotency import Call
from athanor_orchestrator.engine.runs import Order
from athanor_orchestrator.storage import instances
from athanor_orchestrator.storage.transaction import Transaction

from tests.simulation.body import LAST, Ledgers, NotedWriter
from tests.simulation.clients import Client, NoAnswer, Picture, Watcher
from tests.simulation.decisions import Decisions
from tests.simulation.disk import Platter
from tests.simulation.loop import BEGIN, Process
from tests.simulation.machine import EXPERIMENT, LEASE, RunnerMachine
from tests.simulation.network import Network
from tests.simulation.oracles import Breach, Oracles, require
from tests.simulation.orchestrator import OrchestratorHost
from tests.simulation.store import Engine, Store
from tests.simulation.weather import Weather

CALM = 20.0  # seconds of the world's clock in which faults happen
ENOUGH = 1500.0  # seconds after which everything has ended, or never will


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
        self.oracles.on_grant = self._granted
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
        self._make_instances([*(f"run {number}" for number in range(4)), LAST])
        for host in self.hosts:
            host.start()
        for machine in self.machines:
            machine.start()
        count = 1 + self.decisions.pick("runs", 3)
        begun = [self._begin(f"client {number}", self._start_run(number)) for number in range(count)]

        if self.decisions.happens("somebody watches all runs", 0.12):
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
        await self._let_go()

    async def _weather(self) -> None:
        """Let things go wrong for a while."""
        weather = Weather(self.decisions, self.hosts, self.machines, self.store, self.oracles, self._send_operator)
        loop = asyncio.get_running_loop()
        while loop.time() < BEGIN + CALM:
            await asyncio.sleep(1.0)
            self._check()
            weather.strike()

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

    def _granted(self, run_id: str, attempt: int) -> None:
        """While a runner is awake, an attempt of it has stopped by itself before the next one is granted."""
        for machine in self.machines:
            side_by_side = machine.executing(run_id, attempt)
            if side_by_side and machine.awake and run_id not in self.oracles.spoiled:
                self.oracles.broken(f"attempt {attempt} of run {run_id} was granted while {side_by_side} executes")

    def _all_watched(self) -> bool:
        there = {watcher.run_id for watcher in self.watchers if watcher.finished or watcher.broken}
        return there >= set(self.runs)

    def _quiet(self) -> bool:
        """Is nothing executed any more? What the database has never heard of is the operator's."""
        there = {"", *self._there()}
        return not any(run_id in there for machine in self.machines for run_id in machine.processes.living_runs())

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

    def _spoiled(self) -> set[str]:
        """Runs that an older copy has taken something of, or all of it."""
        gone = set(self.runs) - set(self._there()) if self.oracles.restored else set()
        return self.oracles.spoiled | gone

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
        for failure in failures:
            if isinstance(failure.get("exception"), Breach):
                raise failure["exception"]
        require(not failures, f"nobody caught: {failures[:1]}")

    def _check_end(self) -> None:
        self.oracles.settled(self._there())
        for run_id, most in self.runs.items():
            self.oracles.executed(run_id, most)
        for watcher in self.watchers:
            if watcher.broken is not None:
                require(
                    watcher.run_id in self._spoiled(), f"a watcher of run {watcher.run_id} gave up: {watcher.broken!r}"
                )
            elif watcher.run_id not in self._spoiled():
                last = self.oracles.logs[watcher.run_id].last
                require(
                    watcher.sequences == list(range(1, last + 1)), f"a watcher of {watcher.run_id} missed something"
                )
        self._check()

    async def _let_go(self) -> None:
        """No runner holds on to an attempt of a run that has ended; one may still be cut off, or stand still."""
        until = asyncio.get_running_loop().time() + 150.0
        ended = {"", *self._there()}
        for machine in self.machines:
            while held := sorted(ended.intersection(machine.held_runs())):
                require(
                    asyncio.get_running_loop().time() < until, f"{machine.name} still holds attempts of runs {held}"
                )
                await asyncio.sleep(1.0)
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
            lost_after=timedelta(seconds=LEASE + 5),
        )

        async def work(client: Client) -> str:
            if not last:
                await asyncio.sleep(decisions.delay(f"start of run {number}", 1.0, 12.0))
            call = Call(f"run-{number}", b"the same")
            order = Order(self._instances[-1 if last else number % 4], policy, number, {})
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
            if run_id not in self.oracles.spoiled:
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

    def _send_operator(self, machine: RunnerMachine) -> None:
        self._begin("operator", self._forget(machine))

    def _forget(self, machine: RunnerMachine) -> Callable[[Client], Any]:
        async def work(client: Client) -> None:
            runner_id = json.loads((machine.root / "runner.json").read_text())["runner_id"]
            with suppress(AthanorError, NoAnswer):
                await client.call(lambda host: host.fleet.forget(runner_id))

        return work

    def _make_instances(self, names: Sequence[str]) -> None:
        handle = self.store.connect(Process("the beginning"), lambda topics: None)
        dialect = handle.database._dialect
        with dialect.writer.connect() as connection, connection.begin():
            tx = Transaction(connection, dialect)
            for name in names:
                instance = Instance(ids.new_id(), EXPERIMENT, name, "", "{}", {}, "etag", tx.now_us, tx.now_us)
                instances.insert_instance(tx, instance)
                self._instances.append(instance.id)
        handle.process.kill()
