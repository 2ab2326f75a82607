"""What the end of an attempt does to its run, whoever wrote that end; and leases that were never taken up.

Transaction scripts: the run's row is locked, and the events that they return are the caller's to append, right behind
what it appends itself.
"""

from dataclasses import dataclass, replace

from athanor_orchestrator.domain import outcome, run_state
from athanor_orchestrator.domain.records import (
    Attempt,
    AttemptOutcome,
    CodeVersion,
    EventRow,
    Failure,
    FailureKind,
    Lease,
    LeaseEnd,
    Progress,
    Run,
    RunState,
)
from athanor_orchestrator.domain.run_state import Actor
from athanor_orchestrator.engine import codec
from athanor_orchestrator.storage import attempts, events, leases, runs
from athanor_orchestrator.storage.transaction import Transaction


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """How an attempt ended, with its AttemptEnded at `sequence`."""

    sequence: int
    event_count: int  # of the attempt, its AttemptEnded included
    time_us: int
    outcome: AttemptOutcome
    failure: Failure | None
    log_complete: bool
    process_gone: bool  # its runner has confirmed that no process is left
    lease_end: LeaseEnd
    actor: Actor


def apply_end(tx: Transaction, run: Run, lease: Lease, end: AttemptEnd, progress: Progress | None = None) -> EventRow:
    """End an attempt, its lease, and, unless another attempt follows, its run; returns the StateChange to append.

    `run` and `lease` say how things stand with everything up to `end.sequence` counted in; the run's `last_sequence` is
    moved on to the StateChange. `progress` is the latest that is not on the run's row yet.

    Raises LookupError when the attempt or the lease is not there or had ended: then somebody else ended it, which the
    lock on the run's row excludes.
    """
    ended = attempts.end_attempt(
        tx,
        run.id,
        lease.attempt,
        end_time_us=end.time_us,
        outcome=end.outcome,
        failure=end.failure,
        process_gone=end.process_gone,
        log_complete=end.log_complete,
        last_sequence=end.sequence,
        event_count=end.event_count,
        digest=lease.digest,
    )
    if not (ended and leases.end_lease(tx, lease.id, end.lease_end)):
        raise LookupError(f"attempt {lease.attempt} of run {run.id} had ended already")

    policy = run.policy
    if policy.max_attempts is None or policy.retry_backoff is None:
        raise LookupError(f"the policy of run {run.id} is not resolved")

    consequence = outcome.after_attempt(
        outcome=end.outcome,
        failure=end.failure,
        cancel_requested=run.cancel_request_time_us is not None,
        log_complete=end.log_complete,
        attempts_used=run.attempt_count,
        max_attempts=policy.max_attempts,
        backoff=policy.retry_backoff,
        now_us=tx.now_us,
    )
    change = codec.state_change(end.sequence + 1, 0, tx.now_us, consequence.state, consequence.reason)
    _move(
        tx,
        run,
        consequence.state,
        end.actor,
        change,
        failure=consequence.failure,
        next_attempt_time_us=consequence.next_attempt_time_us,
        progress=progress,
    )
    return change


def give_up(
    tx: Transaction, run: Run, lease: Lease, failure: Failure, lease_end: LeaseEnd, actor: Actor
) -> list[EventRow]:
    """End an attempt in place of its runner; returns AttemptEnded (FAILED, no digest) and StateChange, to append.

    Also for a lease of which nothing is stored: then the attempt is used up by its end. What has been put beside the
    run and the lease for it is as `apply_end` wants it.
    """
    if lease.event_count == 0:
        attempts.insert_attempt(tx, run.id, lease.id, Attempt(lease.attempt, lease.runner_id, CodeVersion()))
        runs.update_run(tx, run.id, attempt_count=lease.attempt)
        run = replace(run, attempt_count=lease.attempt)

    sequence, event_count = run.last_sequence + 1, lease.event_count + 1
    ended = codec.attempt_ended(sequence, lease.attempt, tx.now_us, failure, event_count)
    change = apply_end(
        tx,
        run,
        lease,
        AttemptEnd(
            sequence=sequence,
            event_count=event_count,
            time_us=tx.now_us,
            outcome=AttemptOutcome.FAILED,
            failure=failure,
            log_complete=False,
            process_gone=False,
            lease_end=lease_end,
            actor=actor,
        ),
    )
    return [ended, change]


def lose(tx: Transaction, run: Run, lease: Lease, message: str, actor: Actor) -> None:
    """Give up an attempt whose runner, or its spool, is gone (KIND_RUNNER_LOST), and append that to the log."""
    failure = Failure(FailureKind.RUNNER_LOST, message)
    events.append_events(tx, [(run.id, give_up(tx, run, lease, failure, LeaseEnd.LOST, actor))])


def give_back(tx: Transaction, run: Run, lease: Lease, actor: Actor) -> None:
    """End a lease that was never taken up: the run waits again, or is CANCELLED when that was requested meanwhile."""
    if lease.event_count != 0 or not leases.end_lease(tx, lease.id, LeaseEnd.RETURNED):
        raise LookupError(f"lease {lease.id} was taken up, or is over")

    if run.cancel_request_time_us is None:
        run_state.check(run.state, RunState.PENDING, actor)
        tx.wake(f"run:{run.id}")
        tx.wake("work")
        return

    reason = "cancelled before an attempt began"
    change = codec.state_change(run.last_sequence + 1, 0, tx.now_us, RunState.CANCELLED, reason)
    events.append_events(tx, [(run.id, [change])])
    _move(tx, run, RunState.CANCELLED, actor, change)


def _move(
    tx: Transaction,
    run: Run,
    state: RunState,
    actor: Actor,
    change: EventRow,
    *,
    failure: Failure | None = None,
    next_attempt_time_us: int | None = None,
    progress: Progress | None = None,
) -> None:
    run_state.check(run.state, state, actor)

    columns = runs.RunColumns(
        last_sequence=change.sequence,
        failure=failure,
        next_attempt_time_us=next_attempt_time_us,
        unreachable_since_us=None,
    )
    if state in run_state.TERMINAL:
        columns["end_time_us"] = tx.now_us
    if progress is not None:
        columns["progress"] = progress

    if not runs.transition(tx, run.id, [run.state], state, **columns):
        raise LookupError(f"run {run.id} is not {run.state.name} any more")

    for topic in (f"run:{run.id}", "runs", "instances", "work"):
        tx.wake(topic)
