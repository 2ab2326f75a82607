"""Page sizes, and page tokens: opaque, and of use only for the listing and the filters they were made for."""

import base64
import binascii
import hashlib
import json
from typing import TypeVar

from google.protobuf.message import Message

from athanor_orchestrator.domain.errors import PageTokenInvalid
from athanor_orchestrator.rpc.validate import Faults

P = TypeVar("P", str, int)

DEFAULT_SIZE, LARGEST_SIZE = 100, 1000
DEFAULT_EVENTS, LARGEST_EVENTS = 1000, 10_000  # of a run's log, and of results

_DIGEST_BYTES = 12


def size(faults: Faults, asked: int, default: int = DEFAULT_SIZE, largest: int = LARGEST_SIZE) -> int:
    """Return how many items to send; 0 asks for the default, and too many are cut."""
    faults.not_negative("page_size", asked)
    return min(asked, largest) or default


def token(request: Message, position: str | int | None) -> str:
    """Make the token that goes on behind `position`; empty when there is nothing behind it."""
    if position is None:
        return ""
    body = json.dumps(position).encode()
    return base64.urlsafe_b64encode(_digest(request, body) + body).decode().rstrip("=")


def position(request: Message, token: str, start: P) -> P:
    """Return where the page of `request` begins: at `start` without a token.

    Raises PageTokenInvalid when the token was made by another listing, with other filters, or by nobody.
    """
    if not token:
        return start
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise PageTokenInvalid from None
    digest, body = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
    if digest != _digest(request, body):
        raise PageTokenInvalid
    found: object = json.loads(body)
    if not isinstance(found, type(start)):
        raise PageTokenInvalid
    return found


def _digest(request: Message, body: bytes) -> bytes:
    """Digest the listing, its filters, and the position; how much of each item, and how many, may change on the way."""
    filters = type(request)()
    filters.CopyFrom(request)
    for field in ("page_size", "page_token", "view"):
        if field in filters.DESCRIPTOR.fields_by_name:
            filters.ClearField(field)
    named = f"{request.DESCRIPTOR.full_name}\0".encode() + filters.SerializeToString(deterministic=True)
    return hashlib.sha256(hashlib.sha256(named).digest() + body).digest()[:_DIGEST_BYTES]
