"""An orchestrator in a world: the real engine and servicers, put together as in server.py, on the shared store."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from athanor_orchestrator.engine.fleet import Fleet
from athanor_orchestrator.engine.runner_side import RunnerSide
from athanor_orchestrator.engine.runs import Runs
from athanor_orchestrator.engine.subscription import Subscriptions
from athanor_orchestrator.engine.timings import Timings
from athanor_orchestrator.engine.verification import Verification
from athanor_orchestrator.engine.wakeups import Wakeups
from athanor_orchestrator.engine.watching import Watching
from athanor_orchestrator.rpc.dispatch import DispatchServicer
from athanor_orchestrator.rpc.watch import Watches

from tests.simulation.loop import Process, later
from tests.simulation.store import Store

TIMINGS = Timings(
    heartbeat_interval=10.0,
    unreachable_after=20.0,
    reaper_interval=10.0,
    poll=12.0,
    keep_alive=29.0,
    hidden_position=20.0,
    progress_shown=2.0,
    progress_stored=10.0,
    declined_for=5.0,
    retry_first=0.5,
    purge_interval=1e6,
)


class OrchestratorHost:
    """Where one orchestrator runs, from start to kill, again and again."""

    def __init__(self, name: str, store: Store) -> None:
        self.name = name
        self.process: Process | None = None
        self.incarnations: list[Process] = []
        self.ended_by_itself: list[str] = []  # why it ended though nobody had killed it
        self._ready = False
        self._store = store
        self._servicer: DispatchServicer
        self.runs: Runs
        self.fleet: Fleet
        self.verification: Verification
        self.watches: Watches

    @property
    def up(self) -> bool:
        """Does it answer?"""
        return self._ready and self.process is not None and self.process.alive

    def start(self) -> None:
        """Start it, unless it runs."""
        if self.process is not None and self.process.alive:
            return
        self._ready = False
        process = self.process = Process(self.name)
        self.incarnations.append(process)
        process.spawn(self._guard(process), "orchestrator")

    def kill(self) -> None:
        """`kill -9`."""
        if self.process is not None:
            self.process.kill()

    def pause(self, seconds: float) -> None:
        """It stands still for a while."""
        process = self.process
        if process is None or not process.alive:
            return
        process.paused = True
        later(seconds, lambda: process.resume() if process.alive and process.paused else None)

    def connect_handler(self) -> Callable[[AsyncIterator[Any], Any], Coroutine[Any, Any, None]]:
        return self._servicer.Connect

    def report_handler(self) -> Callable[[AsyncIterator[Any], Any], Coroutine[Any, Any, None]]:
        return self._servicer.Report

    async def _guard(self, process: Process) -> None:
        try:
            await self._serve(process)
        except Exception as error:
            self.ended_by_itself.append(f"{self.name}: {error!r}")

    async def _serve(self, process: Process) -> None:
        wakeups = Wakeups()
        database = self._store.connect(process, wakeups.publish).database
        database.start(asyncio.get_running_loop())
        side = RunnerSide(database, wakeups, self._store.clock, TIMINGS)
        self._servicer = DispatchServicer(side)
        self.runs = Runs(database)
        self.fleet = Fleet(database, TIMINGS)
        self.verification = Verification(database)
        self.watches = Watches(
            Subscriptions(database, wakeups, side.progress, side.tails, self._store.clock, TIMINGS),
            Watching(database, wakeups, TIMINGS),
        )
        self._ready = True
        await side.run()
