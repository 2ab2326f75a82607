"""What the runs of a load record: one log, the same bytes for all of them, so that a batch is a slice.

Only the numbers of runs differ, and those are in front of the events, not in them: every run's attempt begins behind
the one event that StartRun has stored.
"""

import hashlib
import json
from collections.abc import Iterator

from athanor.experiment import wire
from athanor.v1 import run_pb2

FIRST_SEQUENCE = 2  # behind StateChange PENDING
ATTEMPT = 1
MESSAGE = "epoch finished, the validation loss is below its last best!!"  # 60 characters
_EVENTS_FIELD = wire.tag(3)  # of EventBatch


class Tape:
    """AttemptStarted, log entries, AttemptEnded with the digest of all before it, as they stand in an EventBatch."""

    def __init__(self, events: int, time_ns: int) -> None:
        """`events` counts all of them, so it is 2 at least; `time_ns` is the time that they all say."""
        digest, written, offset = bytes(32), list[bytes](), 0
        self.events = events
        self._offsets = [0]  # of the first event, the second, ..., the end
        for number, event in enumerate(_events(events - 1, time_ns)):
            digest = hashlib.sha256(digest + event).digest()
            offset = self._append(written, event, offset)
            assert number < events - 1
        end = wire.attempt_ended(run_pb2.ATTEMPT_OUTCOME_COMPLETED, None, events, digest)
        self._append(written, wire.run_event(self.sequence(events), ATTEMPT, time_ns, wire.ATTEMPT_ENDED, end), offset)
        self._bytes = b"".join(written)

    def _append(self, written: list[bytes], event: bytes, offset: int) -> int:
        entry = _EVENTS_FIELD + wire.varint(len(event)) + event
        written.append(entry)
        self._offsets.append(offset + len(entry))
        return self._offsets[-1]

    @staticmethod
    def sequence(events: int) -> int:
        """Return the sequence of the last of the first so many events."""
        return FIRST_SEQUENCE - 1 + events

    def size(self, first: int, last: int) -> int:
        """Return how many bytes the events `first` to `last` take, counted from 0, the last not included."""
        return self._offsets[last] - self._offsets[first]

    def batch(self, lease: bytes, first: int, last: int) -> bytes:
        """Return an EventBatch of those events; `lease` is its field with the lease's id."""
        head = lease + b"\x10" + wire.varint(FIRST_SEQUENCE + first)
        size = len(head) + self.size(first, last)
        return b"".join((b"\x0a", wire.varint(size), head, self._bytes[self._offsets[first] : self._offsets[last]]))


def lease_field(lease_id: str) -> bytes:
    """Return the field of an EventBatch that names the lease."""
    return wire.message(1, lease_id.encode())


def delivery(batches: list[bytes]) -> bytes:
    """Return a ReportRequest of batches."""
    return wire.message(2, b"".join(batches))


def _events(count: int, time_ns: int) -> Iterator[bytes]:
    started = wire.attempt_started("load", wire.code_version("load", "load:load", "", "", False), "{}")
    yield wire.run_event(FIRST_SEQUENCE, ATTEMPT, time_ns, wire.ATTEMPT_STARTED, started)
    for number in range(1, count):
        metadata = json.dumps({"epoch": number, "loss": 0.123456})
        entry = wire.log_entry(wire.LEVELS["info"], MESSAGE, metadata)
        yield wire.run_event(FIRST_SEQUENCE + number, ATTEMPT, time_ns, wire.LOG, entry)
