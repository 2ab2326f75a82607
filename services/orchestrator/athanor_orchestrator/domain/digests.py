"""What the bytes of events are checked by.

The chained digest is the proof: the run's process and the orchestrator carry it apart from each other, and compare. The
checksum only finds the place: an event that was altered in the database names itself.
"""

import hashlib
import zlib
from collections.abc import Iterable

START = bytes(32)  # the chained digest of nothing

checksum = zlib.crc32  # of an event's bytes, 0 to 2**32 - 1; the function itself: each event that is stored pays for it


def chain(digest: bytes, payloads: Iterable[bytes]) -> bytes:
    """Carry a chained digest on over the bytes of further events: h = SHA-256(h + bytes)."""
    sha256 = hashlib.sha256
    for payload in payloads:
        digest = sha256(digest + payload).digest()
    return digest
