"""EventBatch: what it says of its events without opening them, and that it is held to it when they are."""

import pytest
from athanor.client import EventBatch, LogEntry, ProtocolError, _framing
from athanor.v1 import run_event_pb2, run_service_pb2
from athanor_orchestrator.engine import framing


def event(sequence: int) -> run_event_pb2.RunEvent:
    log = run_event_pb2.LogEntry(level=20, message=f"m{sequence}")
    return run_event_pb2.RunEvent(sequence=sequence, attempt=1, log=log)


def told(*sequences: int, first: int | None = None, last: int | None = None, count: int | None = None) -> bytes:
    """As this orchestrator sends it, true or not."""
    payloads = [event(sequence).SerializeToString() for sequence in sequences]
    sent = framing.batch_response(
        payloads,
        sequences[0] if first is None else first,
        sequences[-1] if last is None else last,
    )
    batch = run_service_pb2.WatchRunResponse.FromString(sent).batch
    batch.event_count = len(sequences) if count is None else count
    events = b"".join(b"\x0a" + framing.varint(len(payload)) + payload for payload in payloads)
    head = run_service_pb2.RunEventBatch(
        first_sequence=batch.first_sequence, last_sequence=batch.last_sequence, event_count=batch.event_count
    )
    return head.SerializeToString() + events


def untold(*sequences: int) -> bytes:
    """As an orchestrator of before does."""
    return run_service_pb2.RunEventBatch(events=map(event, sequences)).SerializeToString()


def behind(*sequences: int) -> bytes:
    """As generated code writes what is told: behind the events."""
    return run_service_pb2.RunEventBatch.FromString(told(*sequences)).SerializeToString()


WAYS = pytest.mark.parametrize("made", [told, untold, behind])


@WAYS
def test_it_is_a_sequence_of_events(made):
    batch = EventBatch(made(3, 4, 5, 6))
    assert (batch.first_sequence, batch.last_sequence, len(batch)) == (3, 6, 4)
    assert [entry.message for entry in batch if isinstance(entry, LogEntry)] == ["m3", "m4", "m5", "m6"]
    assert [batch[0].sequence, batch[-1].sequence] == [3, 6]
    assert [entry.sequence for entry in batch[1:3]] == [4, 5]
    assert [entry.sequence for entry in reversed(batch)] == [6, 5, 4, 3]
    with pytest.raises(IndexError):
        batch[4]
    assert repr(batch) == "EventBatch(4 events, 3 to 6)"


@WAYS
def test_its_bytes_are_those_that_came(made):
    data = made(1, 2)
    assert EventBatch(data).data == data


@WAYS
def test_sequences_with_and_without_gaps(made):
    assert EventBatch(made(3, 4, 5)).sequences == range(3, 6)
    filtered = EventBatch(made(3, 7, 9))
    assert not filtered.contiguous
    assert filtered.sequences == [3, 7, 9]


def test_what_is_told_is_known_without_parsing_anything(monkeypatch):
    def parse(*_: object) -> None:
        raise AssertionError("parsed")

    monkeypatch.setattr(_framing, "parse", parse)
    batch = EventBatch(told(1, 2, 3))
    assert (batch.first_sequence, batch.last_sequence, len(batch), batch.sequences) == (1, 3, 3, range(1, 4))
    assert batch.behind(0) is batch


@WAYS
def test_those_behind_a_place(made):
    kept = EventBatch(made(1, 2, 3, 4)).behind(2)
    assert [entry.sequence for entry in kept] == [3, 4]
    assert (kept.first_sequence, kept.last_sequence, len(kept)) == (3, 4, 2)
    assert EventBatch(kept.data).sequences == range(3, 5)


@pytest.mark.parametrize(
    "wrong",
    [
        told(1, 2, 4, last=4, count=3, first=2),
        told(1, 2, 3, count=4, last=4),
        told(1, 2, 3, count=2, last=2),
        told(1, 3, 2, 4),
        told(1, 2, 2, 4),
        told(1, 2, 3)[:-1],
    ],
    ids=["first", "more", "fewer", "disorder", "twice", "cut"],
)
def test_a_batch_that_is_not_what_it_is_said_to_be_is_an_error_when_it_is_opened(wrong):
    batch = EventBatch(wrong)
    for opened in (batch.check, lambda: batch[0], lambda: list(batch)):
        with pytest.raises(ProtocolError):
            opened()


@pytest.mark.parametrize("wrong", [untold(1, 3, 2), untold(2, 2), b"\x0a\xff", b"\x10\xff", b"\x10" + b"\xff" * 12])
def test_what_cannot_be_a_batch_is_an_error_at_once(wrong):
    with pytest.raises(ProtocolError):
        EventBatch(wrong)


def test_of_no_events_it_is_empty():
    empty = EventBatch(b"")
    assert (len(empty), list(empty), list(empty.sequences)) == (0, [], [])
