"""Instances. A hidden one is gone from every answer; `deletion` takes it off the disk."""

from collections.abc import Mapping

from athanor_orchestrator.domain.records import Instance, RunState
from athanor_orchestrator.storage.pages import Page
from athanor_orchestrator.storage.transaction import Transaction


def insert_instance(tx: Transaction, instance: Instance) -> None:
    """Store a new instance as it is; statistics begin at nothing."""
    raise NotImplementedError


def get_instance(tx: Transaction, instance_id: str) -> Instance | None:
    """Return one instance."""
    raise NotImplementedError


def lock_instance(tx: Transaction, instance_id: str) -> Instance | None:
    """Return one instance and keep others from changing or deleting it, or starting a run of it, until the commit.

    Whoever starts a run locks its instance first, and so does whoever deletes or updates one.
    """
    raise NotImplementedError


def list_instances(
    tx: Transaction,
    *,
    experiment: str = "",
    labels: Mapping[str, str] | None = None,
    before_id: str | None = None,
    limit: int,
) -> Page[Instance]:
    """Return instances, newest first, those older than `before_id`; "" and no labels select everything."""
    raise NotImplementedError


def update_instance(tx: Transaction, instance: Instance) -> bool:
    """Write name, description, configuration, labels, etag and update time; False when there is no such instance."""
    raise NotImplementedError


def hide_instance(tx: Transaction, instance_id: str) -> list[str] | None:
    """Take an instance and its runs out of every answer at once.

    Returns the ids of the runs that went with it, None when there is no such instance. The caller has made sure, with
    the instance locked, that none of them is live.
    """
    raise NotImplementedError


def live_run_of(tx: Transaction, instance_id: str) -> tuple[str, RunState] | None:
    """Return id and state of a run of the instance that has not ended."""
    raise NotImplementedError
