"""The outermost bytes of what a watch is sent: enough to see which events there are and make no messages of them."""

from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from athanor.client.errors import ProtocolError

_BATCH = 0x12  # field 2, length-delimited: `batch` of WatchRunResponse
_FIRST, _LAST, _COUNT = 0x10, 0x18, 0x20  # fields 2, 3 and 4, varints: of RunEventBatch
_EVENTS = 0x0A  # field 1, length-delimited: likewise

_Message = TypeVar("_Message", bound=Message)


def parse(kind: type[_Message], data: bytes) -> _Message:
    """Make a message of its bytes. Raises ProtocolError when they are not one."""
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise ProtocolError(f"what came is no {kind.DESCRIPTOR.name}: {error}") from error


def batch(response: bytes) -> bytes | None:
    """Return the batch of a WatchRunResponse, a RunEventBatch, when it is nothing else; None asks to parse it."""
    if response[:1] != bytes((_BATCH,)):
        return None
    size, begin = _varint(response, 1)
    return response[begin:] if begin + size == len(response) else None


def extent(batch: bytes) -> tuple[int, int, int] | None:
    """Return the sequences of the first and the last event of a RunEventBatch, and how many it has.

    None when they do not stand in front of the events.
    """
    found: list[int] = []
    place = 0
    for tag in (_FIRST, _LAST, _COUNT):
        if batch[place : place + 1] != bytes((tag,)):
            return None
        number, place = _varint(batch, place + 1)
        found.append(number)
    first, last, count = found
    return (first, last, count) if batch[place : place + 1] == bytes((_EVENTS,)) else None


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """Return a number and where it ends. ProtocolError when it does not."""
    number = 0
    for index, byte in enumerate(data[place : place + 10]):
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return number, place + index + 1
    raise ProtocolError("what came is cut off in the middle of a number")
