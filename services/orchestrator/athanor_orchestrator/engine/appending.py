"""Storing batches: one transaction for everything that waits, by the append rule.

Nothing here touches memory that outlives the call: a command may be carried out more than once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from athanor_orchestrator.domain import append_rule, digests
from athanor_orchestrator.domain.records import (
    Attempt,
    AttemptOutcome,
    CodeVersion,
    EventKind,
    EventRow,
    Failure,
    FailureKind,
    Lease,
    LeaseEnd,
    Progress,
    ResultRow,
    Run,
    RunState,
)
from athanor_orchestrator.domain.run_state import Actor, check
from athanor_orchestrator.engine import ending
from athanor_orchestrator.engine.batches import PreparedBatch
from athanor_orchestrator.engine.codec import AttemptEnded, AttemptStarted
from athanor_orchestrator.storage import attempts, events, leases, results, runners, runs
from athanor_orchestrator.storage.dialect import Reached
from athanor_orchestrator.storage.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Arrival:
    """A batch and the session in which it came."""

    runner_id: str
    session_number: int
    batch: PreparedBatch


@dataclass(frozen=True, slots=True)
class Committed:
    """Everything of the run up to this is durable once the command has been answered."""

    sequence: int
    ended: bool = False  # the attempt is over: its end is stored


@dataclass(frozen=True, slots=True)
class Rewound:
    """The batch does not follow what is stored."""

    sequence: int


@dataclass(frozen=True, slots=True)
class Fenced:
    """The lease is over, and not by a stored end."""

    reason: str


@dataclass(frozen=True, slots=True)
class Superseded:
    """A newer session of the runner exists."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """There is nothing to say."""


Answer = Committed | Rewound | Fenced | Superseded | Nothing


def store(tx: Transaction, arrivals: Sequence[Arrival], progress: Mapping[str, Progress]) -> list[Answer]:
    """Store what may be stored; returns the answers in the order of `arrivals`.

    `progress` is, by run, the latest that is not on the run's row; it is written with what is stored of the run.
    """
    lease_ids = {arrival.batch.lease_id for arrival in arrivals}
    # Which run a lease is of never changes, so it may be read before the lock; how the lease stands may not.
    locked = runs.lock_runs(tx, leases.runs_of_leases(tx, lease_ids))
    known = leases.get_leases(tx, lease_ids)

    ledgers = {
        lease.id: _Ledger(locked[lease.run_id], lease, progress.get(lease.run_id))
        for lease in known.values()
        if lease.run_id in locked and locked[lease.run_id].lease_id == lease.id
    }
    answers = [_answer(tx, arrival, known, locked, ledgers) for arrival in arrivals]

    # By run ids, in which order the locks were taken: rows of several runs are never written crosswise.
    touched = sorted((ledger for ledger in ledgers.values() if ledger.rows), key=lambda ledger: ledger.run.id)
    events.append_events(tx, [(ledger.run.id, ledger.rows) for ledger in touched])
    results.append_results(tx, [(ledger.run.id, ledger.results) for ledger in touched if ledger.results])
    leases.advance_leases(tx, [ledger.reached() for ledger in touched if ledger.live])
    for ledger in touched:
        tx.wake(f"run:{ledger.run.id}")
    # Also where nothing is new, as after a rewind: the caller takes all of it for stored.
    reported = {led.run.id: led.progress for led in ledgers.values() if led.progress is not None and led.live}
    runs.put_progress(tx, reported)
    for run_id in reported:
        tx.wake(f"run:{run_id}")
    return answers


def _answer(
    tx: Transaction,
    arrival: Arrival,
    known: Mapping[str, Lease],
    locked: Mapping[str, Run],
    ledgers: Mapping[str, "_Ledger"],
) -> Answer:
    batch = arrival.batch
    lease = known.get(batch.lease_id)
    ledger = ledgers.get(batch.lease_id)
    if lease is not None and lease.runner_id != arrival.runner_id:
        lease = None
    elif ledger is not None:
        lease = ledger.lease

    run = None if lease is None else locked.get(lease.run_id)
    decision = append_rule.decide(
        lease,
        current_lease_id=None if run is None else run.lease_id,
        last_sequence=0 if ledger is None else ledger.last_sequence,
        session_number=arrival.session_number,
        first_sequence=batch.first_sequence,
        count=len(batch.rows),
    )
    match decision:
        case append_rule.Ignore():
            return Nothing()
        case append_rule.Drop(superseded):
            return Superseded() if superseded else Nothing()
        case append_rule.Acknowledge(committed_sequence):
            return Committed(committed_sequence, ended=True)
        case append_rule.FenceIt(reason):
            # A newer session settled the lease in its Hello. What an older one still delivers is dropped, never fenced.
            runner = runners.get_runner(tx, arrival.runner_id)
            newer = runner is not None and runner.session_number > arrival.session_number
            return Superseded() if newer else Fenced(reason)
        case append_rule.Rewind(committed_sequence):
            return Rewound(committed_sequence)
        case append_rule.Append(skip):
            if ledger is None:
                raise LookupError(f"lease {batch.lease_id} is live but not its run's")
            return ledger.append(tx, batch, skip)


@dataclass(slots=True)
class _Ledger:
    """A run under its live lease while batches are added: as it will stand, with what is to be appended.

    What every batch moves on is counted here; the records are brought up to date for who looks at them, which is few.
    """

    run: Run
    lease: Lease
    progress: Progress | None
    rows: list[EventRow] = field(default_factory=list[EventRow])
    results: list[ResultRow] = field(default_factory=list[ResultRow])
    last_sequence: int = 0
    event_count: int = 0
    digest: bytes = b""
    log_count: int = 0
    result_count: int = 0

    def __post_init__(self) -> None:
        self.last_sequence = self.run.last_sequence
        self.event_count = self.lease.event_count
        self.digest = self.lease.digest
        self.log_count = self.run.log_count
        self.result_count = self.run.result_count

    def append(self, tx: Transaction, batch: PreparedBatch, skip: int) -> Answer:
        """Take a batch after its first `skip` events."""
        fault = self._differs(tx, batch, skip) or self._misfit(batch, skip)
        if fault:
            return self._break(tx, fault)

        rows = batch.rows[skip:] if skip else batch.rows
        if rows:
            self._add(tx, batch, rows)
        if batch.fault and self.lease.end is None:
            return self._break(tx, batch.fault)
        return Committed(self.lease.last_sequence if self.lease.end else self.last_sequence, ended=not self.live)

    @property
    def live(self) -> bool:
        """True as long as the attempt goes on. What ended with it has been written by then."""
        return self.lease.end is None

    def reached(self) -> Reached:
        """Say how far the run and the lease got."""
        return Reached(
            self.run.id,
            self.lease.id,
            self.last_sequence,
            self.event_count,
            self.digest,
            self.log_count,
            self.result_count,
            self.run.attempt_count,
        )

    def _bring_up_to_date(self) -> None:
        self.run = replace(
            self.run, last_sequence=self.last_sequence, log_count=self.log_count, result_count=self.result_count
        )
        self.lease = replace(
            self.lease, last_sequence=self.last_sequence, event_count=self.event_count, digest=self.digest
        )

    def _write_counts(self, tx: Transaction) -> None:
        leases.advance_leases(tx, [self.reached()])
        if self.progress is not None:
            runs.put_progress(tx, {self.run.id: self.progress})

    def _differs(self, tx: Transaction, batch: PreparedBatch, skip: int) -> str:
        """Compare what is stored already; says what is wrong."""
        if skip == 0:
            return ""

        first, last = batch.first_sequence, batch.first_sequence + skip - 1
        # The tail of it may have been added by an earlier batch of this very transaction.
        first_added = self.rows[0].sequence if self.rows else last + 1
        stored = events.payloads(tx, self.run.id, first, min(last, first_added - 1)) if first < first_added else []
        stored += [row.payload for row in self.rows if first <= row.sequence <= last]
        for row, payload in zip(batch.rows, stored, strict=False):
            if row.payload != payload:
                return f"event {row.sequence} came again with other bytes than are stored"
        return "" if len(stored) >= skip else f"events {first} to {last} are not all stored"

    def _misfit(self, batch: PreparedBatch, skip: int) -> str:
        """Check what needs to know how the attempt stands; says what is wrong."""
        if batch.rows and batch.attempt != self.lease.attempt:
            return f"event {batch.first_sequence} is of attempt {batch.attempt}, the lease of {self.lease.attempt}"

        started_here = self.run.state is RunState.RUNNING
        if batch.started is not None and started_here and batch.started[0] >= batch.first_sequence + skip:
            return f"event {batch.started[0]} is a second AttemptStarted"
        if batch.unstarted is not None and not started_here and batch.unstarted >= batch.first_sequence + skip:
            return f"event {batch.unstarted} came before AttemptStarted"
        if batch.ended is not None and batch.ended.outcome is AttemptOutcome.UNSPECIFIED:
            return f"event {batch.last_sequence} ends the attempt with an outcome that is not known"
        return ""

    def _add(self, tx: Transaction, batch: PreparedBatch, rows: Sequence[EventRow]) -> None:
        run, lease = self.run, self.lease
        if self.event_count == 0:
            attempts.insert_attempt(tx, run.id, lease.id, Attempt(lease.attempt, lease.runner_id, CodeVersion()))
            self.run = replace(run, attempt_count=lease.attempt)

        before_end = rows[:-1] if batch.ended is not None else rows
        first = rows[0].sequence
        new_results = [result for result in batch.results if result.sequence >= first]

        self.rows.extend(rows)
        self.results.extend(new_results)
        self.digest = digests.chain(self.digest, [row.payload for row in before_end])
        self.last_sequence = rows[-1].sequence
        self.event_count += len(rows)
        self.log_count += sum(row.kind is EventKind.LOG for row in rows)
        self.result_count += len(new_results)
        if batch.started is not None and batch.started[0] >= first:
            self._start(tx, batch.started[1])
        if batch.ended is not None:
            self._end(tx, batch.ended)

    def _start(self, tx: Transaction, started: AttemptStarted) -> None:
        run, lease = self.run, self.lease
        check(run.state, RunState.RUNNING, Actor.ATTEMPT_STARTED)

        attempts.update_attempt(
            tx, run.id, Attempt(lease.attempt, lease.runner_id, started.code, start_time_us=started.time_us)
        )
        superseded = 0
        if lease.attempt > 1:
            superseded = results.supersede(tx, run.id, started.restored_sequence, lease.attempt)

        start_time_us = run.start_time_us if run.start_time_us is not None else started.time_us
        if not runs.transition(
            tx, run.id, [run.state], RunState.RUNNING, start_time_us=start_time_us, next_attempt_time_us=None
        ):
            raise LookupError(f"run {run.id} is not {run.state.name} any more")

        self.run = replace(run, state=RunState.RUNNING, start_time_us=start_time_us)
        self.result_count -= superseded
        tx.wake("runs")
        tx.wake("instances")

    def _end(self, tx: Transaction, ended: AttemptEnded) -> None:
        self._bring_up_to_date()
        lease = self.lease
        log_complete = bool(ended.digest) and ended.digest == lease.digest and ended.event_count == lease.event_count
        failure = ended.failure
        if failure is None and ended.outcome is AttemptOutcome.FAILED:
            failure = Failure(FailureKind.PROCESS_EXIT, "the attempt failed without saying why")

        self._write_counts(tx)
        change = ending.apply_end(
            tx,
            self.run,
            lease,
            ending.AttemptEnd(
                sequence=lease.last_sequence,
                event_count=lease.event_count,
                time_us=ended.time_us,
                outcome=ended.outcome,
                failure=failure,
                log_complete=log_complete,
                process_gone=True,
                lease_end=LeaseEnd.ENDED,
                actor=Actor.ATTEMPT_ENDED,
            ),
            self.progress,
        )
        self._ended(LeaseEnd.ENDED, [change])

    def _break(self, tx: Transaction, fault: str) -> Fenced:
        """End the attempt as KIND_STORAGE; what was added before the fault stays."""
        self._bring_up_to_date()
        self._write_counts(tx)
        failure = Failure(FailureKind.STORAGE, f"what its runner sent does not add up: {fault}")
        rows = ending.give_up(tx, self.run, self.lease, failure, LeaseEnd.BROKEN, Actor.ATTEMPT_ENDED)
        self._ended(LeaseEnd.BROKEN, rows)
        return Fenced(failure.message)

    def _ended(self, end: LeaseEnd, rows: Sequence[EventRow]) -> None:
        self.rows.extend(rows)
        self.run = replace(self.run, lease_id=None)
        self.last_sequence = rows[-1].sequence
        self.lease = replace(self.lease, end=end)
