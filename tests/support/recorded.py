"""A run's log in memory with all that is kept beside it, as the orchestrator stores both; and hands to spoil it.

log = record(Plan("llr"), Plan("lc", "lost"))
log.delete(3)
log.certificate().faults
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from athanor.v1 import run_event_pb2, run_pb2
from athanor_orchestrator.domain.certificate import Certificate, FaultKind
from athanor_orchestrator.domain.ids import new_id
from athanor_orchestrator.domain.records import (
    AttemptAccount,
    AttemptOutcome,
    EventRow,
    Failure,
    FailureKind,
    ResultRow,
    Run,
    RunState,
    StoredEvent,
)
from athanor_orchestrator.engine import codec
from athanor_orchestrator.engine.audit import Audit, Claims

from tests.support.rows import EPOCH_US, a_run, an_instance
from tests.support.runner_script import Script

ENDS = ("completed", "failed", "lost", "no digest", "under way")


@dataclass(frozen=True)
class Plan:
    """One attempt: what it records (l a log entry, r a result, c a checkpoint), how it ends, where it resumed from."""

    records: str = "llrl"
    end: str = "completed"
    restores: bool = False  # from the newest checkpoint; else from the beginning


def record(*plans: Plan, old: bool = False) -> "Recorded":
    """Record a run as it would be with these attempts; `old`: before checksums and accounts were kept."""
    return _Recording(old).run(*plans)


@dataclass
class Recorded:
    """The log and what is beside it."""

    run: Run
    accounts: list[AttemptAccount]
    events: dict[int, StoredEvent]
    results: dict[int, ResultRow]

    @property
    def last(self) -> int:
        return self.run.last_sequence

    @property
    def claims(self) -> Claims:
        stored = (min(self.events), max(self.events)) if self.events else None
        return Claims(self.run, tuple(self.accounts), stored, max(self.results, default=0))

    def delete(self, *sequences: int) -> None:
        for sequence in sequences:
            del self.events[sequence]

    def change(self, sequence: int, **columns: Any) -> None:
        self.events[sequence] = replace(self.events[sequence], **columns)

    def flip(self, sequence: int, place: int = 0, *, hide: bool = False) -> None:
        """Change one bit of an event's bytes; with `hide` its checksum too."""
        payload = bytearray(self.events[sequence].payload)
        payload[place // 8 % len(payload)] ^= 1 << place % 8
        checksum = zlib.crc32(payload) if hide else self.events[sequence].checksum
        self.change(sequence, payload=bytes(payload), checksum=checksum)

    def certificate(self, page: int = 1000) -> Certificate:
        """Read it in pages of so many events."""
        audit = Audit(self.claims)
        while audit.position < audit.last_sequence:
            rows = [self.events[n] for n in sorted(self.events) if audit.position < n <= audit.last_sequence][:page]
            position = rows[-1].sequence if len(rows) == page else audit.last_sequence
            audit.take(rows, self.results, position=position)
            assert audit.position == position
        return audit.conclude()

    def named(self, *kinds: FaultKind, page: int = 1000) -> set[int]:
        """The sequences that the certificate names."""
        return {
            sequence
            for fault in self.certificate(page).faults
            if not kinds or fault.kind in kinds
            for sequence in range(fault.first_sequence, fault.last_sequence + 1)
        }


class _Recording:
    def __init__(self, old: bool) -> None:
        self.old = old
        self.rows: list[EventRow] = []
        self.results: dict[int, ResultRow] = {}
        self.accounts: list[AttemptAccount] = []
        self.state = RunState.PENDING
        self.checkpoint = 0

    @property
    def next(self) -> int:
        return len(self.rows) + 1

    def run(self, *plans: Plan) -> Recorded:
        self._move(RunState.PENDING, "created")
        for number, plan in enumerate(plans, 1):
            self._attempt(number, plan, final=number == len(plans))
        if not plans:
            self._move(RunState.CANCELLED, "CancelRun")
        standing = [row for row in self.results.values() if not row.superseded]
        run = a_run(
            an_instance(),
            id=new_id(),
            state=self.state,
            last_sequence=len(self.rows),
            log_count=sum(row.level is not None for row in self.rows),
            result_count=len(standing),
            attempt_count=len(plans),
        )
        events = {row.sequence: self._stored(row) for row in self.rows}
        return Recorded(run, self.accounts, events, self.results)

    def _stored(self, row: EventRow) -> StoredEvent:
        checksum = None if self.old else zlib.crc32(row.payload)
        return StoredEvent(
            row.sequence, row.attempt, row.kind.value, row.level, row.key, row.time_us, row.payload, checksum
        )

    def _add(self, payload: bytes) -> codec.Decoded:
        decoded = codec.decode(payload)
        self.rows.append(decoded.row)
        return decoded

    def _move(self, state: RunState, reason: str) -> None:
        self.state = state
        self.rows.append(codec.state_change(self.next, 0, EPOCH_US, state, reason))

    def _attempt(self, number: int, plan: Plan, *, final: bool) -> None:
        script = Script("lease", self.next, number)
        restored = self.checkpoint if plan.restores else 0
        self._add(script.started(restored))
        self.state = RunState.RUNNING
        for sequence, row in self.results.items():
            self.results[sequence] = replace(row, superseded=row.superseded or sequence > restored)

        for what in plan.records:
            make: Callable[[], bytes] = {"l": script.log, "r": script.result, "c": script.checkpoint}[what]
            said = self._add(make())
            if said.result is not None:
                self.results[said.row.sequence] = said.result
            if what == "c":
                self.checkpoint = said.row.sequence

        digest, count, ended = script.digest, script.count, plan.end != "under way"
        outcome = AttemptOutcome.UNSPECIFIED
        if ended:
            outcome = AttemptOutcome.COMPLETED if plan.end == "completed" else AttemptOutcome.FAILED
            count += 1
            if plan.end == "lost":
                failure = Failure(FailureKind.RUNNER_LOST, "gone")
                self.rows.append(codec.attempt_ended(self.next, number, EPOCH_US, failure, count))
            else:
                code = run_pb2.ATTEMPT_OUTCOME_COMPLETED if plan.end == "completed" else run_pb2.ATTEMPT_OUTCOME_FAILED
                kind = None if plan.end == "completed" else 1
                self._add(script.ended(code, kind, digest=b"" if plan.end == "no digest" else None))
        self.accounts.append(
            AttemptAccount(
                number,
                outcome,
                log_complete=plan.end in ("completed", "failed"),
                last_sequence=len(self.rows),
                event_count=None if self.old and ended else count,
                digest=None if self.old and ended else digest,
            )
        )
        if ended:
            over = RunState.COMPLETED if plan.end == "completed" else RunState.FAILED
            self._move(over if final else RunState.PENDING, "an attempt ended")


def other_message(payload: bytes, message: str = "another text") -> bytes:
    """Return a log entry's bytes with another text, all else as it was."""
    event = run_event_pb2.RunEvent.FromString(payload)
    event.log.message = message
    return event.SerializeToString(deterministic=True)


def renumbered(stored: StoredEvent, sequence: int) -> StoredEvent:
    """Return an event as it would be stored with another number."""
    event = run_event_pb2.RunEvent.FromString(stored.payload)
    event.sequence = sequence
    payload = event.SerializeToString(deterministic=True)
    return replace(stored, sequence=sequence, payload=payload, checksum=zlib.crc32(payload))
