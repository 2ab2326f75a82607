"""Messages that are put together from stored bytes are those that generated code would write."""

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
    sent = framing.batch_response(payloads)
    parsed = run_service_pb2.WatchRunResponse.FromString(sent)
    assert [e.SerializeToString() for e in parsed.batch.events] == payloads
    assert parsed.SerializeToString() == sent


@given(st.lists(st.text(max_size=300), max_size=20))
def test_so_is_a_page_of_a_listing(texts: list[str]) -> None:
    payloads = [event(n, text) for n, text in enumerate(texts, 1)]
    listed = run_service_pb2.ListRunEventsResponse.FromString(framing.event_list(iter(payloads)))
    assert [e.SerializeToString() for e in listed.events] == payloads


def test_an_event_of_a_megabyte_fits() -> None:
    sent = framing.batch_response([event(1, "x" * 2**20)])
    assert run_service_pb2.WatchRunResponse.FromString(sent).batch.events[0].log.message == "x" * 2**20
