"""Attempts, as `Run.attempts` shows them."""

from collections.abc import Collection

from athanor_orchestrator.domain.records import Attempt, AttemptOutcome, Failure
from athanor_orchestrator.storage.transaction import Transaction


def insert_attempt(tx: Transaction, run_id: str, lease_id: str, attempt: Attempt) -> None:
    """Store an attempt of which the first event is being stored."""
    raise NotImplementedError


def get_attempt(tx: Transaction, run_id: str, number: int) -> Attempt | None:
    """Return one attempt."""
    raise NotImplementedError


def update_attempt(tx: Transaction, run_id: str, attempt: Attempt) -> bool:
    """Write everything of an attempt but its number; False when there is no such attempt."""
    raise NotImplementedError


def end_attempt(
    tx: Transaction,
    run_id: str,
    number: int,
    *,
    end_time_us: int,
    outcome: AttemptOutcome,
    failure: Failure | None,
    process_gone: bool,
    log_complete: bool,
    last_sequence: int,
) -> bool:
    """Write how an attempt ended, once; False when it had ended or is not there."""
    raise NotImplementedError


def list_attempts(tx: Transaction, run_ids: Collection[str]) -> dict[str, tuple[Attempt, ...]]:
    """Return the attempts of each of the runs, oldest first; runs without any are left out."""
    raise NotImplementedError


def put_process_gone(tx: Transaction, lease_ids: Collection[str]) -> list[str]:
    """Note on the attempts under these leases that no process is left; returns the ids of the runs that changed."""
    raise NotImplementedError
