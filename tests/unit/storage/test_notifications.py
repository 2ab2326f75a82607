"""Payloads of NOTIFY: whole topics, under the server's limit, and known to be one's own."""

import pytest
from athanor_orchestrator.storage.notifications import LONGEST, decode, encode

ORIGIN = "01890000-0000-7000-8000-000000000001"


def test_a_few_topics_are_one_payload() -> None:
    assert encode(ORIGIN, {"runs", "run:1"}) == [f"{ORIGIN} run:1 runs"]
    assert decode(f"{ORIGIN} run:1 runs") == (ORIGIN, frozenset({"runs", "run:1"}))


def test_no_topics_are_an_empty_payload() -> None:
    assert decode(encode(ORIGIN, set())[0]) == (ORIGIN, frozenset())


@pytest.mark.parametrize("count", [100, 189, 190, 191, 192, 193, 5000])
def test_many_topics_are_cut_between_topics_and_none_is_lost(count: int) -> None:
    topics = {f"run:{number:036}" for number in range(count)}
    payloads = encode(ORIGIN, topics)
    assert all(len(payload.encode()) <= LONGEST < 8000 for payload in payloads)
    decoded = [decode(payload) for payload in payloads]
    assert {origin for origin, _ in decoded} == {ORIGIN}
    assert frozenset().union(*(part for _, part in decoded)) == topics
    assert sum(len(part) for _, part in decoded) == count


def test_what_somebody_else_sends_on_the_channel_is_not_taken_apart_wrongly() -> None:
    assert decode("") == ("", frozenset())
    assert decode("hello") == ("hello", frozenset())
