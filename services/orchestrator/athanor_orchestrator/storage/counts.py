"""How far runs and their leases got, written with their events: for all runs of a commit at once, whatever it has."""

from collections.abc import Sequence

from athanor_orchestrator.domain.records import Reach
from athanor_orchestrator.storage.transaction import Transaction


def write_counts(tx: Transaction, reached: Sequence[Reach]) -> None:
    """Write how far runs and leases are stored, and what they count. The runs are locked."""
    if reached:
        tx.dialect.write_counts(tx.connection, reached)
