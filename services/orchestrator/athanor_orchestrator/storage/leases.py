"""Leases: who may number which run's log. A lease that is over stays a while, to answer a zombie."""

from collections.abc import Collection

from athanor_orchestrator.domain.records import Lease, LeaseEnd
from athanor_orchestrator.storage.transaction import Transaction


def insert_lease(tx: Transaction, lease: Lease) -> None:
    """Store a new lease and make it the run's. The run's row is locked and has none.

    Raises RuntimeError when the run has a lease or is not there.
    """
    raise NotImplementedError


def get_leases(tx: Transaction, lease_ids: Collection[str]) -> dict[str, Lease]:
    """Return the leases that are known, by id, live or over."""
    raise NotImplementedError


def leases_of_run(tx: Transaction, run_id: str) -> list[Lease]:
    """Return every known lease of a run, oldest first, tombstones of a deleted one included."""
    raise NotImplementedError


def live_leases_of_runner(tx: Transaction, runner_id: str) -> list[Lease]:
    """Return the live leases of a runner in the order of their ids."""
    raise NotImplementedError


def live_leases(tx: Transaction) -> list[Lease]:
    """Return all live leases in the order of their ids."""
    raise NotImplementedError


def renew_leases(tx: Transaction, lease_ids: Collection[str], session_number: int) -> set[str]:
    """Renew, from now and each for its own `lost_after`, those leases that are live and held by this session.

    Returns their ids; what is missing is over, unknown, or held by another session.
    """
    raise NotImplementedError


def resume_lease(tx: Transaction, lease_id: str, session_number: int) -> bool:
    """Give a live lease to a newer session of its runner and renew it; False when it is over."""
    raise NotImplementedError


def advance_lease(tx: Transaction, lease_id: str, *, last_sequence: int, event_count: int, digest: bytes) -> None:
    """Write how far the lease's events are stored, and their chained digest."""
    raise NotImplementedError


def end_lease(tx: Transaction, lease_id: str, end: LeaseEnd) -> bool:
    """End a live lease now, and take it off its run; False when it was over."""
    raise NotImplementedError


def overdue_leases(tx: Transaction) -> list[Lease]:
    """Return the live leases whose time is past by the database's clock, in the order of their runs' ids."""
    raise NotImplementedError


def purge_ended(tx: Transaction, before_us: int, limit: int) -> int:
    """Forget up to `limit` leases that ended before `before_us`; returns how many."""
    raise NotImplementedError
