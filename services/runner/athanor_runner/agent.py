"""The runner itself: what it is made of, how it starts, goes on and stops."""

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Mapping
from importlib import metadata

from athanor_runner.attempt import Services
from athanor_runner.backoff import Backoff
from athanor_runner.catalogue import Catalogue
from athanor_runner.ports import Clock, Dial, Disk, Processes, StreamEnded, environment_without
from athanor_runner.report import Reporter
from athanor_runner.roster import Roster
from athanor_runner.session import Identity, Reconnect, Refused, Session
from athanor_runner.settings import Settings
from athanor_runner.shipping import Feeds
from athanor_runner.state import StateFolder
from athanor_runner.supervise import first_of, until_first_ends
from athanor_runner.supervision import Tools
from athanor_runner.upkeep import Upkeep

log = logging.getLogger(__name__)

# Not handed on to run processes: the runner's own business, or the orchestrator's, down to a database password.
PRIVATE_VARIABLES = (
    "GRPC_",
    "ATHANOR_TARGET",
    "ATHANOR_RUNNER_",
    "ATHANOR_LISTEN",
    "ATHANOR_DATA",
    "ATHANOR_LEASE_ID",
    "ATHANOR_DOORBELL_FD",
)

FAREWELL = 3.0  # seconds in which Goodbye has to reach the orchestrator


class Stopping:
    """How urgently the runner is to stop: each signal makes it more so."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()  # no more runs; those there are get their grace
        self.at_once = asyncio.Event()  # no grace
        self.now = asyncio.Event()  # ship nothing more either

    def ask(self) -> None:
        """One more signal."""
        for step in (self.asked, self.at_once, self.now):
            if not step.is_set():
                step.set()
                return


class Agent:
    """One runner process."""

    def __init__(
        self,
        settings: Settings,
        state: StateFolder,
        dial: Dial,
        clock: Clock,
        disk: Disk,
        processes: Processes,
        environ: Mapping[str, str],
        say: Callable[[str], None],
    ) -> None:
        """`say` is given the line for each session that was welcomed."""
        self._settings = settings
        self._state = state
        self._dial = dial
        self._clock = clock
        self._disk = disk
        self._say = say
        self.stopping = Stopping()

        environment = {
            **environment_without(environ, PRIVATE_VARIABLES),
            "ATHANOR_RUNNER_PID": str(os.getpid()),
        }
        self._catalogue = Catalogue(
            settings, state.root / "describe", f"describe-{state.runner_id}", environment, processes, disk
        )
        self._feeds = Feeds()
        self._services = Services(
            state,
            self._feeds,
            Tools(clock, disk, processes, settings.timings, settings.python, environment),
        )
        self._identity = Identity(
            state.runner_id, settings.display_name, metadata.version("athanor-runner"), settings.slots
        )
        self._session: Session | None = None
        self._leaving = False

    async def run(self) -> None:
        """Runs until it is told to stop. Raises EnvironmentBroken, or Refused when the orchestrator never wants it."""
        async with asyncio.TaskGroup() as attempts:
            roster = Roster(self._services, self._catalogue, self._settings.slots, self._state.runner_id, attempts)
            try:
                # Before the first Hello: what is found must not grow any more when it is told.
                await roster.find_leftovers()
                await until_first_ends(
                    life=self._live(roster),
                    catalogue=self._catalogue.run(),
                    sessions=self._hold_sessions(roster),
                    upkeep=Upkeep(roster, self._feeds, self._disk, self._settings.timings).run(),
                    trace=self._trace(roster),
                )
            finally:
                roster.let_go()

    async def _live(self, roster: Roster) -> None:
        """Waits to be told to stop, and stops, in this order."""
        stopping, timings = self.stopping, self._settings.timings
        await stopping.asked.wait()

        # 1. No more runs, and the orchestrator knows it before it grants another.
        roster.draining = True
        self._beat()
        grace = self._settings.stop_grace
        if not roster.idle:
            log.info("stopping: the runs have %g s to end by themselves", grace)
        await first_of(timeout=grace, idle=roster.until(lambda: roster.idle), at_once=stopping.at_once.wait())

        # 2. What still runs is ended; what it records until then, and how it ended, is in its spool.
        if not roster.idle:
            log.info("stopping: ending the runs that are left")
            roster.stop_all()
            await first_of(timeout=None, idle=roster.until(lambda: roster.idle), now=stopping.now.wait())

        # 3. What is in the spools is shipped, for a while; the rest goes on at the next start.
        await first_of(timeout=timings.ship, shipped=roster.until(lambda: roster.empty), now=stopping.now.wait())

        # 4. Goodbye means that nothing is held; otherwise the orchestrator hears nothing and waits.
        if roster.empty and self._session is not None:
            self._leaving = True
            self._session.leave("the runner was stopped")
            await asyncio.sleep(FAREWELL)  # or until the session has ended, which ends all of this
        elif not roster.empty:
            log.warning("stopped with something left to ship: start the runner with the same state folder to ship it")

    async def _hold_sessions(self, roster: Roster) -> None:
        timings, clock = self._settings.timings, self._clock
        backoff = Backoff(timings.reconnect_first, timings.reconnect_most)
        target = self._settings.target
        lost_at: float | None = None

        def welcomed() -> None:
            nonlocal lost_at
            if lost_at is not None:
                log.info("connected to %s again after %.1f s", target, clock.boot_time() - lost_at)
            lost_at = None
            backoff.reset()
            self._say(f"athanor-runner {self._identity.runner_id} connected to {target}")

        while True:
            pause = 0.0
            connection = self._dial()
            reporter = Reporter(self._feeds, self._disk, timings, roster.fence)
            try:
                number = await self._disk.run(self._state.next_session_number)
                self._session = Session(connection, roster, self._catalogue, reporter, clock, timings)
                await self._session.run(self._identity, number, welcomed)
            except StreamEnded as ended:
                pause = backoff.next()
                if lost_at is None and not self.stopping.asked.is_set():
                    lost_at = clock.boot_time()
                    log.warning(
                        "no session with the orchestrator at %s (%s); runs go on, trying again", target, ended.reason
                    )
            except Reconnect as going:
                lost_at = clock.boot_time() if lost_at is None else lost_at
                log.info("%s; runs go on", going)
                pause = going.after + backoff.next()
            except Refused as refused:
                if refused.retry_after is None:
                    raise
                lost_at = clock.boot_time() if lost_at is None else lost_at
                log.warning("the orchestrator refused: %s; trying again in %g s", refused, refused.retry_after)
                pause = refused.retry_after + backoff.next()
            finally:
                self._session = None
                await connection.close()
            if self._leaving:
                return
            await asyncio.sleep(pause)

    async def _trace(self, roster: Roster) -> None:
        while True:
            await asyncio.sleep(self._settings.timings.tree_poll)
            await roster.trace()

    def _beat(self) -> None:
        if self._session is not None:
            self._session.beat()


async def serve(agent: Agent) -> None:
    """Runs an agent until SIGTERM or SIGINT has stopped it."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, agent.stopping.ask)
    try:
        await agent.run()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
