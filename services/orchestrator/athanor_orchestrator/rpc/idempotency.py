"""The identity of a call that may be repeated: its request_id, and a digest of everything else that it says."""

import hashlib

from google.protobuf.message import Message

from athanor_orchestrator.engine.idempotency import Call
from athanor_orchestrator.rpc.validate import REQUEST_ID_CHARACTERS, Faults


def call(faults: Faults, request: Message, request_id: str) -> Call | None:
    """Return the call's identity; None when its caller gave it none."""
    if not request_id:
        return None
    faults.length("request_id", request_id, REQUEST_ID_CHARACTERS)
    body = type(request)()
    body.CopyFrom(request)
    body.ClearField("request_id")
    named = f"{request.DESCRIPTOR.full_name}\0".encode() + body.SerializeToString(deterministic=True)
    return Call(request_id, hashlib.sha256(named).digest())
