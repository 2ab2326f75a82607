"""Takes deleted runs off the disk, in steps so small that a large deletion delays nobody."""

import asyncio
import time

from athanor_orchestrator.engine.rounds import attempt_round
from athanor_orchestrator.engine.wakeups import Wakeups
from athanor_orchestrator.storage import deletion, events, results
from athanor_orchestrator.storage.database import Database
from athanor_orchestrator.storage.transaction import Transaction

TOPIC = "deletion"  # woken when something was hidden

_FEWEST_ROWS = 50
_MOST_ROWS = 5000


class Deletion:
    """The loop that removes what is hidden."""

    def __init__(self, database: Database, wakeups: Wakeups, *, poll: float = 60.0, step: float = 0.02) -> None:
        """`poll`: look this often, in seconds, also without a wake-up. `step`: seconds of one step's statements."""
        self._database = database
        self._wakeups = wakeups
        self._poll = poll
        self._step = step
        self._rows = 500  # how many one step removes; follows how fast that is

    async def run(self) -> None:
        """Remove for ever; what was hidden before a restart comes first."""
        with self._wakeups.subscribe(TOPIC) as wakeup:
            while True:
                await attempt_round("deleting", self._remove_all)
                await wakeup.wait(self._poll)

    async def _remove_all(self) -> None:
        while await self._remove_some():
            pass

    async def _remove_some(self) -> bool:
        """Take one step; False when nothing is left."""
        clock = asyncio.get_running_loop()
        rows, start = self._rows, clock.time()
        more, worked = await self._database.write(lambda tx: _timed(tx, rows))
        # The commit is not counted: where that alone takes long, smaller steps would only be more of them.
        self._rows = min(rows * 2, _MOST_ROWS) if worked < self._step else max(rows // 2, _FEWEST_ROWS)
        # As long again for everybody else: what waits for the one writer goes in between.
        await asyncio.sleep(clock.time() - start if more else 0)
        return more


def _timed(tx: Transaction, rows: int) -> tuple[bool, float]:
    """Take one step; also how many seconds its statements took."""
    start = time.perf_counter()
    more = remove_some(tx, rows)
    return more, time.perf_counter() - start


def remove_some(tx: Transaction, rows: int) -> bool:
    """Remove at most `rows` rows of the oldest hidden run, and the run itself with the last of them.

    When nothing is hidden any more, give some of the room back. False when none is left to give.
    """
    hidden = deletion.hidden_runs(tx, 1)
    if not hidden:
        return tx.dialect.give_back_space(tx.connection)
    (run_id,) = hidden
    left = rows - events.delete_events(tx, run_id, rows)
    if left > 0:
        left -= results.delete_results(tx, run_id, left)
    if left > 0:
        deletion.forget_run(tx, run_id)
    return True
