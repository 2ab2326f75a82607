"""Reading a batch before any transaction: decode its events and check all that can be checked without the database.

What is found wrong is kept as a fault beside the events in front of it, which are good and are stored.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from athanor_orchestrator.domain.records import EventKind, EventRow, ResultRow
from athanor_orchestrator.engine.codec import AttemptEnded, AttemptStarted, MalformedEvent, decode
from athanor_orchestrator.engine.messages import EventBatch

EVENT_BYTES = 1024 * 1024  # of one event at most: a constant of the protocol

_NEEDS_START = frozenset({EventKind.RESULT, EventKind.CHECKPOINT})


@dataclass(frozen=True, slots=True)
class PreparedBatch:
    """A batch as records. Its rows are consecutive from `first_sequence` and of one attempt."""

    lease_id: str
    first_sequence: int
    attempt: int  # of all rows; 0 when there is none
    rows: Sequence[EventRow]
    results: Sequence[ResultRow] = ()
    started: tuple[int, AttemptStarted] | None = None  # with its sequence
    ended: AttemptEnded | None = None  # the last row
    unstarted: int | None = None  # sequence of the first result or checkpoint with no AttemptStarted before it in here
    fault: str = ""  # what is wrong with the event behind the last row; empty: nothing
    size: int = 0  # bytes of the events

    @property
    def last_sequence(self) -> int:
        """Sequence of the last row; `first_sequence` - 1 when there is none."""
        return self.first_sequence + len(self.rows) - 1


def prepare(batch: EventBatch) -> PreparedBatch:
    """Decode a batch."""
    rows: list[EventRow] = []
    results: list[ResultRow] = []
    started: tuple[int, AttemptStarted] | None = None
    ended: AttemptEnded | None = None
    unstarted: int | None = None
    fault = ""
    attempt = 0
    size = 0
    sequence = batch.first_sequence

    for payload in batch.events:
        size += len(payload)
        if len(payload) > EVENT_BYTES:
            fault = f"event {sequence} is {len(payload)} bytes, an event at most {EVENT_BYTES}"
            break
        try:
            event = decode(payload)
        except MalformedEvent as error:
            fault = f"event {sequence} is {error}"
            break

        row = event.row
        if not rows:
            attempt = row.attempt

        fault = _fault(row, sequence, attempt, started is not None, ended is not None)
        if fault:
            break

        if event.result is not None:
            results.append(event.result)
        elif event.started is not None:
            started = (sequence, event.started)
        elif event.ended is not None:
            ended = event.ended
        if started is None and unstarted is None and row.kind in _NEEDS_START:
            unstarted = sequence

        rows.append(row)
        sequence += 1

    return PreparedBatch(
        lease_id=batch.lease_id,
        first_sequence=batch.first_sequence,
        attempt=attempt,
        rows=rows,
        results=results,
        started=started,
        ended=ended,
        unstarted=unstarted,
        fault=fault,
        size=size,
    )


def _fault(row: EventRow, sequence: int, attempt: int, started: bool, ended: bool) -> str:
    if sequence < 1:
        return f"a batch began with event {sequence}"
    if row.sequence != sequence:
        return f"an event numbered {row.sequence} came in the place of {sequence}"
    if row.attempt != attempt:
        return f"event {sequence} is of attempt {row.attempt}, those before it are of attempt {attempt}"
    if ended:
        return f"event {sequence} came after the attempt's end"
    if row.kind is EventKind.STATE_CHANGE:
        return f"event {sequence} is a StateChange, which only the orchestrator writes"
    if row.kind is EventKind.ATTEMPT_STARTED and started:
        return f"event {sequence} is a second AttemptStarted"
    return ""
