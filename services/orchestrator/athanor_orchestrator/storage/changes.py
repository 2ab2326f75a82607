"""The journal of changes: which runs and instances were created, changed or deleted lately, in the order of commits.

Who watches many keeps a place in it and nothing else, and reads on from there: so a slow reader costs nothing, and no
change is missed however many wake-ups are lost. An entry is no picture of its resource, which is read as it stands.

A place is safe to go on from because positions become visible in the order in which they grow. A serial number alone
would not do: drawn by a transaction that commits late, it would be passed over. So the journal is written as the last
thing before the commit, by one transaction at a time. On SQLite there is only one; on PostgreSQL a lock sees to it,
which lasts as long as the commit, and commits that notify others follow one another there anyway.

Verbs that change what watches tell of note it (`note_runs` and the others); the writer calls `record`.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, insert, select

from athanor_orchestrator.domain.records import Change, ChangeKind, Resource
from athanor_orchestrator.storage.columns import labels_of
from athanor_orchestrator.storage.portions import portions
from athanor_orchestrator.storage.schema import changes, instances, runs
from athanor_orchestrator.storage.transaction import Noted, SelectedBy, Transaction

TOPICS = {Resource.RUN: "runs", Resource.INSTANCE: "instances"}


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the journal: behind this entry. It is known again by its time too, should positions be used again."""

    position: int
    time_us: int


@dataclass(frozen=True, slots=True)
class Part:
    """What follows a place."""

    changes: Sequence[Change]
    place: Place | None  # behind them
    more: bool


# With every change: made once.
_RUNS = select(runs.c.id, runs.c.instance_id, runs.c.experiment, runs.c.labels_json).where(
    runs.c.id.in_(bindparam("ids", expanding=True))
)
_INSTANCES = select(instances.c.id, instances.c.experiment, instances.c.labels_json).where(
    instances.c.id.in_(bindparam("ids", expanding=True))
)
_INSERT = insert(changes)


def note_runs(tx: Transaction, run_ids: Iterable[str], kind: ChangeKind = ChangeKind.STATE) -> None:
    """Note that something of these runs changed that watches tell of."""
    tx.noted.update(Noted(Resource.RUN, run_id, kind) for run_id in run_ids)


def note_new_run(tx: Transaction, run_id: str, selected_by: SelectedBy) -> None:
    """Note that a run was created; what it is selected by need not be looked up."""
    tx.noted.add(Noted(Resource.RUN, run_id, ChangeKind.STATE, selected_by))


def note_instances(tx: Transaction, instance_ids: Iterable[str]) -> None:
    """Note that these instances were created or changed, their statistics included."""
    tx.noted.update(Noted(Resource.INSTANCE, instance_id, ChangeKind.STATE) for instance_id in instance_ids)


def note_gone(tx: Transaction, resource: Resource, id: str, selected_by: SelectedBy) -> None:
    """Note that a resource was deleted."""
    tx.noted.add(Noted(resource, id, ChangeKind.DELETED, selected_by))


def note_relabelled(tx: Transaction, instance_id: str, before: SelectedBy) -> None:
    """Note that an instance changed its labels: whoever selects by what it had is told of it once more."""
    tx.noted.add(Noted(Resource.INSTANCE, instance_id, ChangeKind.STATE, before))


def record(tx: Transaction, noted: Collection[Noted]) -> frozenset[str]:
    """Write down what a transaction has changed; returns the topics of those who watch.

    Nothing else may follow in the transaction: others wait from here to its commit.
    """
    known = {
        resource: _described(tx, resource, [n.id for n in noted if n.resource is resource and n.selected_by is None])
        for resource in Resource
    }
    rows = [
        {
            "time_us": tx.now_us,
            "resource": int(n.resource),
            "resource_id": n.id,
            "kind": int(n.kind),
            "instance_id": by.instance_id,
            "experiment": by.experiment,
            "labels_json": by.labels_json,
        }
        for n in noted
        if (by := n.selected_by or known[n.resource].get(n.id)) is not None
    ]
    if rows:
        tx.dialect.lock_changes(tx.connection)
        tx.connection.execute(_INSERT, rows)
    return frozenset(TOPICS[n.resource] for n in noted)


def end_of_journal(tx: Transaction) -> Place | None:
    """Return the place behind everything; None while the journal is empty."""
    newest = select(changes.c.position, changes.c.time_us).order_by(changes.c.position.desc()).limit(1)
    row = tx.connection.execute(newest).one_or_none()
    return None if row is None else Place(row.position, row.time_us)


def read_changes(tx: Transaction, place: Place | None, limit: int) -> Part | None:
    """Return up to `limit` entries behind a place, in the order of their commits.

    None when the place is not there any more: what followed it was forgotten meanwhile, or the database was restored
    from an older copy.
    """
    start = 0 if place is None else place.position
    rows = tx.connection.execute(
        select(changes).where(changes.c.position >= start).order_by(changes.c.position).limit(limit + 1)
    ).all()
    if place is not None:
        if not rows or (rows[0].position, rows[0].time_us) != (place.position, place.time_us):
            return None
        rows = rows[1:]
    more = len(rows) >= limit
    rows = rows[:limit]
    if not rows:
        return Part([], place, more=False)
    found = [
        Change(
            resource=Resource(row.resource),
            id=row.resource_id,
            kind=ChangeKind(row.kind),
            experiment=row.experiment,
            labels=labels_of(row.labels_json),
            instance_id=row.instance_id,
        )
        for row in rows
    ]
    return Part(found, Place(rows[-1].position, rows[-1].time_us), more)


def purge_changes(tx: Transaction, before_us: int, limit: int) -> int:
    """Forget up to `limit` of the oldest entries, those from before `before_us`; returns how many.

    The newest one stays: on an idle system every watch stands there.
    """
    oldest = select(changes.c.position, changes.c.time_us).order_by(changes.c.position).limit(limit).subquery("oldest")
    old = select(oldest.c.position).where(oldest.c.time_us < before_us)
    newest = select(changes.c.position).order_by(changes.c.position.desc()).limit(1).scalar_subquery()
    return tx.connection.execute(
        delete(changes).where(changes.c.position.in_(old), changes.c.position < newest)
    ).rowcount


def _described(tx: Transaction, resource: Resource, wanted: Sequence[str]) -> dict[str, SelectedBy]:
    described: dict[str, SelectedBy] = {}
    for ids in portions(set(wanted)):
        if resource is Resource.RUN:
            for row in tx.connection.execute(_RUNS, {"ids": ids}):
                described[row.id] = SelectedBy(row.instance_id, row.experiment, row.labels_json)
        else:
            for row in tx.connection.execute(_INSTANCES, {"ids": ids}):
                described[row.id] = SelectedBy("", row.experiment, row.labels_json)
    return described
