"""Registering a session: the transaction that a Hello causes, and the verdict for each attempt that it names."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from athanor_orchestrator.domain import append_rule
from athanor_orchestrator.domain.ids import is_id
from athanor_orchestrator.domain.records import Failure, FailureKind, Lease, LeaseEnd, Run, Runner
from athanor_orchestrator.domain.run_state import TERMINAL, Actor
from athanor_orchestrator.engine import ending
from athanor_orchestrator.engine.messages import Fence, HeldAttempt, Hello, Keep, Release, Resume, Verdict
from athanor_orchestrator.storage import events, leases, runners, runs
from athanor_orchestrator.storage.transaction import Transaction

PROTOCOL_MIN = 1
PROTOCOL_MAX = 1

_MOST_SLOTS = 100_000


class HelloRefused(Exception):
    """The runner is turned away. `retry_after` is in seconds; None: not at all."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Registered:
    """What the transaction settled."""

    verdicts: tuple[Verdict, ...]
    leases: Mapping[str, str]  # resumed, with their runs
    seen_us: int  # when the runner was heard from, by the database's clock


def agree(hello: Hello) -> int:
    """Return the version of the protocol to speak. Raises HelloRefused when the Hello cannot be accepted by anybody."""
    ids = [hello.runner_id]
    for held in hello.held_attempts:
        ids.append(held.lease_id)
        if held.run_id or not held.unreadable:
            ids.append(held.run_id)
    if not all(is_id(each) for each in ids):
        raise HelloRefused("runner_id, or an id of a held attempt, is no UUID in lower case, with hyphens")
    if hello.session_number < 1:
        raise HelloRefused("session_number counts from 1")
    if not 0 <= hello.slots <= _MOST_SLOTS:
        raise HelloRefused(f"slots must be between 0 and {_MOST_SLOTS}")

    version = min(hello.protocol_max, PROTOCOL_MAX)
    if version < max(hello.protocol_min, PROTOCOL_MIN):
        raise HelloRefused(
            f"this orchestrator speaks versions {PROTOCOL_MIN} to {PROTOCOL_MAX} of the protocol, "
            f"the runner {hello.protocol_min} to {hello.protocol_max}: update the older of the two"
        )
    return version


def register(tx: Transaction, hello: Hello, session_id: str) -> Registered:
    """Register the session, settle every lease of the runner, and judge every attempt that it names.

    Raises HelloRefused when a session with this number or a newer one is known.
    """
    fresh = runners.register_session(
        tx,
        Runner(
            id=hello.runner_id,
            display_name=hello.display_name,
            version=hello.version,
            slots=hello.slots,
            session_number=hello.session_number,
            session_id=session_id,
            connected=True,
        ),
    )
    if not fresh:
        raise HelloRefused(
            f"session {hello.session_number} of this runner is not newer than one that is registered: "
            "is a copy of its state folder in use?"
        )
    tx.wake("fleet")
    tx.wake("work")

    held = {attempt.lease_id: attempt for attempt in hello.held_attempts}
    live = leases.live_leases_of_runner(tx, hello.runner_id)
    named = leases.get_leases(tx, held)
    run_ids = {lease.run_id for lease in (*live, *named.values())} | {attempt.run_id for attempt in held.values()}
    locked = runs.lock_runs(tx, run_ids - {""})

    # Read again: what was read before the locks may have changed until they were had.
    live = leases.live_leases_of_runner(tx, hello.runner_id)
    named = leases.get_leases(tx, {*held, *(run.lease_id for run in locked.values() if run.lease_id)})

    for lease in sorted(live, key=lambda lease: lease.run_id):
        if lease.id not in held:
            _settle_unnamed(tx, locked[lease.run_id], lease)

    verdicts: list[Verdict] = []
    resumed: dict[str, str] = {}
    for attempt in held.values():
        if attempt.unreadable:
            verdicts.append(_settle_unreadable(tx, hello.runner_id, named.get(attempt.lease_id), attempt, locked))
            continue
        verdict = judge(attempt, hello.runner_id, named, locked.get(attempt.run_id))
        if isinstance(verdict, Resume):
            lease = named[attempt.lease_id]
            verdict = _resume(tx, locked[lease.run_id], lease, attempt, hello.session_number)
            if isinstance(verdict, Resume):
                resumed[lease.id] = lease.run_id
        verdicts.append(verdict)

    for run_id in runs.set_unreachable(tx, set(resumed.values()), None):
        tx.wake(f"run:{run_id}")
        tx.wake("runs")
    return Registered(tuple(verdicts), resumed, tx.now_us)


def judge(held: HeldAttempt, runner_id: str, known: Mapping[str, Lease], run: Run | None) -> Verdict:
    """Say what to do with an attempt that a runner still has.

    `known` holds the leases that the Hello names, and those of the runs that it names.
    """
    lease = known.get(held.lease_id)
    if lease is not None:
        if lease.runner_id != runner_id:
            return Fence(held.lease_id, "the lease is another runner's")
        if lease.end is LeaseEnd.ENDED:
            return Release(held.lease_id)
        if lease.end is not None or run is None or run.lease_id != lease.id:
            return Fence(held.lease_id, append_rule.WHY_OVER.get(lease.end, "the run is not under this lease"))
        return Resume(held.lease_id, lease.last_sequence + 1)

    if run is None:
        return Keep(held.lease_id)

    current = known.get(run.lease_id) if run.lease_id is not None else None
    newest = max(run.attempt_count, 0 if current is None else current.attempt)
    if held.attempt > newest:
        if run.state in TERMINAL:
            return Fence(held.lease_id, "the lease is not known any more, and the run has ended")
        return Keep(held.lease_id)
    return Fence(held.lease_id, f"the lease is not known any more, and attempt {newest} of the run is")


def _settle_unnamed(tx: Transaction, run: Run, lease: Lease) -> None:
    """A lease that the runner does not name was never taken up, or its spool is gone."""
    if lease.event_count == 0:
        ending.give_back(tx, run, lease, Actor.RUNNER_DECLINED)
    else:
        ending.lose(tx, run, lease, "its runner came back without the attempt's spool", Actor.HELLO)


def _settle_unreadable(
    tx: Transaction, runner_id: str, lease: Lease | None, held: HeldAttempt, locked: Mapping[str, Run]
) -> Verdict:
    """What its runner cannot go on with may have been executed: its lease never goes back, stored or not."""
    if lease is None:
        return Keep(held.lease_id)  # only the lease says whose it is: what the runner says of it proves nothing
    run = locked.get(lease.run_id)
    verdict = judge(replace(held, run_id=lease.run_id), runner_id, {lease.id: lease}, run)
    if run is None or not isinstance(verdict, Resume):
        return verdict

    failure = Failure(FailureKind.STORAGE, "its runner cannot read what it has of the attempt")
    rows = ending.give_up(tx, run, lease, failure, LeaseEnd.BROKEN, Actor.HELLO)
    events.append_events(tx, [(run.id, rows)])
    return Fence(lease.id, failure.message)


def _resume(tx: Transaction, run: Run, lease: Lease, held: HeldAttempt, session_number: int) -> Verdict:
    following = lease.last_sequence + 1
    if held.first_sequence > following:
        # What lies between was acknowledged once and is not here now: the database was restored from an older copy.
        failure = Failure(
            FailureKind.STORAGE,
            f"the log reaches to {lease.last_sequence}, but what its runner still has begins at {held.first_sequence}",
        )
        rows = ending.give_up(tx, run, lease, failure, LeaseEnd.BROKEN, Actor.HELLO)
        events.append_events(tx, [(run.id, rows)])
        return Fence(lease.id, failure.message)

    if not leases.resume_lease(tx, lease.id, session_number):
        raise LookupError(f"lease {lease.id} is not live any more")
    return Resume(lease.id, following)
