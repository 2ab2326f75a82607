"""Going through a spool from outside: every event that can be read, and where it breaks.

Nothing is changed, and no lock is taken. One segment is held in memory at a time. While a spool is written, what is
found may be old a moment later; a segment that is acknowledged and goes meanwhile is no break.
"""

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from athanor.experiment import wire
from athanor.experiment.spool import NewerSpoolError, Position, segment
from athanor.v1 import run_event_pb2

SETTLE = 0.05  # seconds after which a record that was being written is looked at again


@dataclass(frozen=True)
class Read:
    """An event that was read."""

    event: bytes
    before: Position
    here: Position  # behind it


@dataclass(frozen=True)
class Break:
    """Where a spool is not whole."""

    path: Path
    offset: int  # in the file
    after_sequence: int  # of the last event before it
    reason: str

    def __str__(self) -> str:
        return f"{self.path} at byte {self.offset}, behind event {self.after_sequence}: {self.reason}"


def walk(folder: Path) -> Iterator[Read | Break]:
    """Goes through the segments of a folder, oldest first; behind a break it goes on with the next segment."""
    position: Position | None = None
    firsts = segment.first_sequences(folder)
    for first in firsts:
        path = segment.path_of(folder, first)
        known = first - 1 if position is None else position.last_sequence
        try:
            data = path.read_bytes()
            head = segment.unpack_head(data)
        except FileNotFoundError:
            position = None
            continue
        except NewerSpoolError as error:
            yield Break(path, 0, known, str(error))
            position = None
            continue
        if head is None or head.last_sequence != first - 1:
            if first != firsts[-1] or len(data) > segment.HEAD_BYTES:  # else it was being begun
                yield Break(path, 0, known, "its head is damaged")
            position = None
            continue
        if position is not None and (reason := _disagreement(position, head)):
            yield Break(path, 0, known, reason)
        position = yield from _walk_segment(path, data, head)


def _walk_segment(path: Path, data: bytes, head: Position) -> Generator[Read | Break, None, Position]:
    here, offset = head, segment.HEAD_BYTES
    for again in (False, True):
        while (records := segment.unpack_records(data, here.last_sequence, offset, most_events=1)).events:
            before, here, offset = here, segment.after(here, records), offset + records.size
            yield Read(records.events[0], before, here)
        if offset == len(data):
            return here
        if not again:
            time.sleep(SETTLE)
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                return here
    yield Break(path, offset, here.last_sequence, _fault(data, offset, here.last_sequence + 1))
    return here


def _disagreement(end: Position, head: Position) -> str:
    """Why a segment does not follow from the one before it; empty when it does."""
    if head.last_sequence != end.last_sequence:
        return f"it begins with event {head.last_sequence + 1}: what is between is missing"
    if (head.event_count, head.record_bytes) != (end.event_count, end.record_bytes):
        return (
            f"its head counts {head.event_count} events of {head.record_bytes} bytes before it, "
            f"and there are {end.event_count} of {end.record_bytes}"
        )
    return "" if head.chain == end.chain else "the digest in its head is not that of the events before it"


def _fault(data: bytes, offset: int, sequence: int) -> str:
    """What is wrong with a record that cannot be read."""
    rest = data[offset:]
    if not rest.strip(b"\0"):
        return f"{len(rest)} bytes of zeros"
    if len(rest) <= segment.RECORD_HEAD_BYTES:
        return f"{len(rest)} bytes, which is no whole record"
    length = segment.RECORD_HEAD.unpack_from(rest)[0]
    event = rest[segment.RECORD_HEAD_BYTES : segment.RECORD_HEAD_BYTES + length]
    if length == 0 or len(event) < length:
        return f"a record of {length} bytes, of which {len(event)} are there"
    if segment.pack_record(event, *segment.RECORD_HEAD.unpack_from(rest)[2:])[4:8] != rest[4:8]:
        return f"the checksum of event {sequence} does not fit"
    return f"a whole record, and not that of event {sequence}"


@dataclass(frozen=True)
class Survey:
    """What a spool holds, after all of it was read. Sequences are 0 when there is no event."""

    first_sequence: int = 0
    last_sequence: int = 0
    event_count: int = 0  # in the spool; acknowledged segments are gone
    ended: bool = False
    digest_known: bool = True  # from the attempt's first event on
    breaks: tuple[Break, ...] = ()


def survey(folder: Path, recorded_sequence: int = 0) -> Survey:
    """Reads all of a spool. `recorded_sequence` is of an event that is known to have been recorded, or 0."""
    first = count = 0
    last: Read | None = None
    breaks: list[Break] = []
    for found in walk(folder):
        if isinstance(found, Break):
            breaks.append(found)
            continue
        first, count, last = first or found.here.last_sequence, count + 1, found
    sequence = last.here.last_sequence if last is not None else 0
    ended = last is not None and wire.read_sequence_kind(last.event)[1] == wire.ATTEMPT_ENDED
    if last is not None and ended and (reason := _wrong_end(last)):
        breaks.append(Break(folder, 0, sequence, reason))
    if sequence < recorded_sequence:
        breaks.append(Break(folder, 0, sequence, f"event {recorded_sequence} had been recorded, and it is not there"))
    return Survey(first, sequence, count, ended, last is None or last.before.digest_known, tuple(breaks))


def _wrong_end(last: Read) -> str:
    end = run_event_pb2.RunEvent.FromString(last.event).attempt_ended
    if end.event_count != last.here.event_count:
        return f"the attempt's end counts {end.event_count} events, and there were {last.here.event_count}"
    if end.digest and last.before.digest_known and end.digest != last.before.digest:
        return "the digest in the attempt's end is not that of the events before it"
    return ""
