"""Heartbeats: what one renews, and what its answer repeats."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from athanor_orchestrator.domain.errors import DatabaseFellBack, SessionSuperseded
from athanor_orchestrator.domain.records import Lease, LeaseEnd, Run
from athanor_orchestrator.engine.hello import judge
from athanor_orchestrator.engine.messages import Cancel, Fence, Heartbeat, HeartbeatReply, HeldAttempt
from athanor_orchestrator.storage import attempts, leases, runners, runs
from athanor_orchestrator.storage.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Beat:
    """What a heartbeat came to."""

    reply: HeartbeatReply
    leases: Mapping[str, str]  # renewed, with their runs
    seen_us: int  # when the runner was heard from, by the database's clock


def beat(
    tx: Transaction,
    runner_id: str,
    session_id: str,
    session_number: int,
    heartbeat: Heartbeat,
    seen_us: int = 0,
    kept: Collection[HeldAttempt] = (),
) -> Beat:
    """Renew what the heartbeat names.

    `seen_us` is when the session last committed that the runner was heard from, `kept` is what its Hello was told to
    keep. Raises SessionSuperseded when the session is not the newest of its runner, DatabaseFellBack when that commit
    is gone, or the grant of a lease that is named: then so may be anything else that was said since, such as which
    experiments the runner has, and a new Hello settles it.
    """
    before = runners.lock_introduced(tx, runner_id)
    if before is not None and before.session_number == session_number and before.last_seen_us < seen_us:
        raise DatabaseFellBack
    if not runners.touch_runner(tx, runner_id, session_number, tx.now_us, heartbeat.draining):
        raise SessionSuperseded(session_id)
    if before is None or not before.connected or before.draining != heartbeat.draining:
        tx.wake("fleet")

    named = leases.get_leases(tx, heartbeat.lease_ids)
    if not named.keys() >= set(heartbeat.lease_ids):
        raise DatabaseFellBack
    named = _own(runner_id, named)
    locked = runs.lock_runs(tx, {lease.run_id for lease in named.values()} | {held.run_id for held in kept})
    renewed = leases.renew_leases(tx, named.keys(), session_number)
    named = leases.get_leases(tx, named.keys())
    held = {lease_id: named[lease_id].run_id for lease_id in sorted(renewed)}

    for run_id in runs.set_unreachable(tx, [run_id for run_id in held.values() if _flagged(locked, run_id)], None):
        tx.wake(f"run:{run_id}")
        tx.wake("runs")
    gone = _own(runner_id, leases.get_leases(tx, heartbeat.gone_lease_ids)).values()
    for run_id in attempts.put_process_gone(tx, [lease.id for lease in gone if lease.end is not None]):
        tx.wake(f"run:{run_id}")

    fences = tuple(
        Fence(lease_id, f"the lease is over: {lease.end}")
        for lease_id, lease in named.items()
        if lease.end is not None and lease.end is not LeaseEnd.ENDED
    )
    fences += _overtaken(tx, runner_id, kept, locked)
    return Beat(HeartbeatReply(heartbeat.nonce, cancellations(held, locked), fences), held, tx.now_us)


def _overtaken(
    tx: Transaction, runner_id: str, kept: Collection[HeldAttempt], locked: Mapping[str, Run]
) -> tuple[Fence, ...]:
    """Fence what a Hello was told to keep when its run has meanwhile gone on, or ended, without it."""
    if not kept:
        return ()
    lease_ids = {held.lease_id for held in kept} | {run.lease_id for run in locked.values() if run.lease_id}
    known = leases.get_leases(tx, lease_ids)
    verdicts = [judge(held, runner_id, known, locked.get(held.run_id)) for held in kept]
    return tuple(verdict for verdict in verdicts if isinstance(verdict, Fence))


def _own(runner_id: str, known: Mapping[str, Lease]) -> dict[str, Lease]:
    """Return the leases that are this runner's; whose one is never changes."""
    return {lease_id: lease for lease_id, lease in known.items() if lease.runner_id == runner_id}


def cancellations(held: Mapping[str, str], locked: Mapping[str, Run]) -> tuple[Cancel, ...]:
    """Return the cancellations that stand for the leases `held`."""
    return tuple(
        Cancel(lease_id, run.cancel_reason)
        for lease_id, run_id in held.items()
        if (run := locked.get(run_id)) is not None and run.cancel_request_time_us is not None
    )


def _flagged(locked: Mapping[str, Run], run_id: str) -> bool:
    run = locked.get(run_id)
    return run is not None and run.unreachable_since_us is not None
