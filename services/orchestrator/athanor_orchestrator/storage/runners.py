"""Runners and their sessions."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from sqlalchemy import bindparam, select, update

from athanor_orchestrator.domain.records import Runner
from athanor_orchestrator.storage.aliases import AnyRow
from athanor_orchestrator.storage.columns import clean
from athanor_orchestrator.storage.pages import Page, cut
from athanor_orchestrator.storage.schema import leases, runner_experiments, runners
from athanor_orchestrator.storage.transaction import Transaction

# On the way of every claim and heartbeat: made once, because making a statement costs as much as carrying it out.
_LOCK = (
    select(runners).where(runners.c.id.in_(bindparam("ids", expanding=True))).order_by(runners.c.id).with_for_update()
)
_HELD = select(leases.c.runner_id, leases.c.run_id).where(
    leases.c.runner_id.in_(bindparam("ids", expanding=True)), leases.c.end_time_us.is_(None)
)
_KNOWN = (
    select(runner_experiments.c.runner_id, runner_experiments.c.experiment)
    .join(
        runners,
        (runners.c.id == runner_experiments.c.runner_id)
        & (runners.c.session_number == runner_experiments.c.session_number),
    )
    .where(runner_experiments.c.runner_id.in_(bindparam("ids", expanding=True)))
    .order_by(runner_experiments.c.experiment)
)


def register_session(tx: Transaction, runner: Runner) -> bool:
    """Write a runner as it introduced itself, connected, with its session; locks its row until the commit.

    False, and nothing written, when a session with this number or a higher one is known. Definitions and discovery
    errors of earlier sessions no longer count; the runner reports them again. `last_seen_us` is set to now; derived
    fields are ignored.
    """
    columns = _columns(replace(runner, connected=True, last_seen_us=tx.now_us))
    written = tx.connection.execute(
        tx.dialect.upsert(runners)
        .values(id=runner.id, **columns)
        .on_conflict_do_update(
            index_elements=[runners.c.id], set_=columns, where=runners.c.session_number < runner.session_number
        )
        .returning(runners.c.id)
    ).first()
    return written is not None


def upsert_runner(tx: Transaction, runner: Runner) -> None:
    """Write a runner as it is, whatever session is known; derived fields are ignored."""
    columns = _columns(runner)
    tx.connection.execute(
        tx.dialect.upsert(runners)
        .values(id=runner.id, **columns)
        .on_conflict_do_update(index_elements=[runners.c.id], set_=columns)
    )


def lock_runner(tx: Transaction, runner_id: str) -> Runner | None:
    """Return a runner, its row locked until the commit: so that its session number holds while a lease is granted.

    Derived fields are filled in.
    """
    return lock_runners(tx, [runner_id]).get(runner_id)


def lock_runners(tx: Transaction, runner_ids: Collection[str]) -> dict[str, Runner]:
    """Lock runners in the order of their ids; returns those that are known, by id, derived fields filled in."""
    rows = tx.connection.execute(_LOCK, {"ids": sorted(runner_ids)}).all()
    return {runner.id: runner for runner in _with_holdings(tx, rows)} if rows else {}


def lock_introduced(tx: Transaction, runner_id: str) -> Runner | None:
    """As `lock_runner`, but only as the runner introduced itself: derived fields are empty."""
    row = tx.connection.execute(_LOCK, {"ids": [runner_id]}).one_or_none()
    return None if row is None else _runner(row)


def get_runner(tx: Transaction, runner_id: str) -> Runner | None:
    """Return a runner with the runs it holds and the experiments it can execute."""
    row = tx.connection.execute(select(runners).where(runners.c.id == runner_id)).one_or_none()
    return None if row is None else _with_holdings(tx, [row])[0]


def list_runners(tx: Transaction, after_id: str, limit: int, seen_since_us: int) -> Page[Runner]:
    """Return runners in the order of their ids, those behind `after_id` that were seen since."""
    rows = tx.connection.execute(
        select(runners)
        .where(runners.c.id > after_id, runners.c.last_seen_us >= seen_since_us)
        .order_by(runners.c.id)
        .limit(limit + 1)
    ).all()
    page = cut(rows, limit)
    return Page(_with_holdings(tx, page.items), page.more)


def touch_runner(tx: Transaction, runner_id: str, session_number: int, now_us: int, draining: bool) -> bool:
    """Note that the runner was heard from and is connected; False when this session is not its newest."""
    return (
        tx.connection.execute(
            update(runners)
            .where(runners.c.id == runner_id, runners.c.session_number == session_number)
            .values(last_seen_us=now_us, connected=True, draining=draining)
        ).rowcount
        > 0
    )


def request_drain(tx: Transaction, runner_id: str, time_us: int | None) -> bool:
    """Note since when an operator wants the runner to take no more runs, None: not any more.

    Of the runner's sessions it knows nothing, so it outlives them. False when there is no such runner.
    """
    return (
        tx.connection.execute(
            update(runners).where(runners.c.id == runner_id).values(drain_request_time_us=time_us)
        ).rowcount
        > 0
    )


def set_disconnected(tx: Transaction, runner_id: str, session_number: int) -> bool:
    """Note that this session of the runner is over; False when it is not the newest or was over."""
    return (
        tx.connection.execute(
            update(runners)
            .where(runners.c.id == runner_id, runners.c.session_number == session_number, runners.c.connected)
            .values(connected=False)
        ).rowcount
        > 0
    )


def disconnect_silent(tx: Transaction, seen_before_us: int) -> list[str]:
    """Note that the sessions of connected runners not heard from since are over; returns the runners' ids."""
    silent = tx.connection.execute(
        update(runners)
        .where(runners.c.connected, runners.c.last_seen_us < seen_before_us)
        .values(connected=False)
        .returning(runners.c.id)
    ).scalars()
    return sorted(silent)


def _with_holdings(tx: Transaction, rows: Collection[AnyRow]) -> list[Runner]:
    """Make runners of rows, with the runs they hold and the experiments they can execute."""
    ids = [row.id for row in rows]
    held: dict[str, list[str]] = defaultdict(list)
    for runner_id, run_id in tx.connection.execute(_HELD, {"ids": ids}):
        held[runner_id].append(run_id)
    known: dict[str, list[str]] = defaultdict(list)
    for runner_id, name in tx.connection.execute(_KNOWN, {"ids": ids}):
        known[runner_id].append(name)
    # Sorted here: asked to, PostgreSQL reads every lease there ever was by the index that has this order.
    return [
        replace(_runner(row), run_ids=tuple(sorted(held[row.id])), experiments=tuple(known[row.id])) for row in rows
    ]


def _runner(row: AnyRow) -> Runner:
    return Runner(
        id=row.id,
        display_name=row.display_name,
        version=row.version,
        slots=row.slots,
        session_number=row.session_number,
        session_id=row.session_id,
        connected=bool(row.connected),
        draining=bool(row.draining),
        drain_request_time_us=row.drain_request_time_us,
        last_seen_us=row.last_seen_us,
    )


def _columns(runner: Runner) -> dict[str, Any]:
    return {
        "display_name": clean(runner.display_name),
        "version": clean(runner.version),
        "slots": runner.slots,
        "session_number": runner.session_number,
        "session_id": runner.session_id,
        "connected": runner.connected,
        "draining": runner.draining,
        "last_seen_us": runner.last_seen_us,
    }
