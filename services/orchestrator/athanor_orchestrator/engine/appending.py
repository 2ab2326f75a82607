"""Storing batches: one transaction for everything that waits, by the append rule.

Nothing here touches memory that outlives the call: a command may be carried out more than once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from athanor_orchestrator.domain import append_rule, digests
from athanor_orchestrator.domain.event_columns import EventColumns, in_columns
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
    Reach,
    ResultRow,
    Run,
    RunState,
    Standing,
)
from athanor_orchestrator.domain.run_state import Actor, check
from athanor_orchestrator.engine import ending, tails
from athanor_orchestrator.engine.batches import PreparedBatch
from athanor_orchestrator.engine.codec import AttemptEnded, AttemptStarted
from athanor_orchestrator.storage import attempts, counts, events, leases, results, runners, runs, standings
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
    known = standings.lock_standings(tx, lease_ids)
    ledgers = {
        standing.id: _ledger(standing, progress.get(standing.run_id))
        for standing in known.values()
        if standing.current_lease_id == standing.id
    }
    answers = [_answer(tx, arrival, known, ledgers) for arrival in arrivals]

    # By run ids, in which order the locks were taken: rows of several runs are never written crosswise.
    touched = sorted((ledger for ledger in ledgers.values() if ledger.events), key=lambda ledger: ledger.run_id)
    events.append_columns(tx, [(ledger.run_id, columns) for ledger in touched for columns in ledger.events])
    results.append_results(tx, [(ledger.run_id, ledger.results) for ledger in touched if ledger.results])
    # What ended with its attempt has been written by then.
    counts.write_counts(tx, [ledger.reach for ledger in touched if ledger.standing.end is None])
    # Also where nothing is new, as after a rewind: the caller takes all of it for stored.
    live = [ledger for ledger in ledgers.values() if ledger.standing.end is None]
    unwritten = {ledger.run_id: ledger.progress for ledger in live if ledger.progress is not None}
    runs.put_progress(tx, unwritten)
    for ledger in ledgers.values():
        run_id = ledger.run_id
        if ledger.told or run_id in unwritten:
            tx.wake(f"run:{run_id}")
        elif ledger.events:
            tx.wake(tails.topic(run_id))
    return answers


def _answer(
    tx: Transaction,
    arrival: Arrival,
    known: Mapping[str, Standing],
    ledgers: Mapping[str, "_Ledger"],
) -> Answer:
    batch = arrival.batch
    ledger = ledgers.get(batch.lease_id)
    standing = known.get(batch.lease_id) if ledger is None else ledger.standing
    if standing is not None and standing.runner_id != arrival.runner_id:
        standing = None

    decision = append_rule.decide(
        standing,
        current_lease_id=None if standing is None else standing.current_lease_id,
        last_sequence=0 if ledger is None else ledger.reach.last_sequence,
        session_number=arrival.session_number,
        first_sequence=batch.first_sequence,
        count=len(batch.events),
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


def _ledger(it: Standing, progress: Progress | None) -> "_Ledger":
    reach = Reach(
        it.run_id,
        it.id,
        it.run_last_sequence,
        it.attempt_count,
        it.log_count,
        it.result_count,
        it.event_count,
        it.digest,
    )
    return _Ledger(it.run_id, it, reach, progress)


@dataclass(slots=True)
class _Ledger:
    """A run under its live lease while batches are added: as it will stand, with what is to be appended."""

    run_id: str
    standing: Standing  # but for what `reach` says, until the lease has ended
    reach: Reach
    progress: Progress | None
    events: list[EventColumns] = field(default_factory=list[EventColumns])
    results: list[ResultRow] = field(default_factory=list[ResultRow])
    told: bool = False  # something of the run changed beside its log that watchers are told

    def append(self, tx: Transaction, batch: PreparedBatch, skip: int) -> Answer:
        """Take a batch after its first `skip` events."""
        fault = self._differs(tx, batch, skip) or self._misfit(batch, skip)
        if fault:
            return self._break(tx, fault)

        new = batch.events.behind(skip)
        if new:
            self._add(tx, batch, new)
        if batch.fault and self.standing.end is None:
            return self._break(tx, batch.fault)
        return Committed(self.reach.last_sequence, ended=self.standing.end is not None)

    def _differs(self, tx: Transaction, batch: PreparedBatch, skip: int) -> str:
        """Compare what is stored already; says what is wrong."""
        if skip == 0:
            return ""

        first, last = batch.first_sequence, batch.first_sequence + skip - 1
        # The tail of it may have been added by an earlier batch of this very transaction.
        first_added = self.events[0].first_sequence if self.events else last + 1
        stored = events.payloads(tx, self.run_id, first, min(last, first_added - 1)) if first < first_added else []
        for added in self.events:
            stored += added.payloads[max(first - added.first_sequence, 0) : max(last + 1 - added.first_sequence, 0)]
        for sequence, (payload, known) in enumerate(zip(batch.events.payloads, stored, strict=False), first):
            if payload != known:
                return f"event {sequence} came again with other bytes than are stored"
        return "" if len(stored) >= skip else f"events {first} to {last} are not all stored"

    def _misfit(self, batch: PreparedBatch, skip: int) -> str:
        """Check what needs to know how the attempt stands; says what is wrong."""
        if batch.events and batch.events.attempt != self.standing.attempt:
            attempts_differ = f"is of attempt {batch.events.attempt}, the lease of {self.standing.attempt}"
            return f"event {batch.first_sequence} {attempts_differ}"

        started_here = self.standing.state is RunState.RUNNING
        if batch.started is not None and started_here and batch.started[0] >= batch.first_sequence + skip:
            return f"event {batch.started[0]} is a second AttemptStarted"
        if batch.unstarted is not None and not started_here and batch.unstarted >= batch.first_sequence + skip:
            return f"event {batch.unstarted} came before AttemptStarted"
        if batch.ended is not None and batch.ended.outcome is AttemptOutcome.UNSPECIFIED:
            return f"event {batch.last_sequence} ends the attempt with an outcome that is not known"
        return ""

    def _add(self, tx: Transaction, batch: PreparedBatch, new: EventColumns) -> None:
        lease, before = self.standing, self.reach
        if before.event_count == 0:
            attempts.insert_attempt(tx, self.run_id, lease.id, Attempt(lease.attempt, lease.runner_id, CodeVersion()))
            self.told = True

        before_end = new.payloads[:-1] if batch.ended is not None else new.payloads
        first = new.first_sequence
        new_results = [result for result in batch.results if result.sequence >= first]

        self.events.append(new)
        self.results.extend(new_results)
        self.reach = Reach(
            before.run_id,
            before.lease_id,
            last_sequence=new.last_sequence,
            attempt_count=lease.attempt if before.event_count == 0 else before.attempt_count,
            log_count=before.log_count + new.kinds.count(EventKind.LOG.value),
            result_count=before.result_count + len(new_results),
            event_count=before.event_count + len(new),
            digest=digests.chain(before.digest, before_end),
        )
        if batch.started is not None and batch.started[0] >= first:
            self._start(tx, batch.started[1])
        if batch.ended is not None:
            self._end(tx, batch.ended)

    def _start(self, tx: Transaction, started: AttemptStarted) -> None:
        it = self.standing
        check(it.state, RunState.RUNNING, Actor.ATTEMPT_STARTED)

        attempts.update_attempt(
            tx, it.run_id, Attempt(it.attempt, it.runner_id, started.code, start_time_us=started.time_us)
        )
        superseded = 0
        if it.attempt > 1:
            superseded = results.supersede(tx, it.run_id, started.restored_sequence, it.attempt)

        self.reach = self.reach._replace(result_count=self.reach.result_count - superseded)

        start_time_us = it.start_time_us if it.start_time_us is not None else started.time_us
        if not runs.transition(
            tx, it.run_id, [it.state], RunState.RUNNING, start_time_us=start_time_us, next_attempt_time_us=None
        ):
            raise LookupError(f"run {it.run_id} is not {it.state.name} any more")

        self.standing = it._replace(state=RunState.RUNNING, start_time_us=start_time_us)
        self.told = True
        tx.wake("runs")
        tx.wake("instances")

    def _end(self, tx: Transaction, ended: AttemptEnded) -> None:
        run, lease = self._settle(tx)
        log_complete = bool(ended.digest) and ended.digest == lease.digest and ended.event_count == lease.event_count
        failure = ended.failure
        if failure is None and ended.outcome is AttemptOutcome.FAILED:
            failure = Failure(FailureKind.PROCESS_EXIT, "the attempt failed without saying why")

        change = ending.apply_end(
            tx,
            run,
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
        run, lease = self._settle(tx)
        failure = Failure(FailureKind.STORAGE, f"what its runner sent does not add up: {fault}")
        rows = ending.give_up(tx, run, lease, failure, LeaseEnd.BROKEN, Actor.ATTEMPT_ENDED)
        self._ended(LeaseEnd.BROKEN, rows)
        return Fenced(failure.message)

    def _settle(self, tx: Transaction) -> tuple[Run, Lease]:
        """Have run and lease stand in the database as they do with what was added, and read them whole."""
        counts.write_counts(tx, [self.reach])
        run_id, lease_id = self.run_id, self.standing.id
        return runs.lock_runs(tx, [run_id])[run_id], leases.get_leases(tx, [lease_id])[lease_id]

    def _ended(self, end: LeaseEnd, rows: Sequence[EventRow]) -> None:
        self.events += in_columns(rows)
        self.standing = self.standing._replace(end=end, last_sequence=self.reach.last_sequence, current_lease_id=None)
        self.told = True
