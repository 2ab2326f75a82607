"""The bytes of messages that carry events, put together from the events' own bytes: no event is parsed or rebuilt."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain

_EVENTS_TAG = b"\x0a"  # field 1, length-delimited: `events` of RunEventBatch and of ListRunEventsResponse
_BATCH_TAG = b"\x12"  # field 2, length-delimited: `batch` of WatchRunResponse
_FIRST_TAG, _LAST_TAG, _COUNT_TAG = b"\x10", b"\x18", b"\x20"  # fields 2, 3 and 4, varints: of RunEventBatch


def event_list(payloads: Iterable[bytes]) -> bytes:
    """Return the bytes of a message whose field 1 is the list of these events."""
    return b"".join(chain.from_iterable((_head(len(payload)), payload) for payload in payloads))


def batch_response(payloads: Sequence[bytes], first_sequence: int, last_sequence: int) -> bytes:
    """Return the bytes of the WatchRunResponse that carries these events, with what they are in front of them."""
    # Long logs pass through here: nothing is done in Python for each event.
    heads = map(_head, map(len, payloads))
    extent = (
        *(_FIRST_TAG, varint(first_sequence)),
        *(_LAST_TAG, varint(last_sequence)),
        *(_COUNT_TAG, varint(len(payloads))),
    )
    batch = b"".join(chain(extent, chain.from_iterable(zip(heads, payloads, strict=True))))
    return b"".join((_BATCH_TAG, varint(len(batch)), batch))


@lru_cache(4096)
def _head(size: int) -> bytes:
    return _EVENTS_TAG + varint(size)


def varint(number: int) -> bytes:
    """Return a number as protobuf writes it: 7 bits a byte, lowest first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
