"""The latest progress of the runs whose runners report here.

No event, and no queue: newer replaces older. Watchers read it from here; it reaches the run's row with the next commit,
once a second at most, so that it is still there after a restart and for the other orchestrators.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from athanor_orchestrator.domain.records import Progress
from athanor_orchestrator.engine.rounds import attempt_round
from athanor_orchestrator.engine.timings import Timings
from athanor_orchestrator.engine.wakeups import Wakeups
from athanor_orchestrator.storage import runs
from athanor_orchestrator.storage.database import Database
from athanor_orchestrator.storage.transaction import Transaction

_NEVER = float("-inf")


def topic(run_id: str) -> str:
    """Name the topic that is published when a run's progress changed. Of this process only."""
    return f"progress:{run_id}"


@dataclass(frozen=True, slots=True)
class _Entry:
    latest: Progress
    stored: Progress | None = None
    stored_at: float = _NEVER  # by the loop's clock


class ProgressBoard:
    """The latest progress by run; holds one entry for each live run that reported some."""

    def __init__(self, wakeups: Wakeups) -> None:
        self._wakeups = wakeups
        self._entries: dict[str, _Entry] = {}

    def report(self, run_id: str, progress: Progress) -> None:
        """Take what a runner reported."""
        entry = self._entries.get(run_id)
        if entry is None:
            self._entries[run_id] = _Entry(progress)
        elif entry.latest == progress:
            return
        else:
            self._entries[run_id] = replace(entry, latest=progress)
        self._wakeups.publish(frozenset([topic(run_id)]))

    def latest(self, run_id: str) -> Progress | None:
        """Return the latest progress; None when nothing was reported here."""
        entry = self._entries.get(run_id)
        return None if entry is None else entry.latest

    def unstored(self, run_id: str) -> Progress | None:
        """Return the latest progress of a run when its row does not have it yet."""
        entry = self._entries.get(run_id)
        return None if entry is None or entry.latest == entry.stored else entry.latest

    def due(self, now: float, interval: float) -> dict[str, Progress]:
        """Return what should be stored by now: changed, and not stored within the last `interval` seconds."""
        return {
            run_id: entry.latest
            for run_id, entry in self._entries.items()
            if entry.latest != entry.stored and now - entry.stored_at >= interval
        }

    def mark_stored(self, stored: dict[str, Progress], now: float) -> None:
        """Remember what a commit has written."""
        for run_id, progress in stored.items():
            entry = self._entries.get(run_id)
            if entry is not None:
                self._entries[run_id] = replace(entry, stored=progress, stored_at=now)

    def forget(self, run_id: str) -> None:
        """Drop a run that is not held any more; its row has the last value."""
        self._entries.pop(run_id, None)

    def prune(self, held: frozenset[str]) -> None:
        """Drop the runs that no session here holds and whose rows have their last value."""
        for run_id in [run_id for run_id in self._entries if run_id not in held and self.unstored(run_id) is None]:
            del self._entries[run_id]


class ProgressWriter:
    """Writes progress on the rows of runs that do not get it with their events."""

    def __init__(self, database: Database, board: ProgressBoard, held: Callable[[], frozenset[str]], timings: Timings):
        self._database = database
        self._board = board
        self._held = held  # the runs that sessions here are believed to hold
        self._timings = timings

    async def run(self) -> None:
        """Write what is due, once a second; runs until cancelled."""
        while True:
            await asyncio.sleep(self._timings.progress_stored)
            await attempt_round("writing progress", self.round)

    async def round(self) -> None:
        """Write what is due."""
        now = asyncio.get_running_loop().time()
        due = self._board.due(now, self._timings.progress_stored)
        if due:
            await self._database.write(lambda tx: _put(tx, due))
            self._board.mark_stored(due, now)
        self._board.prune(self._held())


def _put(tx: Transaction, progress: dict[str, Progress]) -> None:
    runs.put_progress(tx, progress)
    for run_id in progress:
        tx.wake(f"run:{run_id}")
