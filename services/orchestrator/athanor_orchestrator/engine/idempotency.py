"""Calls that make something and may be repeated: the same request_id makes it once and is answered the same.

The answer is kept beside what was made, in one transaction, so no crash comes between them.
"""

from dataclasses import dataclass

from athanor_orchestrator.domain.errors import RequestIdReused
from athanor_orchestrator.storage import requests
from athanor_orchestrator.storage.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Call:
    """One call that its caller has given an id."""

    request_id: str
    body_hash: bytes  # of the method and everything else that was asked


def answered(tx: Transaction, call: Call | None) -> bytes | None:
    """Return what the call was answered before; None when it is new or has no id.

    Raises RequestIdReused when its id belongs to a call that asked for something else.
    """
    known = None if call is None else requests.get_request(tx, call.request_id)
    if call is None or known is None:
        return None
    if known.body_hash != call.body_hash:
        raise RequestIdReused(call.request_id)
    return known.answer


def remember(tx: Transaction, call: Call | None, answer: bytes) -> bytes:
    """Keep the answer of a call that has an id; returns it."""
    if call is not None:
        requests.put_request(tx, call.request_id, call.body_hash, answer)
    return answer
