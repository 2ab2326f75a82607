"""Heartbeats: what one renews, and what its answer repeats."""

from collections.abc import Mapping
from dataclasses import dataclass

from athanor_orchestrator.domain.errors import SessionSuperseded
from athanor_orchestrator.domain.records import LeaseEnd, Run
from athanor_orchestrator.engine.messages import Cancel, Fence, Heartbeat, HeartbeatReply
from athanor_orchestrator.storage import attempts, leases, runners, runs
from athanor_orchestrator.storage.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Beat:
    """What a heartbeat came to."""

    reply: HeartbeatReply
    leases: Mapping[str, str]  # renewed, with their runs


def beat(tx: Transaction, runner_id: str, session_id: str, session_number: int, heartbeat: Heartbeat) -> Beat:
    """Renew what the heartbeat names. Raises SessionSuperseded when the session is not the newest of its runner."""
    before = runners.lock_runner(tx, runner_id)
    if not runners.touch_runner(tx, runner_id, session_number, tx.now_us, heartbeat.draining):
        raise SessionSuperseded(session_id)
    if before is None or not before.connected or before.draining != heartbeat.draining:
        tx.wake("fleet")

    named = leases.get_leases(tx, heartbeat.lease_ids)
    locked = runs.lock_runs(tx, {lease.run_id for lease in named.values()})
    renewed = leases.renew_leases(tx, named.keys(), session_number)
    named = {
        lease_id: lease
        for lease_id, lease in leases.get_leases(tx, named.keys()).items()
        if lease.runner_id == runner_id
    }
    held = {lease_id: named[lease_id].run_id for lease_id in sorted(renewed & named.keys())}

    for run_id in runs.set_unreachable(tx, [run_id for run_id in held.values() if _flagged(locked, run_id)], None):
        tx.wake(f"run:{run_id}")
        tx.wake("runs")
    for run_id in attempts.put_process_gone(tx, heartbeat.gone_lease_ids) if heartbeat.gone_lease_ids else ():
        tx.wake(f"run:{run_id}")

    fences = tuple(
        Fence(lease_id, f"the lease is over: {lease.end}")
        for lease_id, lease in named.items()
        if lease.end is not None and lease.end is not LeaseEnd.ENDED
    )
    return Beat(HeartbeatReply(heartbeat.nonce, cancellations(held, locked), fences), held)


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
