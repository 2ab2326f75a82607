"""What calls with a request_id have made, so that repeating one makes nothing twice."""

from sqlalchemy import delete, select

from athanor_orchestrator.domain.records import StoredRequest
from athanor_orchestrator.storage.schema import requests
from athanor_orchestrator.storage.transaction import Repeat, Transaction


def get_request(tx: Transaction, request_id: str) -> StoredRequest | None:
    """Return what an earlier call with this id asked for and was answered."""
    row = tx.connection.execute(select(requests).where(requests.c.request_id == request_id)).one_or_none()
    return None if row is None else StoredRequest(bytes(row.body_hash), bytes(row.answer))


def put_request(tx: Transaction, request_id: str, body_hash: bytes, answer: bytes) -> None:
    """Remember a call, in the transaction that does what it asks; `get_request` has found nothing in it.

    When another orchestrator commits the same id first, the command is repeated, and then finds it by `get_request`.
    """
    added = (
        tx.dialect.upsert(requests)
        .values(request_id=request_id, body_hash=body_hash, answer=answer, create_time_us=tx.now_us)
        .on_conflict_do_nothing(index_elements=[requests.c.request_id])
        # Not the count of rows: for an INSERT the driver has forgotten it by the time it is asked.
        .returning(requests.c.request_id)
    )
    if tx.connection.execute(added).first() is None:
        raise Repeat


def purge_requests(tx: Transaction, before_us: int, limit: int) -> int:
    """Forget up to `limit` calls made before `before_us`; returns how many."""
    old = (
        select(requests.c.request_id)
        .where(requests.c.create_time_us < before_us)
        .order_by(requests.c.create_time_us)
        .limit(limit)
    )
    return tx.connection.execute(delete(requests).where(requests.c.request_id.in_(old))).rowcount
