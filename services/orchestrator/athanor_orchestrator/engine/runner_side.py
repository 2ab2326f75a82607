"""Everything that faces the runners, put together: what server.py starts and rpc/dispatch.py calls."""

import asyncio

from athanor_orchestrator.domain.clock import Clock
from athanor_orchestrator.domain.errors import Stopping
from athanor_orchestrator.engine.cancels import Cancels
from athanor_orchestrator.engine.control import Control
from athanor_orchestrator.engine.declined import Declined
from athanor_orchestrator.engine.dispatcher import Dispatcher
from athanor_orchestrator.engine.intake import Intake
from athanor_orchestrator.engine.progress import ProgressBoard, ProgressWriter
from athanor_orchestrator.engine.reaper import Reaper
from athanor_orchestrator.engine.sessions import Sessions
from athanor_orchestrator.engine.tails import Tails
from athanor_orchestrator.engine.timings import Timings
from athanor_orchestrator.engine.wakeups import Wakeups
from athanor_orchestrator.storage.database import Database

_LOOK_AGAIN = 0.02  # seconds


class RunnerSide:
    """The sessions of runners, and the loops that serve them. Made and used on the event loop."""

    def __init__(self, database: Database, wakeups: Wakeups, clock: Clock, timings: Timings | None = None) -> None:
        self._timings = timings = timings or Timings()
        declined = Declined(timings.declined_for)

        self.progress = ProgressBoard(wakeups)
        self.tails = Tails()
        self.sessions = Sessions(database, timings)
        self.control = Control(database, declined)
        self.intake = Intake(database, self.progress, self.tails, timings)
        self.dispatcher = Dispatcher(database, wakeups, self.sessions, declined, timings)
        self.cancels = Cancels(database, wakeups, self.sessions, timings)
        self.reaper = Reaper(database, timings)
        self._progress_writer = ProgressWriter(database, self.progress, self.sessions.held_runs, timings)

    async def run(self) -> None:
        """Run every loop; until cancelled, or until one of them dies, which none is meant to."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.intake.run(), name="intake")
            tasks.create_task(self.dispatcher.run(), name="dispatcher")
            tasks.create_task(self.cancels.run(), name="cancels")
            tasks.create_task(self.reaper.run(), name="reaper")
            tasks.create_task(self._progress_writer.run(), name="progress writer")

    async def drain(self) -> None:
        """Tell all runners to come back later, answer what they have delivered, and end their sessions (Stopping).

        The orchestrator is going away: no session is taken and no run given out any more. Runs go on.
        """
        self.sessions.drain()
        try:
            async with asyncio.timeout(self._timings.drain):
                while not (self.sessions.all_told and self.intake.idle):  # noqa: ASYNC110 (once, at the very end)
                    await asyncio.sleep(_LOOK_AGAIN)
        except TimeoutError:
            pass  # somebody does not read, or delivers without end: nothing of it is lost by going

        for session in self.sessions.live():
            session.end(Stopping(self._timings.reconnect_after))
