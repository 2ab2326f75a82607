"""What calls with a request_id have made, so that repeating one makes nothing twice."""

from functools import lru_cache
from typing import Any

from sqlalchemy import bindparam, delete, select

from athanor_orchestrator.domain.records import StoredRequest
from athanor_orchestrator.storage.dialect import Dialect
from athanor_orchestrator.storage.schema import requests
from athanor_orchestrator.storage.transaction import Repeat, Transaction

# On the way of every launch: made once, because making a statement costs as much as carrying it out.
_GET = select(requests).where(requests.c.request_id == bindparam("request"))


@lru_cache(maxsize=8)
def _put(dialect: Dialect) -> Any:
    return (
        dialect.upsert(requests)
        .on_conflict_do_nothing(index_elements=[requests.c.request_id])
        # Not the count of rows: for an INSERT the driver has forgotten it by the time it is asked.
        .returning(requests.c.request_id)
    )


def get_request(tx: Transaction, request_id: str) -> StoredRequest | None:
    """Return what an earlier call with this id asked for and was answered."""
    row = tx.connection.execute(_GET, {"request": request_id}).one_or_none()
    return None if row is None else StoredRequest(bytes(row.body_hash), bytes(row.answer))


def put_request(tx: Transaction, request_id: str, body_hash: bytes, answer: bytes) -> None:
    """Remember a call, in the transaction that does what it asks; `get_request` has found nothing in it.

    When another orchestrator commits the same id first, the command is repeated, and then finds it by `get_request`.
    """
    row = {"request_id": request_id, "body_hash": body_hash, "answer": answer, "create_time_us": tx.now_us}
    if tx.connection.execute(_put(tx.dialect), row).first() is None:
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
