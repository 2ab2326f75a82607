"""What calls with a request_id have made, so that repeating one makes nothing twice."""

from athanor_orchestrator.domain.records import StoredRequest
from athanor_orchestrator.storage.transaction import Transaction


def get_request(tx: Transaction, request_id: str) -> StoredRequest | None:
    """Return what an earlier call with this id asked for and was answered."""
    raise NotImplementedError


def put_request(tx: Transaction, request_id: str, body_hash: bytes, answer: bytes) -> None:
    """Remember a call, in the transaction that does what it asks.

    When another orchestrator commits the same id first, the command is repeated, and then finds it by `get_request`.
    """
    raise NotImplementedError


def purge_requests(tx: Transaction, before_us: int, limit: int) -> int:
    """Forget up to `limit` calls made before `before_us`; returns how many."""
    raise NotImplementedError
