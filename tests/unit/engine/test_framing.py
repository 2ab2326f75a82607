"""Messages that are put together from stored bytes are those that generated code would write."""

from athanor.client import _framing
from athanor.v1 import run_event_pb2, run_service_pb2
from athanor_orchestrator.engine import framing
from hypothesis import given
from hypothesis import strategies as st


def event(sequence: int, text: str) -> bytes:
    return run_event_pb2.RunEvent(
        sequence=sequence, attempt=1, log=run_event_pb2.LogEntry(level=20, message=text)
    ).SerializeToString()


@given(st.lists(st.text(max_size=300), min_size=1, max_size=20))
def test_a_batch_is_the_message_that_generated_code_would_write(texts: list[str]) -> None:
    payloads = [event(n, text) for n, text in enumerate(texts, 1)]
    sent = framing.batch_response(payloads, 1, len(payloads))
    parsed = run_service_pb2.WatchRunResponse.FromString(sent)
    assert [e.SerializeToString() for e in parsed.batch.events] == payloads
    said = run_service_pb2.RunEventBatch(
        events=parsed.batch.events, first_sequence=1, last_sequence=len(payloads), event_count=len(payloads)
    )
    assert parsed == run_service_pb2.WatchRunResponse(batch=said)
    # What it is stands in front, else it is the same.
    assert sorted(parsed.SerializeToString()) == sorted(sent)


def test_the_client_reads_which_events_a_batch_has_without_making_messages_of_them() -> None:
    sent = framing.batch_response([event(1234567, "a"), event(1234570, "b")], 1234567, 1234570)
    batch = _framing.batch(sent)
    assert batch is not None
    assert _framing.extent(batch) == (1234567, 1234570, 2)


@given(st.lists(st.text(max_size=300), max_size=20))
def test_so_is_a_page_of_a_listing(texts: list[str]) -> None:
    payloads = [event(n, text) for n, text in enumerate(texts, 1)]
    listed = run_service_pb2.ListRunEventsResponse.FromString(framing.event_list(iter(payloads)))
    assert [e.SerializeToString() for e in listed.events] == payloads


def test_an_event_of_a_megabyte_fits() -> None:
    sent = framing.batch_response([event(1, "x" * 2**20)], 1, 1)
    assert run_service_pb2.WatchRunResponse.FromString(sent).batch.events[0].log.message == "x" * 2**20
