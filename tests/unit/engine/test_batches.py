"""Reading batches: many log entries at once say what each would say by itself, and a batch says it in one way."""

from dataclasses import replace

import pytest
from athanor.experiment import wire
from athanor.v1 import run_event_pb2
from athanor_orchestrator.domain.event_columns import EventColumns, in_columns
from athanor_orchestrator.domain.records import EventKind
from athanor_orchestrator.engine import batches, codec
from athanor_orchestrator.engine.batches import PreparedBatch, prepare
from athanor_orchestrator.engine.log_columns import begins_as_log_entry, read_log_entries
from athanor_orchestrator.engine.messages import EventBatch
from hypothesis import given
from hypothesis import strategies as st

NOW_NS = 1_700_000_000_123_456_789


def entry(sequence: int, *, attempt: int = 1, time_ns: int | None = None, level: int = 20, text: str = "line") -> bytes:
    """What a run's process writes."""
    body = wire.log_entry(level, text, '{"epoch":1}', "logger")
    time_ns = NOW_NS + sequence * 1_234_567 if time_ns is None else time_ns
    return wire.run_event(sequence, attempt, time_ns, wire.LOG, body)


def result(sequence: int, attempt: int = 1) -> bytes:
    return wire.run_event(sequence, attempt, NOW_NS, wire.RESULT, wire.result("k", "1"))


def started(sequence: int) -> bytes:
    return wire.run_event(sequence, 1, NOW_NS, wire.ATTEMPT_STARTED, wire.attempt_started("r", b"", "{}"))


def ended(sequence: int) -> bytes:
    return wire.run_event(sequence, 1, NOW_NS, wire.ATTEMPT_ENDED, wire.attempt_ended(1, None, 1, b""))


def entries(first: int, count: int) -> list[bytes]:
    return [entry(sequence) for sequence in range(first, first + count)]


def one_by_one(payloads: list[bytes]) -> EventColumns:
    """What decoding each makes of them."""
    (columns,) = in_columns(codec.decode(payload).row for payload in payloads)
    return columns


def read(payloads: list[bytes], first: int = 1) -> PreparedBatch:
    (batch,) = prepare([EventBatch("lease", first, payloads)])
    return batch


@given(
    first=st.one_of(st.integers(1, 300), st.integers(1, 2**62)),
    attempt=st.integers(1, 2**31 - 1),
    said=st.lists(
        st.tuples(
            st.integers(300_000_000 * 10**9, 30_000_000_000 * 10**9), st.sampled_from([10, 20, 30, 40, 127]), st.text()
        ),
        min_size=1,
        max_size=20,
    ),
)
def test_log_entries_read_at_once_are_what_each_is_by_itself(first, attempt, said):
    payloads = [
        entry(sequence, attempt=attempt, time_ns=time_ns | 1, level=level, text=text)
        for sequence, (time_ns, level, text) in enumerate(said, first)
    ]
    assert all(map(begins_as_log_entry, payloads))
    found = read_log_entries(payloads)
    assert found is not None
    assert found.columns(0, len(payloads), first) == one_by_one(payloads)


@given(st.lists(st.tuples(st.integers(0, 7), st.binary(max_size=80)), max_size=12), st.booleans())
def test_whatever_is_hung_on_to_entries_a_batch_reads_what_decoding_each_reads(changes, cut):
    payloads = entries(1, 8)
    for index, extra in changes:
        payloads[index] = payloads[index][: -len(extra) or None] if cut else payloads[index] + extra
    at_once, each = read(payloads), _without_columns(payloads)
    assert at_once == each


def _without_columns(payloads: list[bytes]) -> PreparedBatch:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "read_log_entries", lambda payloads: None)
        return read(payloads)


def _field(number: int, value: int) -> bytes:
    return wire.tag(number, 0) + wire.varint(value)


def _without_sequence() -> bytes:
    return entry(2)[2:]


def _of_unusual_order() -> bytes:
    event = run_event_pb2.RunEvent.FromString(entry(2))
    log, event.log.level = event.log.level, 0
    return event.SerializeToString() + wire.message(wire.LOG, wire.level_field(log))


@pytest.mark.parametrize(
    "spoiled",
    [
        pytest.param([entry(1) + _field(1, 2), entry(1)[2:]], id="a number twice beside one that is missing"),
        pytest.param([entry(1) + _field(2, 1), entry(2)[:2] + entry(2)[4:]], id="an attempt twice beside none"),
        pytest.param([entry(1) + wire.message(wire.LOG, wire.level_field(30)), entry(2, level=0)], id="a level twice"),
        pytest.param([entry(1), entry(2, attempt=2)], id="another attempt"),
        pytest.param([entry(1), entry(3)], id="a gap"),
        pytest.param([entry(1), entry(1)], id="the same again"),
        pytest.param([entry(1), entry(2) + wire.message(wire.RESULT, b"")], id="a result on top"),
        pytest.param([entry(1), entry(2)[:-1]], id="cut"),
        pytest.param([entry(1)[:-1], entry(2)], id="cut before another"),
        pytest.param([entry(1), entry(2).replace(b"line", b"l\xff\xfee")], id="no UTF-8"),
        pytest.param([entry(1).replace(b"line", b"l\xff\xfee"), entry(2)], id="no UTF-8 in front"),
        pytest.param([entry(1), _of_unusual_order()], id="another order"),
    ],
)
def test_what_is_not_in_order_is_left_to_decoding_each(spoiled):
    usual = all(begins_as_log_entry(payload) is not None for payload in spoiled)
    found = read_log_entries(spoiled) if usual else None
    assert found is None or found.columns(0, len(spoiled), 1) is None
    padded = [*spoiled, *entries(3, 20)]
    assert read(padded) == _without_columns(padded)


def test_a_batch_of_many_kinds_is_one_column_of_each(monkeypatch):
    at_once: list[int] = []
    real = batches.read_log_entries
    monkeypatch.setattr(
        batches, "read_log_entries", lambda payloads: (at_once.append(len(payloads)), real(payloads))[1]
    )
    payloads = [started(1), *entries(2, 10), result(12), *entries(13, 2), result(15), *entries(16, 9), ended(25)]
    batch = read(payloads)
    assert at_once == [0, 10, 9], "two in a row are not worth it"
    assert batch.fault == ""
    assert batch.events == one_by_one(payloads)
    assert batch.events.kinds.count(EventKind.LOG.value) == 21
    assert [row.sequence for row in batch.results] == [12, 15]
    assert batch.started is not None
    assert batch.started[0] == 1
    assert batch.ended is not None
    assert batch.unstarted is None
    assert (batch.first_sequence, batch.last_sequence) == (1, 25)


def test_batches_of_log_entries_are_read_together_and_each_as_by_itself(monkeypatch):
    spoiled = [entry(1), entry(3), *entries(3, 9)]
    came = [
        EventBatch("a", 5, entries(5, 3)),
        EventBatch("b", 1, [started(1), *entries(2, 2)]),
        EventBatch("c", 1, []),
        EventBatch("d", 7, [entry(sequence, attempt=3) for sequence in range(7, 30)]),
        EventBatch("e", 1, spoiled),
        EventBatch("f", 9, entries(9, 1)),
    ]
    together = prepare(came)
    assert together == [read_by_itself for batch in came for read_by_itself in prepare([batch])]
    assert [batch.lease_id for batch in together] == ["a", "b", "c", "d", "e", "f"]
    assert [len(batch.events) for batch in together] == [3, 3, 0, 23, 1, 1]

    # One of them is no event at all: that spoils the reading of all at once, and none of the others.
    came.insert(3, EventBatch("g", 1, [entry(1), entry(2).replace(b"line", b"l\xff\xfee"), *entries(3, 9)]))
    found = prepare(came)
    assert "event 2 is not a RunEvent" in found.pop(3).fault
    assert found == together


def test_entries_behind_the_end_are_a_fault():
    batch = read([started(1), ended(2), *entries(3, 20)])
    assert "event 3 came after the attempt's end" in batch.fault
    assert batch.last_sequence == 2


def test_entries_of_another_attempt_behind_a_stretch_are_a_fault():
    other = [entry(sequence, attempt=2) for sequence in range(13, 33)]
    batch = read([*entries(1, 11), result(12), *other])
    assert "event 13 is of attempt 2" in batch.fault
    assert batch.last_sequence == 12


def test_a_batch_that_begins_before_the_first_event_is_a_fault():
    batch = read([entry(0), *entries(1, 20)], first=0)
    assert (batch.fault, len(batch.events)) == ("a batch began with event 0", 0)


def test_one_entry_that_is_too_large_is_the_fault_and_those_in_front_of_it_are_read():
    payloads = [*entries(1, 10), entry(11, text="x" * batches.EVENT_BYTES), *entries(12, 10)]
    batch = read(payloads)
    assert "event 11 is" in batch.fault
    assert batch.events == one_by_one(payloads[:10])


def test_columns_behind_some_are_the_rest_of_each():
    columns = one_by_one(entries(5, 10))
    assert columns.behind(0) is columns
    assert columns.behind(4) == one_by_one(entries(9, 6))
    assert (columns.behind(10).first_sequence, len(columns.behind(10))) == (15, 0)


def test_rows_in_columns_are_cut_where_they_are_not_consecutive_or_of_another_attempt():
    rows = [codec.decode(payload).row for payload in [*entries(1, 3), *entries(5, 2), entry(7, attempt=2)]]
    found = in_columns(rows)
    assert [(each.first_sequence, each.attempt, len(each)) for each in found] == [(1, 1, 3), (5, 1, 2), (7, 2, 1)]
    assert in_columns([]) == []
    assert replace(found[0], attempt=9).attempt == 9
