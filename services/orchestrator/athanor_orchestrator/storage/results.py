"""Results as rows, so that they answer SQL; each is stored with its event."""

from collections.abc import Sequence

from athanor_orchestrator.domain.records import ResultRow
from athanor_orchestrator.storage.pages import Page
from athanor_orchestrator.storage.transaction import Transaction


def append_results(tx: Transaction, batches: Sequence[tuple[str, Sequence[ResultRow]]]) -> None:
    """Store results of any number of runs, `(run_id, results)` each; a text the database refuses becomes NULL."""
    raise NotImplementedError


def list_results(
    tx: Transaction,
    run_id: str,
    *,
    key: str = "",
    include_superseded: bool = False,
    after_sequence: int = 0,
    limit: int,
    max_bytes: int,
) -> Page[ResultRow]:
    """Return results in the order they were recorded, at most `limit` and about `max_bytes` of values (at least one)."""
    raise NotImplementedError


def supersede(tx: Transaction, run_id: str, after_sequence: int, before_attempt: int) -> int:
    """Mark what attempts before `before_attempt` recorded after `after_sequence`; returns how many newly are."""
    raise NotImplementedError


def delete_results(tx: Transaction, run_id: str, limit: int) -> int:
    """Remove up to `limit` results of a run from the disk; returns how many."""
    raise NotImplementedError
