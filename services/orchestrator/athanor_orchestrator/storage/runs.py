"""Runs: storing, reading, locking and changing them.

Every transaction about a run locks its row first, several runs in the order of their ids.
"""

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Unpack

from sqlalchemy import bindparam, insert, or_, select, update

from athanor_orchestrator.domain.records import Progress, Resource, Run, RunState
from athanor_orchestrator.domain.run_state import LIVE
from athanor_orchestrator.storage import attempts, changes, leases
from athanor_orchestrator.storage import labels as label_rows
from athanor_orchestrator.storage.aliases import AnySelect
from athanor_orchestrator.storage.columns import clean, labels_json, policy_columns
from athanor_orchestrator.storage.dialect import Dialect
from athanor_orchestrator.storage.portions import portions
from athanor_orchestrator.storage.run_listing import claimable, list_runs, named_runs, next_claim_time_us
from athanor_orchestrator.storage.run_rows import (
    VISIBLE,
    RunColumns,
    progress_columns,
    run_columns,
    run_of,
    with_configuration,
)
from athanor_orchestrator.storage.schema import instances, run_configurations, run_labels, runs
from athanor_orchestrator.storage.transaction import SelectedBy, Transaction

__all__ = [
    "RunColumns",
    "claimable",
    "exists",
    "get_run",
    "hide_run",
    "insert_run",
    "list_runs",
    "lock_run",
    "lock_runs",
    "named_runs",
    "next_claim_time_us",
    "put_progress",
    "request_cancel",
    "set_unreachable",
    "transition",
    "update_run",
]

_LIVE_STATES = sorted(state.value for state in LIVE)
# What changes without a word to watches of many: progress, counts, and what is told as an attempt, or not at all.
_NOT_TOLD = frozenset({"lease_id", "attempt_count", "progress", "last_sequence", "log_count", "result_count"})


# On the way of every event and every page of a watch: made once, because that costs as much as carrying it out.
_GET = with_configuration().where(runs.c.id == bindparam("run"), VISIBLE)
_EXISTS = select(runs.c.id).where(runs.c.id == bindparam("run"), VISIBLE)
_INSERT = insert(runs)
_INSERT_CONFIGURATION = insert(run_configurations)
_COUNT_ON_INSTANCE = (
    update(instances)
    .where(instances.c.id == bindparam("instance"))
    .values(
        run_count=instances.c.run_count + 1,
        last_run_id=bindparam("run"),
        last_run_state=bindparam("state_now"),
        last_run_time_us=bindparam("time_us"),
    )
)
# What stands in no `values` is written when it is among the parameters.
_LOCK = _GET.with_for_update(of=runs)
_UPDATE = update(runs).where(runs.c.id == bindparam("run"), VISIBLE)
_MOVE = _UPDATE.where(runs.c.state.in_(bindparam("from_states", expanding=True)))
_TELL_INSTANCE = (
    update(instances)
    .where(
        instances.c.id == select(runs.c.instance_id).where(runs.c.id == bindparam("run")).scalar_subquery(),
        instances.c.last_run_id == bindparam("run"),
    )
    .values(last_run_state=bindparam("state_now"))
    .returning(instances.c.id)
)


@lru_cache(maxsize=8)
def _lock_all(dialect: Dialect) -> AnySelect:
    return select(runs).where(dialect.one_of(runs.c.id), VISIBLE).order_by(runs.c.id).with_for_update()


def insert_run(tx: Transaction, run: Run) -> None:
    """Store a new run as it is (without attempts), and count it on its instance, whose newest run it becomes."""
    tx.connection.execute(
        _INSERT,
        {
            "id": run.id,
            "instance_id": run.instance_id,
            "experiment": run.experiment,
            "state": int(run.state),
            "seed": str(run.seed),
            "labels_json": labels_json(run.labels),
            "create_time_us": run.create_time_us,
            **policy_columns(run.policy),
            **run_columns(
                {
                    "lease_id": run.lease_id,
                    "attempt_count": run.attempt_count,
                    "next_attempt_time_us": run.next_attempt_time_us,
                    "progress": run.progress,
                    "failure": run.failure,
                    "last_sequence": run.last_sequence,
                    "log_count": run.log_count,
                    "result_count": run.result_count,
                    "cancel_request_time_us": run.cancel_request_time_us,
                    "cancel_reason": run.cancel_reason,
                    "unreachable_since_us": run.unreachable_since_us,
                    "start_time_us": run.start_time_us,
                    "end_time_us": run.end_time_us,
                }
            ),
        },
    )
    tx.connection.execute(_INSERT_CONFIGURATION, {"run_id": run.id, "configuration_json": run.configuration_json})
    label_rows.put(tx, run_labels, "run_id", run.id, run.labels)
    newest = {"instance": run.instance_id, "run": run.id, "state_now": int(run.state), "time_us": run.create_time_us}
    tx.connection.execute(_COUNT_ON_INSTANCE, newest)
    changes.note_new_run(tx, run.id, SelectedBy(run.instance_id, run.experiment, labels_json(run.labels)))
    changes.note_instances(tx, [run.instance_id])


def get_run(tx: Transaction, run_id: str) -> Run | None:
    """Return one run with configuration and attempts."""
    row = tx.connection.execute(_GET, {"run": run_id}).one_or_none()
    if row is None:
        return None
    return run_of(row, row.configuration_json, attempts.list_attempts(tx, [run_id]).get(run_id, ()))


def exists(tx: Transaction, run_id: str) -> bool:
    """Tell whether there is such a run."""
    return tx.connection.execute(_EXISTS, {"run": run_id}).first() is not None


def lock_run(tx: Transaction, run_id: str) -> Run | None:
    """Return one run, locked until the commit, with its configuration and without its attempts."""
    row = tx.connection.execute(_LOCK, {"run": run_id}).one_or_none()
    return None if row is None else run_of(row, row.configuration_json)


def lock_runs(tx: Transaction, run_ids: Collection[str]) -> dict[str, Run]:
    """Lock runs in the order of their ids and return those that exist, by id, without configuration ("") and attempts.

    This is the one for the path of events; hidden runs do not exist.
    """
    query = _lock_all(tx.dialect)
    return {
        row[0]: run_of(row)
        for ids in portions(sorted(run_ids))
        for row in tx.connection.execute(query, {"ids": ids}).all()
    }


def transition(
    tx: Transaction, run_id: str, from_states: Collection[RunState], to: RunState, **columns: Unpack[RunColumns]
) -> bool:
    """Move a run to a state if it is in one of `from_states` (compare-and-set), writing `columns` with it.

    False means that somebody else won, or that there is no such run: read again. Keeps the instance's
    `last_run_state`. Whether the transition may be tried is the caller's to check (`run_state.check`).
    """
    moved = tx.connection.execute(
        _MOVE,
        {
            "run": run_id,
            "from_states": sorted(state.value for state in from_states),
            "state": int(to),
            **run_columns(columns),
        },
    )
    if not moved.rowcount:
        return False
    changes.note_runs(tx, [run_id])
    instance_ids = tx.connection.execute(_TELL_INSTANCE, {"run": run_id, "state_now": int(to)}).scalars()
    changes.note_instances(tx, instance_ids)
    return True


def update_run(tx: Transaction, run_id: str, **columns: Unpack[RunColumns]) -> bool:
    """Write `columns` on a run; False when there is no such run."""
    changed = tx.connection.execute(_UPDATE, {"run": run_id, **run_columns(columns)})
    if not _NOT_TOLD.issuperset(columns):
        changes.note_runs(tx, [run_id])
    return changed.rowcount > 0


def request_cancel(tx: Transaction, run_id: str, reason: str, now_us: int) -> bool:
    """Request cancellation of a live run; False when that was done before, the run has ended or is not there."""
    changed = tx.connection.execute(
        update(runs)
        .where(
            runs.c.id == run_id,
            runs.c.cancel_request_time_us.is_(None),
            runs.c.state.in_(_LIVE_STATES),
            VISIBLE,
        )
        .values(cancel_request_time_us=now_us, cancel_reason=clean(reason))
    )
    if not changed.rowcount:
        return False
    changes.note_runs(tx, [run_id])
    return True


def put_progress(tx: Transaction, progress: Mapping[str, Progress]) -> None:
    """Write the latest progress of runs, by run id. Ended runs keep what they have."""
    if not progress:
        return
    tx.connection.execute(
        update(runs).where(
            runs.c.id == bindparam("of_run"), or_(*(runs.c.state == state for state in _LIVE_STATES)), VISIBLE
        ),
        [{"of_run": run_id, **progress_columns(progress[run_id])} for run_id in sorted(progress)],
    )


def set_unreachable(tx: Transaction, run_ids: Collection[str], since_us: int | None) -> list[str]:
    """Set (unless it is set) or clear when the runner that holds the runs fell silent; returns the ids that changed.

    Only runs that somebody holds can be unreachable.
    """
    if not run_ids:
        return []
    flag = runs.c.unreachable_since_us
    differs = flag.is_not(None) if since_us is None else flag.is_(None) & runs.c.lease_id.is_not(None)
    changed = sorted(
        tx.connection.execute(
            update(runs)
            .where(runs.c.id.in_(sorted(run_ids)), differs, VISIBLE)
            .values(unreachable_since_us=since_us)
            .returning(runs.c.id)
        ).scalars()
    )
    changes.note_runs(tx, changed)
    return changed


def hide_run(tx: Transaction, run_id: str) -> bool:
    """Take a run out of every answer at once, also out of its instance's statistics; False when it is not there.

    Its leases stay as tombstones, as if they had ended now. The caller has made sure that it is not live.
    """
    hidden = tx.connection.execute(
        update(runs)
        .where(runs.c.id == run_id, VISIBLE)
        .values(hide_time_us=tx.now_us)
        .returning(runs.c.instance_id, runs.c.experiment, runs.c.labels_json)
    ).one_or_none()
    if hidden is None:
        return False
    instance_id: str = hidden.instance_id
    changes.note_gone(tx, Resource.RUN, run_id, SelectedBy(instance_id, hidden.experiment, hidden.labels_json))
    changes.note_instances(tx, [instance_id])
    leases.entomb(tx, [run_id])
    newest = tx.connection.execute(
        select(runs.c.id, runs.c.state, runs.c.create_time_us)
        .where(runs.c.instance_id == instance_id, VISIBLE)
        .order_by(runs.c.id.desc())
        .limit(1)
    ).first()
    tx.connection.execute(
        update(instances)
        .where(instances.c.id == instance_id)
        .values(
            run_count=instances.c.run_count - 1,
            last_run_id=None if newest is None else newest.id,
            last_run_state=None if newest is None else newest.state,
            last_run_time_us=None if newest is None else newest.create_time_us,
        )
    )
    return True
