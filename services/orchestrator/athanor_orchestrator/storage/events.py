"""Runs' logs: the events' own bytes, and beside them what is filtered by."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import LargeBinary, cast, delete, func, or_, select

from athanor_orchestrator.domain.event_columns import EventColumns, in_columns
from athanor_orchestrator.domain.records import EventFilter, EventKind, EventRow, StoredEvent
from athanor_orchestrator.storage.aliases import AnyRow, AnySelect
from athanor_orchestrator.storage.columns import storable
from athanor_orchestrator.storage.pages import Page
from athanor_orchestrator.storage.schema import NOTABLE, TROUBLE_LEVEL, run_events
from athanor_orchestrator.storage.transaction import Transaction

_KINDS = {kind.value: kind for kind in EventKind}
_COLUMNS = (
    run_events.c.sequence,
    run_events.c.attempt,
    run_events.c.kind,
    run_events.c.level,
    run_events.c.key,
    run_events.c.time_us,
    run_events.c.payload,
)


def append_events(tx: Transaction, batches: Sequence[tuple[str, Sequence[EventRow]]]) -> None:
    """Store events of any number of runs, `(run_id, events)` each; see `append_columns`."""
    append_columns(tx, [(run_id, columns) for run_id, rows in batches for columns in in_columns(rows)])


def append_columns(tx: Transaction, batches: Sequence[tuple[str, EventColumns]]) -> None:
    """Store events of any number of runs, `(run_id, events)` each, as fast as the database can.

    The primary key (run_id, sequence) is the second lock on the door: a number that is there already fails the
    command. Numbers without gaps are the caller's to see to, with the run locked. A key that a database refuses
    (NUL) becomes NULL; the payload stays whole.
    """
    tx.dialect.append_events(tx.connection, [(run_id, _storable(columns)) for run_id, columns in batches])


def _storable(columns: EventColumns) -> EventColumns:
    if not any(columns.keys):
        return columns
    return replace(columns, keys=[storable(key) for key in columns.keys])


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
    query = _filtered(select(*_COLUMNS).where(run_events.c.run_id == run_id), filter)
    query = query.where(run_events.c.sequence > after_sequence)
    if upto is not None:
        query = query.where(run_events.c.sequence <= upto)
    query = query.order_by(run_events.c.sequence.desc() if descending else run_events.c.sequence).limit(limit + 1)
    rows, cut_by_bytes = tx.dialect.fetch_capped(tx.connection, query, "payload", max_bytes, descending=descending)
    return Page([_event(row) for row in rows[:limit]], cut_by_bytes or len(rows) > limit)


@dataclass(frozen=True, slots=True)
class LogPart:
    """Consecutive events of one run, as their bytes alone."""

    payloads: list[bytes]
    first_sequence: int  # of the first of them
    last_sequence: int  # how far it reaches


def read_log(tx: Transaction, run_id: str, *, after_sequence: int, upto: int, limit: int, max_bytes: int) -> LogPart:
    """Return what follows `after_sequence` up to `upto`, cut like `read_events`: what a reader of the whole log needs.

    It reaches `upto` when there is nothing.
    """
    rows = tx.dialect.fetch_log(tx.connection, run_id, after_sequence, upto, limit, max_bytes)
    first, last = (rows[0][0], rows[-1][0]) if rows else (upto, upto)
    return LogPart([row[1] for row in rows], first, last)


def read_stored(
    tx: Transaction, run_id: str, *, after_sequence: int, upto: int, limit: int, max_bytes: int
) -> Page[StoredEvent]:
    """Return rows as they are, `after_sequence` < sequence <= `upto`, cut like `read_events`: for who mistrusts them.

    SQLite lets a column hold anything, and what was edited by hand may be text: it is read as bytes, and marked.
    """
    as_bytes = cast(run_events.c.payload, LargeBinary)
    query = (
        select(
            *_COLUMNS[:-1],
            as_bytes.label("payload"),
            run_events.c.checksum,
            (run_events.c.payload == as_bytes).label("is_bytes"),
        )
        .where(run_events.c.run_id == run_id, run_events.c.sequence > after_sequence, run_events.c.sequence <= upto)
        .order_by(run_events.c.sequence)
        .limit(limit + 1)
    )
    rows, cut_by_bytes = tx.dialect.fetch_capped(tx.connection, query, "payload", max_bytes, descending=False)
    found = [StoredEvent(*row[:9]) for row in rows[:limit]]
    return Page(found, cut_by_bytes or len(rows) > limit)


def payloads(tx: Transaction, run_id: str, first: int, last: int) -> list[bytes]:
    """Return the stored bytes of the events `first` to `last`, both included, in their order."""
    return list(
        tx.connection.execute(
            select(run_events.c.payload)
            .where(run_events.c.run_id == run_id, run_events.c.sequence.between(first, last))
            .order_by(run_events.c.sequence)
        ).scalars()
    )


def newest_event(tx: Transaction, run_id: str, filter: EventFilter) -> EventRow | None:
    """Return the newest event that the filter selects (`text` not applied): the last checkpoint, for one."""
    query = _filtered(select(*_COLUMNS).where(run_events.c.run_id == run_id), filter)
    row = tx.connection.execute(query.order_by(run_events.c.sequence.desc()).limit(1)).first()
    return None if row is None else _event(row)


def first_sequence(tx: Transaction, run_id: str) -> int | None:
    """Return the number of the oldest event that is stored, None when there is none."""
    return tx.connection.execute(
        select(func.min(run_events.c.sequence)).where(run_events.c.run_id == run_id)
    ).scalar_one()


def extent(tx: Transaction, run_id: str) -> tuple[int, int] | None:
    """Return the numbers of the first and the last event that is stored, None when there is none."""
    # Each by itself: asked for both at once, SQLite goes through all that lies between.
    of_run = run_events.c.run_id == run_id
    first, last = (select(edge(run_events.c.sequence)).where(of_run).scalar_subquery() for edge in (func.min, func.max))
    row = tx.connection.execute(select(first, last)).one()
    return None if row[0] is None else (row[0], row[1])


def delete_events(tx: Transaction, run_id: str, limit: int) -> int:
    """Remove up to `limit` events of a run from the disk, oldest first; returns how many."""
    first = first_sequence(tx, run_id)
    if first is None:
        return 0
    deleted = tx.connection.execute(
        delete(run_events).where(run_events.c.run_id == run_id, run_events.c.sequence < first + limit)
    ).rowcount
    tx.dialect.give_back_space(tx.connection)
    return deleted


def _filtered(query: AnySelect, filter: EventFilter | None) -> AnySelect:
    """Apply what the columns can tell. A level is asked of log entries alone, and a key of results alone."""
    if filter is None:
        return query
    kinds = filter.kinds or frozenset(EventKind)
    log, result = EventKind.LOG in kinds, EventKind.RESULT in kinds
    if not log or filter.minimum_level >= TROUBLE_LEVEL:
        # Spelled as in the partial index, which is then used: what is asked for is rare.
        query = query.where(NOTABLE)
    if filter.kinds:
        query = query.where(run_events.c.kind.in_(sorted(kind.value for kind in kinds)))
    if filter.minimum_level and log:
        severe = run_events.c.level >= filter.minimum_level
        only = len(kinds) == 1
        query = query.where(severe if only else or_(run_events.c.kind != EventKind.LOG.value, severe))
    if filter.result_key and result:
        named = run_events.c.key == filter.result_key
        only = len(kinds) == 1
        query = query.where(named if only else or_(run_events.c.kind != EventKind.RESULT.value, named))
    if filter.attempt:
        query = query.where(run_events.c.attempt == filter.attempt)
    return query


def _event(row: AnyRow) -> EventRow:
    sequence, attempt, kind, level, key, time_us, payload = row[:7]
    return EventRow(sequence, attempt, _KINDS[kind], level, key, time_us, payload)
