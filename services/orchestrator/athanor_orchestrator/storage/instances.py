"""Instances. A hidden one is gone from every answer; `deletion` takes it off the disk."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update

from athanor_orchestrator.domain.records import Instance, Resource, RunState
from athanor_orchestrator.domain.run_state import LIVE
from athanor_orchestrator.storage import changes, leases
from athanor_orchestrator.storage import labels as label_rows
from athanor_orchestrator.storage.aliases import AnyRow
from athanor_orchestrator.storage.columns import labels_json, labels_of
from athanor_orchestrator.storage.newest import newest
from athanor_orchestrator.storage.pages import Page, cut
from athanor_orchestrator.storage.schema import instance_labels, instances, runs
from athanor_orchestrator.storage.transaction import SelectedBy, Transaction

_VISIBLE = instances.c.hide_time_us.is_(None)

# On the way of every launch: made once, because making a statement costs as much as carrying it out.
_GET = select(instances).where(instances.c.id == bindparam("instance"), _VISIBLE)
_LOCK = _GET.with_for_update()


def insert_instance(tx: Transaction, instance: Instance) -> None:
    """Store a new instance as it is; statistics begin at nothing."""
    tx.connection.execute(
        insert(instances).values(
            id=instance.id,
            experiment=instance.experiment,
            create_time_us=instance.create_time_us,
            run_count=0,
            **_columns(instance),
        )
    )
    label_rows.put(tx, instance_labels, "instance_id", instance.id, instance.labels)
    changes.note_instances(tx, [instance.id])


def get_instance(tx: Transaction, instance_id: str) -> Instance | None:
    """Return one instance."""
    row = tx.connection.execute(_GET, {"instance": instance_id}).one_or_none()
    return None if row is None else _instance(row)


def lock_instance(tx: Transaction, instance_id: str) -> Instance | None:
    """Return one instance and keep others from changing or deleting it, or starting a run of it, until the commit.

    Whoever starts a run locks its instance first, and so does whoever deletes or updates one.
    """
    row = tx.connection.execute(_LOCK, {"instance": instance_id}).one_or_none()
    return None if row is None else _instance(row)


def list_instances(
    tx: Transaction,
    *,
    experiment: str = "",
    labels: Mapping[str, str] | None = None,
    before_id: str | None = None,
    limit: int,
) -> Page[Instance]:
    """Return instances, newest first, those older than `before_id`; "" and no labels select everything."""
    query, common, order = label_rows.narrow(
        select(instances).where(_VISIBLE), instances.c.id, instance_labels, "instance_id", labels or {}
    )
    if experiment and common:
        query = query.where(instances.c.experiment == experiment)
    elif experiment:
        common = ((instances.c.experiment, experiment),)
    query = newest(query, common, order, before_id).limit(limit + 1)
    page = cut(tx.connection.execute(query).all(), limit)
    return Page([_instance(row) for row in page.items], page.more)


def named_instances(tx: Transaction, instance_ids: Collection[str]) -> list[Instance]:
    """Return those of the instances that there are, in the order of their ids."""
    rows = tx.connection.execute(
        select(instances).where(instances.c.id.in_(list(instance_ids)), _VISIBLE).order_by(instances.c.id)
    )
    return [_instance(row) for row in rows]


def update_instance(tx: Transaction, instance: Instance) -> bool:
    """Write name, description, configuration, labels, etag and update time; False when there is no such instance."""
    before = tx.connection.execute(
        select(instances.c.experiment, instances.c.labels_json)
        .where(instances.c.id == instance.id, _VISIBLE)
        .with_for_update()
    ).one_or_none()
    if before is None:
        return False
    tx.connection.execute(update(instances).where(instances.c.id == instance.id).values(**_columns(instance)))
    changes.note_instances(tx, [instance.id])
    if labels_of(before.labels_json) != instance.labels:
        changes.note_relabelled(tx, instance.id, SelectedBy("", before.experiment, before.labels_json))
    tx.connection.execute(delete(instance_labels).where(instance_labels.c.instance_id == instance.id))
    label_rows.put(tx, instance_labels, "instance_id", instance.id, instance.labels)
    return True


def hide_instance(tx: Transaction, instance_id: str) -> list[str] | None:
    """Take an instance and its runs out of every answer at once.

    Returns the ids of the runs that went with it, None when there is no such instance. The caller has made sure, with
    the instance locked, that none of them is live.
    """
    hidden = tx.connection.execute(
        update(instances)
        .where(instances.c.id == instance_id, _VISIBLE)
        .values(hide_time_us=tx.now_us)
        .returning(instances.c.experiment, instances.c.labels_json)
    ).one_or_none()
    if hidden is None:
        return None
    changes.note_gone(tx, Resource.INSTANCE, instance_id, SelectedBy("", hidden.experiment, hidden.labels_json))
    gone = tx.connection.execute(
        update(runs)
        .where(runs.c.instance_id == instance_id, runs.c.hide_time_us.is_(None))
        .values(hide_time_us=tx.now_us)
        .returning(runs.c.id, runs.c.experiment, runs.c.labels_json)
    ).all()
    for run in gone:
        changes.note_gone(tx, Resource.RUN, run.id, SelectedBy(instance_id, run.experiment, run.labels_json))
    run_ids: list[str] = [run.id for run in gone]
    leases.entomb(tx, run_ids)
    # Without any run there is nothing that would take it off the disk later.
    if tx.connection.execute(select(runs.c.id).where(runs.c.instance_id == instance_id).limit(1)).first() is None:
        tx.connection.execute(delete(instances).where(instances.c.id == instance_id))
    return sorted(run_ids)


def live_run_of(tx: Transaction, instance_id: str) -> tuple[str, RunState] | None:
    """Return id and state of a run of the instance that has not ended."""
    row = tx.connection.execute(
        select(runs.c.id, runs.c.state)
        .where(
            runs.c.instance_id == instance_id,
            runs.c.state.in_([int(state) for state in sorted(LIVE)]),
            runs.c.hide_time_us.is_(None),
        )
        .limit(1)
    ).first()
    return None if row is None else (row.id, RunState(row.state))


def _columns(instance: Instance) -> dict[str, Any]:
    return {
        "name": instance.name,
        "description": instance.description,
        "configuration_json": instance.configuration_json,
        "labels_json": labels_json(instance.labels),
        "etag": instance.etag,
        "update_time_us": instance.update_time_us,
    }


def _instance(row: AnyRow) -> Instance:
    return Instance(
        id=row.id,
        experiment=row.experiment,
        name=row.name,
        description=row.description,
        configuration_json=row.configuration_json,
        labels=labels_of(row.labels_json),
        etag=row.etag,
        create_time_us=row.create_time_us,
        update_time_us=row.update_time_us,
        run_count=row.run_count,
        last_run_state=None if row.last_run_state is None else RunState(row.last_run_state),
        last_run_time_us=row.last_run_time_us,
    )
