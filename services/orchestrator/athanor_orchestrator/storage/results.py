"""Results as rows, so that they answer SQL; each is stored with its event."""

from collections.abc import Sequence

from sqlalchemy import and_, delete, func, select, update

from athanor_orchestrator.domain.records import ResultRow
from athanor_orchestrator.storage.columns import storable
from athanor_orchestrator.storage.pages import Page
from athanor_orchestrator.storage.schema import run_events, run_results
from athanor_orchestrator.storage.transaction import Transaction

_KEY_BYTES = 500  # a longer one cannot be asked for, and an index may refuse it


def append_results(tx: Transaction, batches: Sequence[tuple[str, Sequence[ResultRow]]]) -> None:
    """Store results of any number of runs, `(run_id, results)` each; a text the database refuses becomes NULL."""
    rows = [
        (
            run_id,
            result.sequence,
            result.attempt,
            stored_key(result.key),
            storable(result.value_json),
            result.time_us,
            result.superseded,
        )
        for run_id, results in batches
        for result in results
    ]
    if rows:
        tx.dialect.append_results(tx.connection, rows)


def stored_key(key: str | None) -> str | None:
    """Return a key as its column has it: None for one that the database would refuse."""
    key = storable(key)
    return None if key is None or len(key.encode()) > _KEY_BYTES else key


def list_results(
    tx: Transaction,
    run_id: str,
    *,
    key: str = "",
    include_superseded: bool = False,
    after_sequence: int = 0,
    limit: int,
    max_bytes: int,
) -> Page[ResultRow]:
    """Return results as they were recorded, at most `limit` and about `max_bytes` of values, but at least one."""
    query = (
        select(
            run_results.c.sequence,
            run_results.c.attempt,
            run_results.c.key,
            run_results.c.value,
            run_results.c.time_us,
            run_results.c.superseded,
        )
        .where(run_results.c.run_id == run_id, run_results.c.sequence > after_sequence)
        .order_by(run_results.c.sequence)
        .limit(limit + 1)
    )
    if key:
        query = query.where(run_results.c.key == key)
    if not include_superseded:
        query = query.where(run_results.c.superseded.is_(False))
    rows, cut_by_bytes = tx.dialect.fetch_capped(tx.connection, query, "value", max_bytes, descending=False)
    found = [
        ResultRow(row.sequence, row.attempt, row.key, row.value, row.time_us, bool(row.superseded))
        for row in rows[:limit]
    ]
    return Page(found, cut_by_bytes or len(rows) > limit)


def of_stored_events(tx: Transaction, run_id: str, first: int, last: int) -> list[ResultRow]:
    """Return the rows, superseded ones too, of the events from `first` to `last` that are stored."""
    rows = tx.connection.execute(
        select(
            run_results.c.sequence,
            run_results.c.attempt,
            run_results.c.key,
            run_results.c.value,
            run_results.c.time_us,
            run_results.c.superseded,
        )
        .join(
            run_events,
            and_(run_events.c.run_id == run_results.c.run_id, run_events.c.sequence == run_results.c.sequence),
        )
        .where(run_results.c.run_id == run_id, run_results.c.sequence.between(first, last))
    )
    return [ResultRow(*row[:5], bool(row.superseded)) for row in rows]


def last_sequence(tx: Transaction, run_id: str) -> int:
    """Return the number of the newest result that has a row, 0 when there is none."""
    newest = select(func.max(run_results.c.sequence)).where(run_results.c.run_id == run_id)
    return tx.connection.execute(newest).scalar_one() or 0


def supersede(tx: Transaction, run_id: str, after_sequence: int, before_attempt: int) -> int:
    """Mark what attempts before `before_attempt` recorded after `after_sequence`; returns how many newly are."""
    return tx.connection.execute(
        update(run_results)
        .where(
            run_results.c.run_id == run_id,
            run_results.c.sequence > after_sequence,
            run_results.c.attempt < before_attempt,
            run_results.c.superseded.is_(False),
        )
        .values(superseded=True)
    ).rowcount


def delete_results(tx: Transaction, run_id: str, limit: int) -> int:
    """Remove up to `limit` results of a run from the disk, oldest first; returns how many."""
    oldest = (
        select(run_results.c.sequence)
        .where(run_results.c.run_id == run_id)
        .order_by(run_results.c.sequence)
        .limit(limit)
    )
    return tx.connection.execute(
        delete(run_results).where(run_results.c.run_id == run_id, run_results.c.sequence.in_(oldest))
    ).rowcount
