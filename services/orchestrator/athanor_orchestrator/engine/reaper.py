"""What time does: flags for silent runners, the end of leases that nobody renews, and what is kept only for a while."""

import asyncio
import logging
from dataclasses import dataclass
from functools import partial

from athanor_orchestrator.domain.records import Lease
from athanor_orchestrator.domain.run_state import Actor
from athanor_orchestrator.engine import ending
from athanor_orchestrator.engine.observation import Observer
from athanor_orchestrator.engine.rounds import attempt_round
from athanor_orchestrator.engine.timings import Timings
from athanor_orchestrator.storage import changes, leases, requests, runners, runs
from athanor_orchestrator.storage.database import Database
from athanor_orchestrator.storage.transaction import Transaction

logger = logging.getLogger(__name__)

_US = 1_000_000
_PURGED_AT_ONCE = 1000  # rows in one transaction


@dataclass(frozen=True, slots=True)
class Sight:
    """What a round sees."""

    now_us: int  # the database's clock
    live: tuple[Lease, ...]


class Reaper:
    """Looks at all live leases every few seconds. Several orchestrators may do so on one database."""

    def __init__(self, database: Database, timings: Timings) -> None:
        self._database = database
        self._timings = timings
        self._observer = Observer(timings.reaper_interval)
        self._refusals = database.refusals
        self._purged_at = float("-inf")

    async def run(self) -> None:
        """Look every few seconds; runs until cancelled."""
        while True:
            if not await attempt_round("looking for silent runners", self.round):
                self._observer.failed()
            await attempt_round("forgetting what is old", self.purge)
            await asyncio.sleep(self._timings.reaper_interval)

    async def round(self) -> None:
        """Look once: flag what is silent, end what is over."""
        # By the writer, behind the renewals that wait for it; and where a commit was refused since the last round, it
        # may have been one of theirs: while the database is full or locked nobody is silent, they are not heard.
        sight = await self._database.write(_look)
        if self._refusals != self._database.refusals:
            self._refusals = self._database.refusals
            self._observer.failed()
        self._observer.look(asyncio.get_running_loop().time(), sight.now_us, sight.live)

        over = [lease for lease in sight.live if self._observer.over(lease, sight.now_us)]
        for lease in sorted(over, key=lambda lease: lease.run_id):
            # A run that cannot be ended keeps no other from its end.
            await attempt_round(f"giving up run {lease.run_id}", partial(self._give_up, lease))

        # An orchestrator that was away itself has heard nobody: it waits as long as a runner may be silent.
        if self._observer.observed >= self._timings.unreachable_after:
            before_us = sight.now_us - round(self._timings.unreachable_after * _US)
            if silent := [lease for lease in sight.live if lease.renew_time_us < before_us]:
                await self._database.write(lambda tx: flag(tx, silent))
            await self._database.write(lambda tx: disconnect(tx, before_us))

    async def _give_up(self, lease: Lease) -> None:
        if await self._database.write(lambda tx: expire(tx, lease)):
            logger.warning("run %s: runner %s was given up", lease.run_id, lease.runner_id)

    async def purge(self) -> None:
        """Forget ended leases, request ids and changes that are old, some at a time."""
        now = asyncio.get_running_loop().time()
        if now - self._purged_at < self._timings.purge_interval:
            return

        kept = (self._timings.ended_lease_kept, self._timings.request_kept, self._timings.changes_kept)
        kept_us = [round(each * _US) for each in kept]
        while await self._database.write(lambda tx: _purge(tx, *kept_us)):
            pass
        self._purged_at = now


def _look(tx: Transaction) -> Sight:
    return Sight(tx.now_us, tuple(leases.live_leases(tx)))


def expire(tx: Transaction, seen: Lease) -> bool:
    """End a lease that both witnesses call over, unless it was renewed, or ended, since it was seen so."""
    run = runs.lock_runs(tx, [seen.run_id]).get(seen.run_id)
    lease = leases.get_leases(tx, [seen.id]).get(seen.id)
    if run is None or lease is None or lease.end is not None:
        return False
    if lease.renew_time_us != seen.renew_time_us or lease.expire_time_us >= tx.now_us:
        return False

    silent = (tx.now_us - lease.renew_time_us) // _US
    ending.lose(tx, run, lease, f"its runner was silent for {silent} s", Actor.REAPER)
    return True


def flag(tx: Transaction, silent: list[Lease]) -> None:
    """Flag the runs of leases that were not renewed for a while, each with the time of its renewal; they go on."""
    runs.lock_runs(tx, {lease.run_id for lease in silent})
    current = leases.get_leases(tx, [lease.id for lease in silent])
    for seen in sorted(silent, key=lambda lease: lease.run_id):
        lease = current.get(seen.id)
        if lease is None or lease.end is not None or lease.renew_time_us != seen.renew_time_us:
            continue
        for run_id in runs.set_unreachable(tx, [lease.run_id], lease.renew_time_us):
            tx.wake(f"run:{run_id}")
            tx.wake("runs")


def disconnect(tx: Transaction, before_us: int) -> None:
    """Note that runners not heard from since are not connected."""
    if runners.disconnect_silent(tx, before_us):
        tx.wake("fleet")


def _purge(tx: Transaction, lease_kept_us: int, request_kept_us: int, changes_kept_us: int) -> bool:
    ended = leases.purge_ended(tx, tx.now_us - lease_kept_us, _PURGED_AT_ONCE)
    answered = requests.purge_requests(tx, tx.now_us - request_kept_us, _PURGED_AT_ONCE)
    changed = changes.purge_changes(tx, tx.now_us - changes_kept_us, _PURGED_AT_ONCE)
    return max(ended, answered, changed) >= _PURGED_AT_ONCE
