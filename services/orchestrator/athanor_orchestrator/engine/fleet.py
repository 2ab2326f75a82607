"""The runners, for operators: shown, drained, given up. Their sessions are another matter: see `sessions`."""

import logging

from athanor_orchestrator.domain.errors import NotFound, RunnerConnected
from athanor_orchestrator.domain.records import Runner
from athanor_orchestrator.domain.run_state import Actor
from athanor_orchestrator.engine import ending
from athanor_orchestrator.engine.listing import gather, size_of
from athanor_orchestrator.engine.timings import Timings
from athanor_orchestrator.storage import leases, runners, runs
from athanor_orchestrator.storage.database import Database
from athanor_orchestrator.storage.pages import Page
from athanor_orchestrator.storage.transaction import Transaction

logger = logging.getLogger(__name__)

LISTED_FOR_US = 24 * 3600 * 1_000_000  # a runner that was not seen for longer is left out of lists
_GIVEN_UP_AT_ONCE = 50  # runs in one transaction, so that a runner with many delays nobody


class Fleet:
    """Shows runners, and carries out what operators want of them."""

    def __init__(self, database: Database, timings: Timings | None = None) -> None:
        self._database = database
        self._timings = timings or Timings()

    async def get(self, runner_id: str) -> Runner:
        """Return one runner. Raises NotFound."""
        return await self._database.read(lambda tx: require(tx, runner_id))

    async def page(self, after_id: str, limit: int) -> Page[Runner]:
        """Return one page of the runners seen in the last day, in the order of their ids."""

        def query(tx: Transaction) -> Page[Runner]:
            since = tx.now_us - LISTED_FOR_US
            return gather(
                lambda after, count: runners.list_runners(tx, after, count, since),
                after_id,
                key=lambda runner: runner.id,
                size=lambda runner: size_of(runner.display_name, runner.version, *runner.experiments, *runner.run_ids),
                limit=limit,
            )

        return await self._database.read(query)

    async def drain(self, runner_id: str) -> Runner:
        """Let a runner take no more runs, also after it, or this orchestrator, has restarted. Raises NotFound."""
        return await self._database.write(lambda tx: request_drain(tx, runner_id, wanted=True))

    async def undrain(self, runner_id: str) -> Runner:
        """Take `drain` back; what the runner itself says is not touched. Raises NotFound."""
        return await self._database.write(lambda tx: request_drain(tx, runner_id, wanted=False))

    async def forget(self, runner_id: str) -> list[str]:
        """End every attempt that a silent runner holds, whatever the policies; returns the ids of their runs, sorted.

        Raises NotFound, RunnerConnected. A runner that comes back while its runs are being given up keeps the rest.
        """
        ended: list[str] = []
        while True:
            try:
                part = await self._database.write(lambda tx: give_up(tx, runner_id, self._timings.unreachable_after))
            except RunnerConnected:
                if not ended:
                    raise
                logger.warning("runner %s came back while it was being given up", runner_id)
                break
            if not part:
                break
            ended += part
        logger.warning("runner %s was given up by an operator, with %d runs", runner_id, len(ended))
        return sorted(ended)


def require(tx: Transaction, runner_id: str) -> Runner:
    """Return a runner; raise NotFound when there is none."""
    runner = runners.get_runner(tx, runner_id)
    if runner is None:
        raise NotFound("runner", runner_id)
    return runner


def request_drain(tx: Transaction, runner_id: str, *, wanted: bool) -> Runner:
    """Write down what an operator wants of a runner. Raises NotFound."""
    # Locked as a claim locks it: behind the commit no run goes to it any more.
    runner = runners.lock_runner(tx, runner_id)
    if runner is None:
        raise NotFound("runner", runner_id)
    if wanted != (runner.drain_request_time_us is not None):
        runners.request_drain(tx, runner_id, tx.now_us if wanted else None)
        tx.wake("fleet")
    return require(tx, runner_id)


def give_up(tx: Transaction, runner_id: str, connected_for_s: float) -> list[str]:
    """End some of the attempts of a runner that is not connected, in the order of their runs' ids; returns those ids.

    Also where nothing is stored: whether the runner has begun is not known, and to begin again elsewhere would break
    "at most once". Raises NotFound, RunnerConnected.
    """
    runner = runners.lock_runner(tx, runner_id)
    if runner is None:
        raise NotFound("runner", runner_id)
    if runner.connected:
        raise RunnerConnected(runner_id, (tx.now_us - runner.last_seen_us) / 1_000_000, connected_for_s)

    held = {lease.run_id for lease in leases.live_leases_of_runner(tx, runner_id)}
    locked = runs.lock_runs(tx, sorted(held)[:_GIVEN_UP_AT_ONCE])
    # Read again: what was read before the locks may have changed until they were had.
    live = {lease.run_id: lease for lease in leases.live_leases_of_runner(tx, runner_id)}
    ended = [run_id for run_id in sorted(locked) if run_id in live]
    for run_id in ended:
        ending.lose(tx, locked[run_id], live[run_id], "its runner was given up by an operator", Actor.FORGET)
    return ended
