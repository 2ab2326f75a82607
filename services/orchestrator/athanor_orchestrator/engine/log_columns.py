"""Reads many log entries at once: a few steps for the batch where there would be a dozen for each event.

Protobuf merges what comes more than once of a field that is a message, and gathers what comes of a repeated one. So a
batch whose events are declared to be one message, with repeated numbers, is parsed into columns: all sequences, all
attempts, all times, all levels. These declarations are made here, of those of the contract.

Columns as long as the batch might still come of an event that says something twice beside one that does not say it. So
only events are read in this way that begin as they do when each field is written once, in the order of the numbers:
then each has at least one of everything, and as there are as many as there are events, each has exactly one.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from athanor.v1 import run_event_pb2
from google.protobuf import descriptor_pb2, timestamp_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from athanor_orchestrator.domain.event_columns import EventColumns
from athanor_orchestrator.domain.records import EventKind

_VARINT = rb"[\x80-\xff]*[\x00-\x7f]"
# Its length, then five bytes of seconds (the years 1978 to 3058) and one to five of nanoseconds.
_TIME = b"|".join(
    rb"\x%02x\x08[\x80-\xff]{4}[\x00-\x7f]\x10[\x80-\xff]{%d}[\x00-\x7f]" % (7 + size, size - 1)
    for size in (5, 4, 3, 2, 1)
)

begins_as_log_entry = re.compile(
    rb"\x08%b\x10%b\x1a(?:%b)\x3a%b\x08[\x00-\x7f]" % (_VARINT, _VARINT, _TIME, _VARINT)
).match
"""Returns a match when an event begins as a log entry does that was written in the usual way, else None."""


@dataclass(frozen=True, slots=True)
class LogEntries:
    """What log entries of any runs say, in the order in which they were read."""

    payloads: Sequence[bytes]
    sequences: Sequence[int]
    attempts: Sequence[int]
    levels: Sequence[int]
    times_us: Sequence[int]

    def columns(self, begin: int, end: int, first_sequence: int) -> EventColumns | None:
        """Return those from index `begin` to `end`, which ought to be one run's, numbered from `first_sequence` on.

        None when they are not, or not of one attempt: read one by one they say what is wrong.
        """
        count = end - begin
        attempts = self.attempts[begin:end]
        if (
            first_sequence < 1
            or attempts.count(attempts[0]) != count
            or self.sequences[begin:end] != list(range(first_sequence, first_sequence + count))
        ):
            return None
        return EventColumns(
            first_sequence,
            attempts[0],
            [EventKind.LOG.value] * count,
            self.levels[begin:end],
            [None] * count,
            self.times_us[begin:end],
            self.payloads[begin:end],
        )


def read_log_entries(payloads: Sequence[bytes]) -> LogEntries | None:
    """Read events that all `begins_as_log_entry`; None when they are not all valid, or not log entries alone."""
    try:
        events = _Merged.FromString(_Batch(events=payloads).SerializeToString()).events
    except DecodeError:
        return None

    count = len(payloads)
    sequences, attempts, levels = list(events.sequence), list(events.attempt), list(events.log.level)
    seconds, nanos = list(events.time.seconds), list(events.time.nanos)
    if any(len(getattr(events, name)) for name in _OTHERS) or not (
        count == len(sequences) == len(attempts) == len(levels) == len(seconds) == len(nanos)
    ):
        return None
    times_us = [second * 1_000_000 + nano // 1000 for second, nano in zip(seconds, nanos, strict=True)]
    return LogEntries(payloads, sequences, attempts, levels, times_us)


def _declare() -> tuple[Any, Any]:
    """Declare a batch twice: its events are bytes, or one message with repeated numbers."""
    file = descriptor_pb2.FileDescriptorProto(name="columns.proto", package="columns", syntax="proto3")
    proto = descriptor_pb2.FieldDescriptorProto
    batch, merged = file.message_type.add(name="Batch"), file.message_type.add(name="Merged")
    batch.field.add(name="events", number=1, type=proto.TYPE_BYTES, label=proto.LABEL_REPEATED)
    merged.field.add(name="events", number=1, type=proto.TYPE_MESSAGE, label=proto.LABEL_OPTIONAL, type_name="RunEvent")

    parts = {"time": "Timestamp", "log": "LogEntry"}
    for message in (run_event_pb2.RunEvent, run_event_pb2.LogEntry, timestamp_pb2.Timestamp):
        declared = file.message_type.add()
        message.DESCRIPTOR.CopyToProto(declared)
        del declared.oneof_decl[:]
        for field in declared.field:
            field.ClearField("oneof_index")
            field.ClearField("type_name")
            if field.name in parts:
                field.type_name = parts[field.name]
                continue
            field.label = field.LABEL_REPEATED
            if field.type == field.TYPE_MESSAGE:
                field.type = field.TYPE_BYTES
            elif field.type == field.TYPE_ENUM:
                field.type = field.TYPE_INT32

    pool = DescriptorPool()
    pool.Add(file)
    made = (GetMessageClass(pool.FindMessageTypeByName(f"columns.{name}")) for name in ("Batch", "Merged"))
    return next(made), next(made)


_Batch, _Merged = _declare()
_OTHERS = [
    alternative.name
    for alternative in run_event_pb2.RunEvent.DESCRIPTOR.oneofs_by_name["event"].fields
    if alternative.number != EventKind.LOG.value
]
