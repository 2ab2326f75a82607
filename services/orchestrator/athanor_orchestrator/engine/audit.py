"""The completeness certificate: a fold over a run's log as it is stored.

Memory is bounded: by the number of attempts and by the number of faults that are told, never by the length of the log.
What is found depends on the rows alone, so the same log gets the same certificate, whoever asks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from athanor_orchestrator.domain import digests
from athanor_orchestrator.domain.certificate import AttemptFinding, Certificate, Fault, FaultKind, Verdict
from athanor_orchestrator.domain.records import (
    AttemptAccount,
    EventKind,
    ResultRow,
    Run,
    RunState,
    StoredEvent,
)
from athanor_orchestrator.domain.run_state import TERMINAL
from athanor_orchestrator.engine import codec, tallies
from athanor_orchestrator.engine.tallies import Tally
from athanor_orchestrator.storage.columns import storable
from athanor_orchestrator.storage.results import stored_key

MOST_FAULTS = 1000  # that a certificate tells one by one


@dataclass(frozen=True, slots=True)
class Claims:
    """What is kept beside a run's log, all of it from one snapshot: the log is checked against it."""

    run: Run
    attempts: tuple[AttemptAccount, ...]
    stored: tuple[int, int] | None  # numbers of the first and the last event that is stored
    last_result: int  # number of the last row of results; 0: none

    @property
    def last_sequence(self) -> int:
        """Where the log ends, by whoever says the most: a tail is missed also where the run's row has forgotten it."""
        # Behind the end of an attempt comes the StateChange that follows from it, from the same transaction.
        ends = [attempt.last_sequence + (1 if attempt.outcome else 0) for attempt in self.attempts]
        return max([self.run.last_sequence, *ends])


class Audit:
    """How far a log has been read, and what was found up to there."""

    def __init__(self, claims: Claims) -> None:
        self.position = 0  # everything up to this has been judged
        self.last_sequence = claims.last_sequence
        self._claims = claims
        self._faults = Faults()
        self._tallies = {account.number: Tally(account) for account in claims.attempts}
        self._event_count = 0
        self._log_count = 0
        self._result_count = 0  # of rows that are not superseded
        self._torn = False  # events are missing, or their bytes are not what they were: then nothing else adds up
        self._over: tuple[int, RunState] | None = None  # the event that ended the run, and how it ended
        self._end_is_known = False  # the event at `position` is there, and its bytes are good

        if claims.stored is not None and claims.stored[0] < 1:
            detail = "stored in front of the log's beginning"
            self._faults.add(FaultKind.SURPLUS, claims.stored[0], min(0, claims.stored[1]), 0, detail)

    def take(self, page: Sequence[StoredEvent], results: Mapping[int, ResultRow], *, position: int) -> None:
        """Judge the events that are stored behind `self.position` up to `position`, with their rows of results."""
        for event in page:
            if event.sequence > self.position + 1:
                self._miss(self.position + 1, event.sequence - 1)
            self.position = event.sequence
            self._judge(event, results.get(event.sequence))
        if position > self.position:
            self._miss(self.position + 1, position)
            self.position = position

    def _miss(self, first: int, last: int) -> None:
        self._tear(first, last)
        self._end_is_known = False
        self._faults.add(FaultKind.MISSING, first, last, 0, "not there")

    def _tear(self, first: int, last: int) -> None:
        self._torn = True
        for tally in self._tallies.values():
            if tally.may_have(first, last):
                tally.torn = True

    def _judge(self, event: StoredEvent, result: ResultRow | None) -> None:
        self._event_count += 1
        self._end_is_known = False
        sequence = event.sequence

        wrong, decoded = inspect(event)
        if wrong:
            self._faults.add(FaultKind.ALTERED, sequence, sequence, _number(event.attempt), wrong)
        if decoded is None:
            self._tear(sequence, sequence)
            return

        row = decoded.row
        self._end_is_known = True
        if self._over is not None:
            detail = f"stored behind the run's end, which is event {self._over[0]}"
            self._faults.add(FaultKind.SURPLUS, sequence, sequence, row.attempt, detail)
        if row.kind is EventKind.STATE_CHANGE:
            state = codec.new_state(row.payload)
            if self._over is None and state is not None and state in TERMINAL:
                self._over = sequence, state
        self._log_count += row.kind is EventKind.LOG
        self._match(decoded, result)

        if row.attempt == 0:
            return
        tally = self._tallies.get(row.attempt)
        if tally is None:
            self._disagree(f"of attempt {row.attempt}, which has no row", sequence, row.attempt)
            return
        tally.take(decoded, checked=event.checksum is not None)

    def _match(self, decoded: codec.Decoded, result: ResultRow | None) -> None:
        """Compare a result with its row."""
        said, sequence, attempt = decoded.result, decoded.row.sequence, decoded.row.attempt
        if result is None:
            if said is not None:
                self._disagree("a result without its row in run_results", sequence, attempt)
            return
        self._result_count += not result.superseded
        tally = self._tallies.get(attempt)
        if tally is not None:
            tally.place(result)
        if said is None:
            self._disagree("no result, and yet it has a row in run_results", sequence, attempt)
            return
        differing = [
            name
            for name, same in (
                ("attempt", result.attempt == said.attempt),
                ("key", result.key == stored_key(said.key)),
                # A database may refuse a value for reasons of its own; then it is NULL.
                ("value", result.value_json in (None, said.value_json)),
                ("time_us", result.time_us == said.time_us),
            )
            if not same
        ]
        if differing:
            self._disagree(f"its row in run_results says otherwise: {', '.join(differing)}", sequence, attempt)

    def _disagree(self, detail: str, sequence: int = 0, attempt: int = 0) -> None:
        self._faults.add(FaultKind.DISAGREEMENT, sequence, sequence, attempt, detail)

    def conclude(self) -> Certificate:
        """Return the certificate. The log has been taken up to `last_sequence`; this may be called once."""
        self._conclude_end()
        findings: list[AttemptFinding] = []
        for tally in self._tallies.values():
            faults, finding = tally.conclude()
            for fault in faults:
                self._faults.put(fault)
            findings.append(finding)
        if not self._torn:
            self._conclude_counters()

        faults, more = self._faults.told()
        if faults:
            verdict = Verdict.DAMAGED
        elif any(finding.verdict is Verdict.INCOMPLETE for finding in findings):
            verdict = Verdict.INCOMPLETE
        else:
            verdict = Verdict.COMPLETE if self._claims.run.state in TERMINAL else Verdict.UNDER_WAY
        return Certificate(verdict, self.last_sequence, self._event_count, tuple(findings), tuple(faults), more)

    def _conclude_end(self) -> None:
        claims, run, over = self._claims, self._claims.run, self._over
        if claims.stored is not None and claims.stored[1] > self.last_sequence:
            first = max(self.last_sequence + 1, claims.stored[0])
            self._faults.add(FaultKind.SURPLUS, first, claims.stored[1], 0, "stored behind the log's end")
        if run.last_sequence != self.last_sequence:
            self._disagree(
                f"last_sequence of the run's row is {run.last_sequence}, the log reaches {self.last_sequence}"
            )
        if claims.last_result > self.last_sequence:
            self._disagree(f"run_results has a row for event {claims.last_result}, behind the log's end")

        if over is not None and over[1] is not run.state:
            self._disagree(f"the run is {run.state.name}, and its log ends it as {over[1].name}", over[0])
        elif over is None and run.state in TERMINAL and self._end_is_known:
            self._disagree(f"the run is {run.state.name}, and its log does not say so")

    def _conclude_counters(self) -> None:
        run, wrong = self._claims.run, list[str]()
        if run.log_count != self._log_count:
            wrong.append(f"log_count is {run.log_count}, the log has {self._log_count}")
        # Of a run that goes on, an attempt may have superseded results while its log was read.
        if run.state in TERMINAL:
            if run.result_count != self._result_count:
                wrong.append(f"result_count is {run.result_count}, rows that are not superseded {self._result_count}")
            wrong += tallies.misplaced(self._tallies.values())
        for detail in wrong:
            self._disagree(detail)


def inspect(event: StoredEvent) -> tuple[str, codec.Decoded | None]:
    """Say what is wrong with a row by itself (empty: nothing), and what its bytes are, unless it is they that are."""
    payload = event.payload
    if not event.is_bytes:
        return "its bytes were replaced by text", None
    if event.checksum is not None and event.checksum != digests.checksum(payload):
        return "its bytes do not fit their checksum", None
    try:
        decoded = codec.decode(payload)
    except codec.MalformedEvent as error:
        return f"its bytes are {error}", None
    row = decoded.row
    if row.sequence != event.sequence:
        return f"its bytes are those of event {row.sequence}", None

    filed = event.attempt, event.kind, event.level, event.key, event.time_us
    right = row.attempt, row.kind, row.level, storable(row.key), row.time_us
    if filed == right:
        return "", decoded
    names = ("attempt", "kind", "level", "key", "time_us")
    differing = [name for name, found, wanted in zip(names, filed, right, strict=True) if found != wanted]
    return f"the columns beside its bytes say otherwise: {', '.join(differing)}", decoded


class Faults:
    """What is wrong, with neighbours of a kind in one range, and only so many of them."""

    def __init__(self) -> None:
        self._told: list[Fault] = []
        self._latest: Fault | None = None  # the next one may be its continuation
        self._more = 0

    def add(self, kind: FaultKind, first: int, last: int, attempt: int, detail: str) -> None:
        """Note what is wrong with the events from `first` to `last`."""
        self.put(Fault(kind, first, last, attempt, detail))

    def put(self, fault: Fault) -> None:
        """Note a fault."""
        if self._latest is not None and _continues(self._latest, fault):
            self._latest = replace(self._latest, last_sequence=fault.last_sequence)
            return
        if self._latest is not None:
            self._keep(self._latest)
        self._latest = fault

    def _keep(self, fault: Fault) -> None:
        if len(self._told) < MOST_FAULTS:
            self._told.append(fault)
        else:
            self._more += 1

    def told(self) -> tuple[list[Fault], int]:
        """Return the faults, those of certain events first and in their order, and how many more there are."""
        if self._latest is not None:
            self._keep(self._latest)
            self._latest = None
        return sorted(self._told, key=lambda fault: (fault.first_sequence == 0, fault.first_sequence)), self._more


def _continues(fault: Fault, next: Fault) -> bool:
    following = fault.first_sequence > 0 and next.first_sequence == fault.last_sequence + 1
    return following and (fault.kind, fault.attempt, fault.detail) == (next.kind, next.attempt, next.detail)


def _number(attempt: object) -> int:
    return attempt if isinstance(attempt, int) and 0 < attempt < 2**31 else 0
