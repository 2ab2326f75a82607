"""Telling runners at once that one of their runs is to be stopped. Heartbeat replies repeat it."""

from athanor_orchestrator.engine.heartbeats import cancellations
from athanor_orchestrator.engine.messages import Cancel
from athanor_orchestrator.engine.rounds import attempt_round
from athanor_orchestrator.engine.sessions import Session, Sessions
from athanor_orchestrator.engine.timings import Timings
from athanor_orchestrator.engine.wakeups import Wakeups
from athanor_orchestrator.storage import leases, runs
from athanor_orchestrator.storage.database import Database
from athanor_orchestrator.storage.transaction import Transaction


class Cancels:
    """Sends each session a Cancel for each of its leases whose run is to be stopped, once."""

    def __init__(self, database: Database, wakeups: Wakeups, sessions: Sessions, timings: Timings) -> None:
        self._database = database
        self._wakeups = wakeups
        self._sessions = sessions
        self._timings = timings

    async def run(self) -> None:
        """Send what is to be sent whenever a cancellation was requested, and every poll; runs until cancelled."""
        with self._wakeups.subscribe("cancel") as wakeup:
            while True:
                await wakeup.wait(self._timings.poll)
                await attempt_round("sending cancellations", self.round)

    async def round(self) -> None:
        """Tell every session what it was not told yet."""
        sessions = [session for session in self._sessions.live() if session.leases]
        if not sessions:
            return

        asked = await self._database.write(lambda tx: requested(tx, [session.runner_id for session in sessions]))
        for session in sessions:
            self._tell(session, asked.get(session.runner_id, ()))

    def _tell(self, session: Session, cancels: tuple[Cancel, ...]) -> None:
        for cancel in cancels:
            # A lease that it is not known to hold here was granted in a later session.
            if cancel.lease_id in session.leases and cancel.lease_id not in session.cancelled:
                session.cancelled.add(cancel.lease_id)
                session.outbox.put(cancel)


def requested(tx: Transaction, runner_ids: list[str]) -> dict[str, tuple[Cancel, ...]]:
    """Return, by runner, the cancellations that stand for its live leases."""
    held = {
        runner_id: {lease.id: lease.run_id for lease in leases.live_leases_of_runner(tx, runner_id)}
        for runner_id in runner_ids
    }
    locked = runs.lock_runs(tx, {run_id for of_runner in held.values() for run_id in of_runner.values()})
    return {runner_id: cancellations(of_runner, locked) for runner_id, of_runner in held.items()}
