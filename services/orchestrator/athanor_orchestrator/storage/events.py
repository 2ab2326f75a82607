"""Runs' logs: the events' own bytes, and beside them what is filtered by."""

from collections.abc import Sequence

from athanor_orchestrator.domain.records import EventFilter, EventRow
from athanor_orchestrator.storage.pages import Page
from athanor_orchestrator.storage.transaction import Transaction


def append_events(tx: Transaction, batches: Sequence[tuple[str, Sequence[EventRow]]]) -> None:
    """Store events of any number of runs, `(run_id, events)` each.

    The primary key (run_id, sequence) is the second lock on the door: a number that is there already fails the
    command. Numbers without gaps are the caller's to see to, with the run locked. A key that the database refuses
    (NUL) becomes NULL; the payload stays whole.
    """
    raise NotImplementedError


def read_events(
    tx: Transaction,
    run_id: str,
    *,
    after_sequence: int = 0,
    upto: int | None = None,
    filter: EventFilter | None = None,
    descending: bool = False,
    limit: int,
    max_bytes: int,
) -> Page[EventRow]:
    """Return events with `after_sequence` < sequence <= `upto`, at most `limit` and about `max_bytes` of payload.

    The first one comes whatever its size. `filter.text` is not applied here: it is inside the payload.
    """
    raise NotImplementedError


def payloads(tx: Transaction, run_id: str, first: int, last: int) -> list[bytes]:
    """Return the stored bytes of the events `first` to `last`, both included, in their order."""
    raise NotImplementedError


def newest_event(tx: Transaction, run_id: str, filter: EventFilter) -> EventRow | None:
    """Return the newest event that the filter selects (`text` not applied): the last checkpoint, for one."""
    raise NotImplementedError


def delete_events(tx: Transaction, run_id: str, limit: int) -> int:
    """Remove up to `limit` events of a run from the disk; returns how many."""
    raise NotImplementedError
