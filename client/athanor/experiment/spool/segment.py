"""The bytes of the spool's segments: what stands at the head of each, and around each event.

A segment is named after the sequence of its first event, in 20 digits. Its head is 128 bytes:

    offset  type  meaning
         0  8 B   magic, `ATHSPOOL`
         8  u32   version, 1
        16  u64   sequence of the first event
        24  u64   events of this attempt before it
        32  32 B  chained digest of them; zeros when there are none, or when it is not known
        64  u64   stdout: bytes of the captured file that had become events
        72  u64   stderr: the same
        80  u64   bytes of records, heads included, of this attempt before it
       124  u32   CRC-32 of the 124 bytes before

Then one record for each event, a head of 24 bytes and the event:

         0  u32   length of the event, more than 0
         4  u32   CRC-32 over the rest of this head and the event
         8  u64   stdout: bytes of the captured file that had become events, this one included
        16  u64   stderr: the same

Numbers are little endian. A record counts only when its CRC fits and its sequence follows the one before: what a power
cut leaves behind may be zeros, and the CRC of nothing is zero.

A later version keeps the length of the head, its CRC, and what stands in it up to byte 12, so that it can be told from
a head that is torn.
"""

import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from athanor.experiment import wire
from athanor.experiment.files import NewerFormatError

SUFFIX = ".seg"
LOCK_NAME = "lock"

HEAD_BYTES = 128
RECORD_HEAD_BYTES = 24
NO_DIGEST = bytes(32)

RECORD_HEAD = struct.Struct("<IIQQ")
OFFSETS = struct.Struct("<QQ")  # the head of a record behind its CRC
_LENGTH = struct.Struct("<I")
_HEAD = struct.Struct("<8sI4xQQ32sQQQ36x")
_MAGIC = b"ATHSPOOL"
_VERSION = 1
_CRC = struct.Struct("<I")
_pack_length_crc = struct.Struct("<II").pack
_CRC_ENDS, _EVENT_BEGINS = 8, RECORD_HEAD_BYTES - 8  # in the head of a record; and in what is behind its CRC
# The CRC of a record begins with that of its length; most lengths are short.
_SHORT = 512
_LENGTH_CRCS = tuple(crc32(_LENGTH.pack(length)) for length in range(_SHORT))
# How an event begins, by the lowest seven bits of a sequence that has more.
_LOWS = tuple(bytes((0x08, low | 0x80)) for low in range(0x80))
_ANY = sys.maxsize
# A segment is read in pieces of this size, in bytes; more than any record.
_PIECE_BYTES = 4 * wire.MAX_EVENT_BYTES


class SpoolError(Exception):
    """The spool cannot be used as asked. The text says why."""


class SpoolDamagedError(SpoolError):
    """Events that had been recorded are no longer in the spool."""


class NewerSpoolError(NewerFormatError, SpoolError):
    """A segment was written by a later version: nothing is to be done to the spool."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a spool goes."""

    last_sequence: int  # of the last whole event; one less than the first's when there is none
    event_count: int = 0  # events of this attempt up to there
    chain: bytes = NO_DIGEST  # chained digest over them, zeros when it is not known
    stdout_offset: int = 0  # bytes of the captured files that had become events
    stderr_offset: int = 0
    record_bytes: int = 0  # bytes of their records, heads included

    @property
    def digest_known(self) -> bool:
        """Whether every event of the attempt is in the digest."""
        return self.event_count == 0 or self.chain != NO_DIGEST

    @property
    def digest(self) -> bytes:
        """The chained digest of all events of the attempt; empty when it is not known. Of none: 32 zero bytes."""
        return self.chain if self.digest_known else b""


class Records(NamedTuple):
    """Whole records that follow one another, as they stand in a piece of a segment."""

    events: list[bytes]
    size: int  # bytes of all of them, heads included
    stdout_offset: int  # behind the last of them
    stderr_offset: int


def after(position: Position, records: Records, *, digest: bool = True) -> Position:
    """Move a position over records that follow it. Without `digest` that is not known any more."""
    chain = position.chain if digest else NO_DIGEST
    if digest and position.digest_known:
        for event in records.events:
            chain = sha256(chain + event).digest()
    return Position(
        last_sequence=position.last_sequence + len(records.events),
        event_count=position.event_count + len(records.events),
        chain=chain,
        stdout_offset=records.stdout_offset,
        stderr_offset=records.stderr_offset,
        record_bytes=position.record_bytes + records.size,
    )


def pack_head(position: Position) -> bytes:
    """Write the head of the segment that begins behind `position`."""
    head = _HEAD.pack(
        _MAGIC,
        _VERSION,
        position.last_sequence + 1,
        position.event_count,
        position.chain,
        position.stdout_offset,
        position.stderr_offset,
        position.record_bytes,
    )
    return head + _CRC.pack(crc32(head))


def unpack_head(data: bytes) -> Position | None:
    """Read the head of a segment: the position in front of its first event. None when it is not whole.

    Raises NewerSpoolError when it is, and of a later version.
    """
    if len(data) < HEAD_BYTES or crc32(data[: HEAD_BYTES - 4]) != _CRC.unpack_from(data, HEAD_BYTES - 4)[0]:
        return None
    magic, version, first, count, chain, stdout, stderr, size = _HEAD.unpack_from(data)
    if magic == _MAGIC and version > _VERSION:
        raise NewerSpoolError(f"segment {first}", version, _VERSION)
    if magic != _MAGIC or version != _VERSION:
        return None
    return Position(first - 1, count, chain, stdout, stderr, size)


def pack_record(event: bytes, stdout_offset: int, stderr_offset: int) -> bytes:
    """Write one event as a record."""
    return pack_behind(OFFSETS.pack(stdout_offset, stderr_offset), event)


def pack_behind(offsets: bytes, event: bytes) -> bytes:
    """Write one event as a record, the offsets being packed already."""
    length = len(event)
    rest = offsets + event
    start = _LENGTH_CRCS[length] if length < _SHORT else crc32(_LENGTH.pack(length))
    return _pack_length_crc(length, crc32(rest, start)) + rest


def unpack_records(
    data: bytes, last_sequence: int, offset: int = 0, *, most_events: int = _ANY, most_bytes: int = _ANY
) -> Records:
    """Read whole records that follow `last_sequence`, up to the first that is torn, damaged or not yet there.

    At most so many events, and so many bytes of them, but for a first one that is larger. Every event of every run
    passes here on its way to the network.
    """
    unpack, size, begin = RECORD_HEAD.unpack_from, len(data), offset
    events: list[bytes] = []
    stdout = stderr = 0
    for field in islice(_sequence_fields(last_sequence + 1), most_events):
        start = offset + RECORD_HEAD_BYTES
        if start >= size:
            break
        length: int
        length, crc, event_stdout, event_stderr = unpack(data, offset)
        end = start + length
        if length == 0 or end > size or (length > most_bytes and events):
            break
        rest = data[offset + _CRC_ENDS : end]
        if crc32(rest, _LENGTH_CRCS[length] if length < _SHORT else crc32(_LENGTH.pack(length))) != crc:
            break
        if not rest.startswith(field, _EVENT_BEGINS):
            break
        events.append(rest[_EVENT_BEGINS:])
        most_bytes -= length
        stdout, stderr, offset = event_stdout, event_stderr, end
    return Records(events, offset - begin, stdout, stderr)


def _sequence_fields(sequence: int) -> Iterator[bytes]:
    """Write what events begin with, from this sequence on: `wire.sequence_field` of each."""
    while sequence < 0x80:
        yield wire.sequence_field(sequence)
        sequence += 1
    while True:
        high = wire.varint(sequence >> 7)
        for low in _LOWS[sequence & 0x7F :]:
            yield low + high
        sequence = ((sequence >> 7) + 1) << 7


def path_of(folder: Path, first_sequence: int) -> Path:
    """Name the segment whose first event has this sequence."""
    return folder / f"{first_sequence:020d}{SUFFIX}"


def first_sequences(folder: Path) -> list[int]:
    """List the segments of a spool by their first sequences, oldest first. A folder that is not there has none."""
    try:
        names = [path.stem for path in folder.iterdir() if path.suffix == SUFFIX]
    except FileNotFoundError:
        return []
    return sorted(int(name) for name in names if name.isdecimal() and len(name) == 20)


def read_head(folder: Path, first_sequence: int) -> Position | None:
    """Read the head of a segment; None when it is not there, not whole, or of another sequence than its name says.

    Raises NewerSpoolError.
    """
    path = path_of(folder, first_sequence)
    try:
        with path.open("rb") as file:
            head = unpack_head(file.read(HEAD_BYTES))
    except FileNotFoundError:
        return None
    except NewerSpoolError as error:
        raise NewerSpoolError(str(path), error.found, error.known) from None
    return head if head is not None and head.last_sequence == first_sequence - 1 else None


class Chain(NamedTuple):
    """The segments that follow one another, oldest first, each by the position in front of its first event."""

    heads: tuple[Position, ...]

    @property
    def newest(self) -> Position | None:
        """The position in front of the newest segment."""
        return self.heads[-1] if self.heads else None


def read_chain(folder: Path) -> Chain:
    """Read the heads of all segments, up to the first that does not follow from the one before.

    A segment follows when the one before is as long as the head says: a cheap test that its events are all there. A gap
    in the numbering is no break in itself; a writer that resumes above lost events removes the older segments first.
    """
    heads: list[Position] = []
    for first in first_sequences(folder):
        head = read_head(folder, first)
        if head is None:
            break
        if heads:
            before = heads[-1]
            try:
                size = path_of(folder, before.last_sequence + 1).stat().st_size
            except FileNotFoundError:  # removed meanwhile, being acknowledged
                heads.clear()
            else:
                if size - HEAD_BYTES != head.record_bytes - before.record_bytes:
                    break
        heads.append(head)
    return Chain(tuple(heads))


def read_end(folder: Path, head: Position) -> tuple[Position, int]:
    """Read a segment to its last whole event; answer the position behind it and the offset of that in the file."""
    position, offset, data = head, HEAD_BYTES, b""
    with path_of(folder, head.last_sequence + 1).open("rb") as file:
        file.seek(HEAD_BYTES)
        while more := file.read(_PIECE_BYTES):
            data += more
            records = unpack_records(data, position.last_sequence)
            if not records.events:  # a piece is larger than any record: what stands here is none
                break
            position = after(position, records)
            data, offset = data[records.size :], offset + records.size
    return position, offset
