"""The runner itself: what it is made of, how it starts, goes on and stops."""

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Mapping

from athanor_runner import __version__
from athanor_runner.attempt import Services
from athanor_runner.catalogue import Catalogue
from athanor_runner.connecting import Connector
from athanor_runner.ports import Clock, Dial, Disk, Processes, environment_without
from athanor_runner.roster import Roster
from athanor_runner.session import Identity
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
            settings.when_spool_full,
        )
        self._identity = Identity(state.runner_id, settings.display_name, __version__, settings.slots)

    async def run(self) -> None:
        """Runs until it is told to stop. Raises EnvironmentBroken, or Refused when the orchestrator never wants it."""
        async with asyncio.TaskGroup() as attempts:
            roster = Roster(self._services, self._catalogue, self._settings.slots, self._state.runner_id, attempts)
            connector = self._connector(roster)
            try:
                # Before the first Hello: what is found must not grow any more when it is told.
                await roster.find_leftovers()
                await until_first_ends(
                    life=self._live(roster, connector),
                    catalogue=self._catalogue.run(),
                    sessions=connector.run(),
                    upkeep=Upkeep(roster, self._feeds, self._services.tools).run(),
                )
            finally:
                roster.let_go()

    async def _live(self, roster: Roster, connector: Connector) -> None:
        """Waits to be told to stop, and stops, in this order."""
        stopping, timings = self.stopping, self._settings.timings
        await stopping.asked.wait()

        # 1. No more runs, and the orchestrator knows it before it grants another.
        roster.draining = True
        connector.beat()
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
        if roster.empty:
            connector.leave("the runner was stopped")
            await asyncio.sleep(FAREWELL)  # or until the session has ended, which ends all of this
        else:
            log.warning("stopped with something left to ship: start the runner with the same state folder to ship it")

    def _connector(self, roster: Roster) -> Connector:
        return Connector(
            self._settings.targets,
            self._dial,
            self._identity,
            self._state,
            roster,
            self._catalogue,
            self._feeds,
            self._clock,
            self._disk,
            self._settings.timings,
            self._say,
        )


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
