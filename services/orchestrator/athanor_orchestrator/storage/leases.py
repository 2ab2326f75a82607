"""Leases: who may number which run's log. A lease that is over stays a while, to answer a zombie."""

from collections.abc import Collection
from datetime import timedelta
from functools import lru_cache

from sqlalchemy import bindparam, case, delete, insert, select, update

from athanor_orchestrator.domain.records import Lease, LeaseEnd
from athanor_orchestrator.storage import changes
from athanor_orchestrator.storage.aliases import AnyRow, AnySelect
from athanor_orchestrator.storage.columns import to_us
from athanor_orchestrator.storage.dialect import Dialect
from athanor_orchestrator.storage.portions import portions
from athanor_orchestrator.storage.schema import leases, runs
from athanor_orchestrator.storage.transaction import Transaction

_LIVE = leases.c.end_time_us.is_(None)

# On the way of every event: made once, because making a statement costs as much as carrying it out.
_LIVE_OF_RUNNER = select(leases).where(leases.c.runner_id == bindparam("runner"), _LIVE).order_by(leases.c.id)
_ALL_LIVE = select(leases).where(_LIVE)
_INSERT = insert(leases)
_TAKE = (
    update(runs)
    .where(runs.c.id == bindparam("run"), runs.c.lease_id.is_(None), runs.c.hide_time_us.is_(None))
    .values(lease_id=bindparam("lease"))
)
_END = (
    update(leases)
    .where(leases.c.id == bindparam("lease"), _LIVE)
    .values(end_reason=bindparam("reason"), end_time_us=bindparam("now_us"))
    .returning(leases.c.run_id)
)
_LET_GO = (
    update(runs)
    .where(runs.c.id == bindparam("run"), runs.c.lease_id == bindparam("lease"))
    .values(lease_id=None, unreachable_since_us=None)
)


@lru_cache(maxsize=8)
def _by_id(dialect: Dialect) -> AnySelect:
    return select(leases).where(dialect.one_of(leases.c.id)).order_by(leases.c.id)


def insert_lease(tx: Transaction, lease: Lease) -> None:
    """Store a new lease and make it the run's. The run's row is locked and has none.

    Raises RuntimeError when the run has a lease or is not there.
    """
    tx.connection.execute(
        _INSERT,
        {
            "id": lease.id,
            "run_id": lease.run_id,
            "runner_id": lease.runner_id,
            "session_number": lease.session_number,
            "attempt": lease.attempt,
            "grant_time_us": lease.grant_time_us,
            "renew_time_us": lease.renew_time_us,
            "expire_time_us": lease.expire_time_us,
            "lost_after_us": to_us(lease.lost_after),
            "first_sequence": lease.first_sequence,
            "last_sequence": lease.last_sequence,
            "event_count": lease.event_count,
            "digest": lease.digest,
            "end_reason": None if lease.end is None else lease.end.value,
            "end_time_us": lease.end_time_us,
        },
    )
    taken = tx.connection.execute(_TAKE, {"run": lease.run_id, "lease": lease.id}).rowcount
    if not taken:
        raise RuntimeError(f"run {lease.run_id} has a lease already, or is not there")


def get_leases(tx: Transaction, lease_ids: Collection[str]) -> dict[str, Lease]:
    """Return the leases that are known, by id, live or over."""
    return {lease.id: lease for ids in portions(lease_ids) for lease in _fetch(tx, _by_id(tx.dialect), ids=ids)}


def leases_of_run(tx: Transaction, run_id: str) -> list[Lease]:
    """Return every known lease of a run, oldest first, tombstones of a deleted one included."""
    return _fetch(tx, select(leases).where(leases.c.run_id == run_id).order_by(leases.c.id))


def live_leases_of_runner(tx: Transaction, runner_id: str) -> list[Lease]:
    """Return the live leases of a runner in the order of their ids."""
    return _fetch(tx, _LIVE_OF_RUNNER, runner=runner_id)


def live_leases(tx: Transaction) -> list[Lease]:
    """Return all live leases in the order of their ids."""
    # Sorted here: asked to, PostgreSQL reads every lease there ever was by the index that has this order.
    return sorted(_fetch(tx, _ALL_LIVE), key=lambda lease: lease.id)


def renew_leases(tx: Transaction, lease_ids: Collection[str], session_number: int) -> set[str]:
    """Renew, from now and each for its own `lost_after`, those leases that are live and held by this session.

    Returns their ids; what is missing is over, unknown, or held by another session.
    """
    if not lease_ids:
        return set()
    renewed = tx.connection.execute(
        update(leases)
        .where(leases.c.id.in_(list(lease_ids)), leases.c.session_number == session_number, _LIVE)
        .values(renew_time_us=tx.now_us, expire_time_us=tx.now_us + leases.c.lost_after_us)
        .returning(leases.c.id)
    ).scalars()
    return set(renewed)


def resume_lease(tx: Transaction, lease_id: str, session_number: int) -> bool:
    """Give a live lease to a newer session of its runner and renew it; False when it is over."""
    return (
        tx.connection.execute(
            update(leases)
            .where(leases.c.id == lease_id, _LIVE)
            .values(
                session_number=session_number,
                renew_time_us=tx.now_us,
                expire_time_us=tx.now_us + leases.c.lost_after_us,
            )
        ).rowcount
        > 0
    )


def end_lease(tx: Transaction, lease_id: str, end: LeaseEnd) -> bool:
    """End a live lease now, and take it off its run, which then is no longer unreachable; False when it was over."""
    run_id = tx.connection.execute(
        _END, {"lease": lease_id, "reason": end.value, "now_us": tx.now_us}
    ).scalar_one_or_none()
    if run_id is None:
        return False
    tx.connection.execute(_LET_GO, {"run": run_id, "lease": lease_id})
    changes.note_runs(tx, [run_id])
    return True


def overdue_leases(tx: Transaction) -> list[Lease]:
    """Return the live leases whose time is past by the database's clock, in the order of their runs' ids."""
    found = _fetch(tx, select(leases).where(_LIVE, leases.c.expire_time_us < tx.now_us))
    # Sorted here, as above.
    return sorted(found, key=lambda lease: (lease.run_id, lease.id))


def entomb(tx: Transaction, run_ids: Collection[str]) -> None:
    """Keep the leases of deleted runs as tombstones, from now on.

    One that ended by its own stored end goes on to say so: its runner may let go of the spool.
    """
    reason = case((leases.c.end_reason == LeaseEnd.ENDED.value, leases.c.end_reason), else_=LeaseEnd.DELETED.value)
    for ids in portions(run_ids):
        tx.connection.execute(
            update(leases).where(leases.c.run_id.in_(ids)).values(end_reason=reason, end_time_us=tx.now_us)
        )


def purge_ended(tx: Transaction, before_us: int, limit: int) -> int:
    """Forget up to `limit` leases that ended before `before_us`; returns how many."""
    old = select(leases.c.id).where(leases.c.end_time_us < before_us).order_by(leases.c.end_time_us).limit(limit)
    return tx.connection.execute(delete(leases).where(leases.c.id.in_(old))).rowcount


def _fetch(tx: Transaction, query: AnySelect, **parameters: object) -> list[Lease]:
    return [_lease(row) for row in tx.connection.execute(query, parameters).all()]


def _lease(row: AnyRow) -> Lease:
    # By their order: by its name each column takes as long as all of them together.
    (
        id,
        run_id,
        runner_id,
        session_number,
        attempt,
        grant_time_us,
        renew_time_us,
        expire_time_us,
        lost_after_us,
        first_sequence,
        last_sequence,
        event_count,
        digest,
        end_reason,
        end_time_us,
    ) = row
    return Lease(
        id=id,
        run_id=run_id,
        runner_id=runner_id,
        session_number=session_number,
        attempt=attempt,
        grant_time_us=grant_time_us,
        renew_time_us=renew_time_us,
        expire_time_us=expire_time_us,
        first_sequence=first_sequence,
        last_sequence=last_sequence,
        event_count=event_count,
        digest=bytes(digest),
        end=None if end_reason is None else LeaseEnd(end_reason),
        end_time_us=end_time_us,
        lost_after=timedelta(microseconds=lost_after_us),
    )
