"""Taking hidden runs and instances off the disk, in steps that delay nobody."""

from sqlalchemy import delete, select

from athanor_orchestrator.storage.schema import instances, run_events, run_results, runs
from athanor_orchestrator.storage.transaction import Transaction


def hidden_runs(tx: Transaction, limit: int) -> list[str]:
    """Return ids of runs that are hidden and still on the disk, oldest first."""
    hidden = select(runs.c.id).where(runs.c.hide_time_us.is_not(None)).order_by(runs.c.id).limit(limit)
    return list(tx.connection.execute(hidden).scalars())


def forget_run(tx: Transaction, run_id: str) -> bool:
    """Drop a hidden run's row and what is small beside it, once its events and results are gone; False before that.

    A hidden instance goes with its last run.
    """
    for table in (run_events, run_results):
        if tx.connection.execute(select(table.c.sequence).where(table.c.run_id == run_id).limit(1)).first() is not None:
            return False
    instance_id = tx.connection.execute(
        delete(runs).where(runs.c.id == run_id, runs.c.hide_time_us.is_not(None)).returning(runs.c.instance_id)
    ).scalar_one_or_none()
    if instance_id is None:
        return False
    tx.connection.execute(
        delete(instances).where(
            instances.c.id == instance_id,
            instances.c.hide_time_us.is_not(None),
            ~select(runs.c.id).where(runs.c.instance_id == instance_id).exists(),
        )
    )
    tx.dialect.give_back_space(tx.connection)
    return True
