"""Taking hidden runs and instances off the disk, in steps that delay nobody."""

from athanor_orchestrator.storage.transaction import Transaction


def hidden_runs(tx: Transaction, limit: int) -> list[str]:
    """Return ids of runs that are hidden and still on the disk, oldest first."""
    raise NotImplementedError


def forget_run(tx: Transaction, run_id: str) -> bool:
    """Drop a hidden run's row and what is small beside it, once its events and results are gone; False before that.

    A hidden instance goes with its last run.
    """
    raise NotImplementedError
