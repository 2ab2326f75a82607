"""The messages of `athanor.v1.RunEvent`, written without protobuf.

An experiment runs in its author's environment, where protobuf is absent or pinned to another version; so the few
messages that the run's process records are written here. The bytes are those that the generated code writes: fields in
the order of their numbers, default values left out. `tests/unit/experiment/test_wire.py` compares the two.
"""

from collections.abc import Sequence
from typing import NamedTuple

# Field numbers of the alternatives of `RunEvent.event`.
STATE_CHANGE = 4
ATTEMPT_STARTED = 5
ATTEMPT_ENDED = 6
LOG = 7
RESULT = 8
CHECKPOINT = 9

# `LogLevel` by the names that experiments use.
LEVELS = {"debug": 10, "info": 20, "warn": 30, "error": 40}

# Integers of one byte, as `varint` writes them.
SINGLE = tuple(bytes((value,)) for value in range(0x80))

# No event is larger, in bytes.
MAX_EVENT_BYTES = 1 << 20

_VARINT, _LENGTH_DELIMITED = 0, 2
_NANOSECONDS = 1_000_000_000
_UNSIGNED_64 = (1 << 64) - 1


class WireError(ValueError):
    """Bytes that are not what they should be."""


def varint(value: int) -> bytes:
    """Write an integer of the int32, int64, uint64, bool or enum type; a negative one takes ten bytes."""
    if 0 <= value < 0x80:
        return SINGLE[value]
    if 0 <= value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    if 0 <= value < 0x20_0000:
        return bytes((value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14))
    value &= _UNSIGNED_64
    written = bytearray()
    while value >= 0x80:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def tag(number: int, wire_type: int = _LENGTH_DELIMITED) -> bytes:
    """Write what stands before a field's value."""
    return varint(number << 3 | wire_type)


def _integer(number: int, value: int) -> bytes:
    return tag(number, _VARINT) + varint(value) if value else b""


def _bytes(number: int, value: bytes) -> bytes:
    return tag(number) + varint(len(value)) + value if value else b""


def _text(number: int, value: str) -> bytes:
    return _bytes(number, value.encode())


def message(number: int, body: bytes) -> bytes:
    """Write a field that is a message. One that is set and empty is written too."""
    return tag(number) + varint(len(body)) + body


def timestamp(time_ns: int) -> bytes:
    """Write the body of a `google.protobuf.Timestamp` from nanoseconds since the epoch."""
    seconds, nanos = divmod(time_ns, _NANOSECONDS)
    return _integer(1, seconds) + _integer(2, nanos)


def run_event(sequence: int, attempt: int, time_ns: int, field_number: int, body: bytes) -> bytes:
    """Write a `RunEvent` around the body of one of its alternatives."""
    return _integer(1, sequence) + _integer(2, attempt) + message(3, timestamp(time_ns)) + message(field_number, body)


def log_entry(level: int, text: str, metadata_json: str = "", source: str = "") -> bytes:
    """Write the body of a `LogEntry`."""
    return level_field(level) + log_fields(text.encode(), metadata_json.encode(), source.encode())


def level_field(level: int) -> bytes:
    """Write the first field of a `LogEntry`."""
    return _integer(1, level)


def log_fields(text: bytes, metadata_json: bytes, source: bytes) -> bytes:
    """Write the fields of a `LogEntry` behind its level; all are UTF-8."""
    return _bytes(2, text) + _bytes(3, metadata_json) + _bytes(4, source)


def result(key: str, value_json: str) -> bytes:
    """Write the body of a `Result`."""
    return _text(1, key) + _text(2, value_json)


def checkpoint_saved(state_json: str) -> bytes:
    """Write the body of a `CheckpointSaved`."""
    return _text(1, state_json)


def code_version(digest: str, module: str, distribution: str, git_commit: str, git_dirty: bool) -> bytes:
    """Write the body of a `CodeVersion`."""
    return (
        _text(1, digest)
        + _text(2, module)
        + _text(3, distribution)
        + _text(4, git_commit)
        + _integer(5, int(git_dirty))
    )


def attempt_started(runner_id: str, code: bytes, configuration_json: str, restored_sequence: int = 0) -> bytes:
    """Write the body of an `AttemptStarted`; `code` is the body of its CodeVersion."""
    return _text(1, runner_id) + message(2, code) + _text(3, configuration_json) + _integer(4, restored_sequence)


def failure(kind: int, text: str, detail: str = "", exit_status: int | None = None) -> bytes:
    """Write the body of a `Failure`. An exit status of 0 is written, one of None is not."""
    status = b"" if exit_status is None else tag(4, _VARINT) + varint(exit_status)
    return _integer(1, kind) + _text(2, text) + _text(3, detail) + status


def stop_step(action: str, time_ns: int) -> bytes:
    """Write the body of a `StopStep`."""
    return _text(1, action) + message(2, timestamp(time_ns))


def attempt_ended(
    outcome: int,
    failure: bytes | None,
    event_count: int,
    digest: bytes,
    stop_steps: Sequence[bytes] = (),
) -> bytes:
    """Write the body of an `AttemptEnded`; `failure` and `stop_steps` are the bodies of theirs."""
    steps = b"".join(message(5, step) for step in stop_steps)
    cause = b"" if failure is None else message(2, failure)
    return _integer(1, outcome) + cause + _integer(3, event_count) + _bytes(4, digest) + steps


class Field(NamedTuple):
    """One field as it stands in a message: its number and its value, an unsigned integer or bytes."""

    number: int
    value: int | bytes


def read_varint(data: bytes, offset: int) -> tuple[int, int]:
    """Read an unsigned integer at `offset`; answer it and the offset behind it. Raises WireError."""
    value = shift = 0
    for position in range(offset, min(len(data), offset + 10)):
        byte = data[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _UNSIGNED_64, position + 1
        shift += 7
    raise WireError(f"no integer at byte {offset}")


def read_fields(data: bytes) -> list[Field]:
    """Read the fields of a message in the order in which they stand. Raises WireError."""
    fields: list[Field] = []
    offset = 0
    while offset < len(data):
        key, offset = read_varint(data, offset)
        value, offset = read_varint(data, offset)
        if key & 7 == _LENGTH_DELIMITED:
            end = offset + value
            if end > len(data):
                raise WireError(f"field {key >> 3} ends at byte {end} of {len(data)}")
            fields.append(Field(key >> 3, data[offset:end]))
            offset = end
        elif key & 7 == _VARINT:
            fields.append(Field(key >> 3, value))
        else:
            raise WireError(f"field {key >> 3} is of wire type {key & 7}")
    return fields


def sequence_field(sequence: int) -> bytes:
    """Write the field that every event begins with. No other sequence's begins with these bytes."""
    return b"\x08" + varint(sequence)


def read_sequence_kind(event: bytes) -> tuple[int, int]:
    """Read an event's sequence and its alternative, as a field number, 0 when there is none. Raises WireError."""
    sequence = kind = 0
    for number, value in read_fields(event):
        if number == 1 and isinstance(value, int):
            sequence = value
        elif number >= STATE_CHANGE:
            kind = number
    return sequence, kind
