"""Finding runs: pages of them, and those that may be given to a runner. `runs` offers these verbs too."""

import functools
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import BindParameter, CompoundSelect, Select, Text, bindparam, cast, func, or_, select, union_all

from athanor_orchestrator.domain.records import Run, RunState
from athanor_orchestrator.storage import attempts
from athanor_orchestrator.storage import labels as label_rows
from athanor_orchestrator.storage.aliases import AnySelect
from athanor_orchestrator.storage.dialect import Dialect
from athanor_orchestrator.storage.newest import newest
from athanor_orchestrator.storage.pages import Page, cut
from athanor_orchestrator.storage.run_rows import VISIBLE, run_of
from athanor_orchestrator.storage.schema import BETWEEN_ATTEMPTS, CLAIMABLE, run_configurations, run_labels, runs
from athanor_orchestrator.storage.transaction import Transaction

_EXPERIMENTS_AT_ONCE = 100  # branches of one query; SQLite takes at most 500


_NEXT_CLAIM = (
    select(runs.c.next_attempt_time_us)
    .where(BETWEEN_ATTEMPTS, runs.c.next_attempt_time_us > bindparam("now_us"))
    .order_by(runs.c.next_attempt_time_us)
    .limit(1)
)
# On the way of every launch: made once, because making a statement costs as much as carrying it out.
_NAMED = (
    select(runs, run_configurations.c.configuration_json)
    .join(run_configurations, run_configurations.c.run_id == runs.c.id)
    .where(runs.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(runs.c.id)
)


def list_runs(
    tx: Transaction,
    *,
    instance_id: str = "",
    experiment: str = "",
    states: Collection[RunState] = (),
    labels: Mapping[str, str] | None = None,
    before_id: str | None = None,
    limit: int,
    full: bool = False,
    max_bytes: int | None = None,
) -> Page[Run]:
    """Return runs, newest first, those older than `before_id`; what is empty selects everything.

    Only `full` ones carry configuration ("" otherwise) and attempts. `max_bytes` bounds the configurations of a full
    page, which holds at least one run all the same.
    """
    query, common, order = label_rows.narrow(select(runs).where(VISIBLE), runs.c.id, run_labels, "run_id", labels or {})
    equal = [
        (column, value)
        for column, value in ((runs.c.instance_id, instance_id), (runs.c.experiment, experiment))
        if value
    ]
    if equal and not common:
        common = equal[:1]  # an instance is of one experiment
    query = query.where(*(column == value for column, value in equal if (column, value) not in common))

    wanted = sorted(state.value for state in set(states))
    if not wanted or len(wanted) == len(RunState):
        query = newest(query, common, order, before_id)
    elif labels:
        query = newest(query.where(runs.c.state.in_(wanted)), common, order, before_id)
    elif len(wanted) == 1:
        query = newest(query, (*common, (runs.c.state, wanted[0])), order, before_id)
    else:
        branches = [newest(query, (*common, (runs.c.state, state)), order, before_id) for state in wanted]
        query = _merged(tx, branches, limit + 1)
    query = query.limit(limit + 1)
    page = cut(tx.connection.execute(query).all(), limit)
    incomplete = attempts.with_incomplete_logs(tx, [row.id for row in page.items])
    found = [replace(run_of(row), log_incomplete=row.id in incomplete) for row in page.items]
    return _filled(tx, found, page.more, max_bytes) if full else Page(found, page.more)


def named_runs(tx: Transaction, run_ids: Collection[str], *, full: bool = False) -> list[Run]:
    """Return those of the runs that there are, in the order of their ids; `full` ones as in `list_runs`."""
    rows = tx.connection.execute(select(runs).where(runs.c.id.in_(list(run_ids)), VISIBLE).order_by(runs.c.id))
    found = [run_of(row) for row in rows]
    return list(_filled(tx, found, more=False, max_bytes=None).items) if full else found


def _merged(tx: Transaction, of_states: list[AnySelect], limit: int) -> AnySelect:
    """Find the newest of each state by the index that leads by state, then the newest of those.

    Asked for all at once, a database reads either every run of these states or every newer run of any other.
    """
    branches = [
        select(query.limit(limit).with_only_columns(runs.c.id).subquery(f"state_{place}").c.id)
        for place, query in enumerate(of_states)
    ]
    ids = tx.connection.execute(union_all(*branches)).scalars().all()
    newest_ids = sorted(ids, reverse=True)[:limit]
    return select(runs).where(runs.c.id.in_(newest_ids)).order_by(runs.c.id.desc())


def _filled(tx: Transaction, found: list[Run], more: bool, max_bytes: int | None) -> Page[Run]:
    """Add configurations and attempts, to as many as `max_bytes` allows."""
    if not found:
        return Page([], more)
    ids = [run.id for run in found]
    if max_bytes is not None:
        ids = _that_fit(tx, ids, max_bytes)
    rows = tx.connection.execute(
        select(run_configurations.c.run_id, run_configurations.c.configuration_json).where(
            run_configurations.c.run_id.in_(ids)
        )
    )
    configurations = {row.run_id: row.configuration_json for row in rows}
    made = attempts.list_attempts(tx, ids)
    filled = [
        replace(run, configuration_json=configurations[run.id], attempts=made.get(run.id, ()))
        for run in found[: len(ids)]
    ]
    return Page(filled, more or len(ids) < len(found))


def _that_fit(tx: Transaction, ids: list[str], max_bytes: int) -> list[str]:
    size = func.length(cast(run_configurations.c.configuration_json, Text))
    rows = tx.connection.execute(
        select(run_configurations.c.run_id, size.label("size")).where(run_configurations.c.run_id.in_(ids))
    )
    sizes = {row.run_id: row.size for row in rows}
    total = 0
    for place, run_id in enumerate(ids):
        total += sizes[run_id]
        if total > max_bytes and place > 0:
            return ids[:place]
    return ids


def claimable(tx: Transaction, experiments: Collection[str], limit: int, not_runs: Collection[str] = ()) -> list[Run]:
    """Return the oldest runs of `experiments` that may be given to a runner now, locked, with configuration.

    PENDING, no lease, cancellation not requested, `next_attempt_time` past. Runs that another orchestrator holds
    locked are passed over, so no two get the same.
    """
    names = sorted(experiments)
    ids: list[str] = []
    for start in range(0, len(names), _EXPERIMENTS_AT_ONCE):
        asked = {f"name_{place}": name for place, name in enumerate(names[start : start + _EXPERIMENTS_AT_ONCE])}
        statement = _oldest_of(tx.dialect, len(asked), bool(not_runs))
        values: dict[str, Any] = {**asked, "now_us": tx.now_us, "count": limit}
        if not_runs:
            values["not_runs"] = sorted(not_runs)
        ids += tx.connection.execute(statement, values).scalars()
    if not ids:
        return []
    rows = tx.connection.execute(_NAMED, {"ids": sorted(ids)[:limit]})
    return [run_of(row, row.configuration_json) for row in rows]


@functools.lru_cache(maxsize=256)
def _oldest_of(dialect: Dialect, experiments: int, pass_over: bool) -> CompoundSelect[str]:
    """Make the query for the oldest runs of so many experiments.

    A branch for each, so that a long queue of one that no runner has is never read.
    """
    branches = [
        select(_oldest(dialect, bindparam(f"name_{place}", type_=Text), pass_over).subquery(f"experiment_{place}").c.id)
        for place in range(experiments)
    ]
    return union_all(*branches)


def _oldest(dialect: Dialect, experiment: BindParameter[str], pass_over: bool) -> Select[str]:
    # In an order that one index alone has, as in `newest`: while hardly any run waits, PostgreSQL takes the one of
    # states for as good.
    query = (
        select(runs.c.id)
        .where(
            dialect.leading(runs.c.experiment, experiment),
            CLAIMABLE,
            or_(runs.c.next_attempt_time_us.is_(None), runs.c.next_attempt_time_us <= bindparam("now_us")),
        )
        .order_by(runs.c.experiment, runs.c.state, runs.c.id)
        .limit(bindparam("count"))
        .with_for_update(skip_locked=True)
    )
    return query.where(runs.c.id.not_in(bindparam("not_runs", expanding=True))) if pass_over else query


def next_claim_time_us(tx: Transaction) -> int | None:
    """Return the earliest `next_attempt_time_us` that is still ahead; None when no run waits for one."""
    return tx.connection.execute(_NEXT_CLAIM, {"now_us": tx.now_us}).scalar()
