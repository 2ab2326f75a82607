"""Reading a batch before any transaction: decode its events and check all that can be checked without the database.

What is found wrong is kept as a fault beside the events in front of it, which are good and are stored.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from athanor_orchestrator.domain.event_columns import EventColumns
from athanor_orchestrator.domain.records import EventKind, EventRow, ResultRow
from athanor_orchestrator.engine.codec import AttemptEnded, AttemptStarted, MalformedEvent, decode
from athanor_orchestrator.engine.log_columns import begins_as_log_entry, read_log_entries
from athanor_orchestrator.engine.messages import EventBatch

EVENT_BYTES = 1024 * 1024  # of one event at most: a constant of the protocol

_NEEDS_START = frozenset({EventKind.RESULT, EventKind.CHECKPOINT})
_FEW = 5  # log entries in a row that are read as quickly one by one


@dataclass(frozen=True, slots=True)
class PreparedBatch:
    """A batch as records."""

    lease_id: str
    events: EventColumns  # of attempt 0 when there is none
    results: Sequence[ResultRow] = ()
    started: tuple[int, AttemptStarted] | None = None  # with its sequence
    ended: AttemptEnded | None = None  # the last event
    unstarted: int | None = None  # sequence of the first result or checkpoint with no AttemptStarted before it in here
    fault: str = ""  # what is wrong with the event behind the last one; empty: nothing

    @property
    def first_sequence(self) -> int:
        """Sequence of the first event, or of the one that it ought to be."""
        return self.events.first_sequence

    @property
    def last_sequence(self) -> int:
        """Sequence of the last event; `first_sequence` - 1 when there is none."""
        return self.events.last_sequence


def prepare(batches: Iterable[EventBatch]) -> list[PreparedBatch]:
    """Decode batches: those of log entries alone, which most are, all at once, and others each by itself."""
    batches = list(batches)
    plain = [_is_plain(batch.events) for batch in batches]
    entries = read_log_entries(
        [payload for batch, so in zip(batches, plain, strict=True) if so for payload in batch.events]
    )

    prepared: list[PreparedBatch] = []
    begin = 0
    for batch, so in zip(batches, plain, strict=True):
        columns = None
        if so and entries is not None:
            columns = entries.columns(begin, begin := begin + len(batch.events), batch.first_sequence)
        if columns is None:
            prepared.append(_Reading(batch.first_sequence, batch.events).prepared(batch.lease_id))
        else:
            prepared.append(PreparedBatch(batch.lease_id, columns))
    return prepared


def _is_plain(payloads: Sequence[bytes]) -> bool:
    return bool(payloads) and all(map(begins_as_log_entry, payloads)) and max(map(len, payloads)) <= EVENT_BYTES


class _Reading:
    """How far a batch has been read: up to its end, or a fault."""

    def __init__(self, first_sequence: int, payloads: Sequence[bytes]) -> None:
        self._first = first_sequence
        self._payloads = payloads
        self._attempt = 0
        self._kinds: list[int] = []
        self._levels: list[int | None] = []
        self._keys: list[str | None] = []
        self._times_us: list[int] = []
        self._results: list[ResultRow] = []
        self._started: tuple[int, AttemptStarted] | None = None
        self._ended: AttemptEnded | None = None
        self._unstarted: int | None = None
        self._fault = ""

        usual = [begins_as_log_entry(payload) is not None for payload in payloads]
        while not self._fault and (begin := len(self._kinds)) < len(payloads):
            try:
                end = usual.index(not usual[begin], begin)
            except ValueError:
                end = len(payloads)
            stretch = payloads[begin:end]
            if not (usual[begin] and len(stretch) > _FEW and self._read_log_entries(stretch)):
                self._read_each(stretch)

    def prepared(self, lease_id: str) -> PreparedBatch:
        """Return what was read."""
        payloads = self._payloads[: len(self._kinds)]
        return PreparedBatch(
            lease_id,
            EventColumns(self._first, self._attempt, self._kinds, self._levels, self._keys, self._times_us, payloads),
            tuple(self._results),
            self._started,
            self._ended,
            self._unstarted,
            self._fault,
        )

    def _read_log_entries(self, payloads: Sequence[bytes]) -> bool:
        """Read log entries at once; False when one of them is not in order, and nothing has been read."""
        if self._ended is not None or max(map(len, payloads)) > EVENT_BYTES:
            return False
        entries = read_log_entries(payloads)
        columns = entries and entries.columns(0, len(payloads), self._first + len(self._kinds))
        if columns is None or (self._kinds and columns.attempt != self._attempt):
            return False

        self._attempt = columns.attempt
        self._kinds += columns.kinds
        self._levels += columns.levels
        self._keys += columns.keys
        self._times_us += columns.times_us
        return True

    def _read_each(self, payloads: Sequence[bytes]) -> None:
        """Read events of any kind one by one, up to a fault."""
        for payload in payloads:
            sequence = self._first + len(self._kinds)
            if len(payload) > EVENT_BYTES:
                self._fault = f"event {sequence} is {len(payload)} bytes, an event at most {EVENT_BYTES}"
                return
            try:
                row, result, started, ended = decode(payload)
            except MalformedEvent as error:
                self._fault = f"event {sequence} is {error}"
                return

            if not self._kinds:
                self._attempt = row.attempt
            self._fault = self._misfit(row, sequence)
            if self._fault:
                return

            if result is not None:
                self._results.append(result)
            elif started is not None:
                self._started = (sequence, started)
            elif ended is not None:
                self._ended = ended
            if self._started is None and self._unstarted is None and row.kind in _NEEDS_START:
                self._unstarted = sequence

            self._kinds.append(row.kind.value)
            self._levels.append(row.level)
            self._keys.append(row.key)
            self._times_us.append(row.time_us)

    def _misfit(self, row: EventRow, sequence: int) -> str:
        if sequence < 1:
            return f"a batch began with event {sequence}"
        if row.sequence != sequence:
            return f"an event numbered {row.sequence} came in the place of {sequence}"
        if row.attempt != self._attempt:
            return f"event {sequence} is of attempt {row.attempt}, those before it are of attempt {self._attempt}"
        if self._ended is not None:
            return f"event {sequence} came after the attempt's end"
        if row.kind is EventKind.STATE_CHANGE:
            return f"event {sequence} is a StateChange, which only the orchestrator writes"
        if row.kind is EventKind.ATTEMPT_STARTED and self._started is not None:
            return f"event {sequence} is a second AttemptStarted"
        return ""
