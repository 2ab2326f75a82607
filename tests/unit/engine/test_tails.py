"""What watchers are sent from memory: exactly what follows, made once, and never more than so much of it."""

import random
from contextlib import ExitStack

import pytest
from athanor.v1 import run_event_pb2, run_service_pb2
from athanor_orchestrator.engine.tails import ALL_BYTES, TAIL_BYTES, BatchItem, Tail, Tails


def events(first: int, count: int, size: int = 10) -> list[bytes]:
    return [
        run_event_pb2.RunEvent(sequence=n, log=run_event_pb2.LogEntry(message="x" * size)).SerializeToString()
        for n in range(first, first + count)
    ]


def numbers(item: BatchItem | None) -> list[int]:
    assert item is not None
    found = [event.sequence for event in run_service_pb2.WatchRunResponse.FromString(item.message).batch.events]
    assert item.last_sequence == found[-1]
    return found


def test_who_has_kept_up_gets_what_follows_and_nobody_else_anything():
    tail = Tail()
    tail.add(5, events(5, 3))
    assert numbers(tail.behind(4)) == [5, 6, 7]
    assert [tail.behind(position) for position in (0, 3, 5, 6, 7, 8, 99)] == [None] * 7


def test_several_commits_come_as_one_from_where_one_of_them_begins():
    tail = Tail()
    for first in (1, 3, 5):
        tail.add(first, events(first, 2))
    assert numbers(tail.behind(0)) == [1, 2, 3, 4, 5, 6]
    assert numbers(tail.behind(2)) == [3, 4, 5, 6]
    assert numbers(tail.behind(4)) == [5, 6]
    assert tail.behind(3) is None
    assert tail.behind(6) is None


def test_what_follows_is_made_once_for_all_and_again_when_there_is_more():
    tail = Tail()
    tail.add(1, events(1, 1))
    item = tail.behind(0)
    assert tail.behind(0) is item
    tail.add(2, events(2, 1))
    assert numbers(tail.behind(0)) == [1, 2]
    assert numbers(tail.behind(1)) == [2]


@pytest.mark.parametrize("first", [1, 2, 4, 9], ids=["again", "overlapping", "one missing", "far"])
def test_what_does_not_follow_takes_the_place_of_all_there_was(first):
    tail = Tail()
    tail.add(1, events(1, 2))
    tail.add(first, events(first, 2))
    assert numbers(tail.behind(first - 1)) == [first, first + 1]
    others = [tail.behind(position) for position in range(12) if position != first - 1]
    assert not any(others)


def test_no_more_than_so_many_bytes_are_held_and_the_oldest_go():
    tail = Tail()
    for number in range(1, 101):
        tail.add(number, events(number, 1, 10_000))
    held = tail.behind(100 - TAIL_BYTES // len(events(1, 1, 10_000)[0]))
    assert numbers(held)[-1] == 100
    assert held is not None
    assert TAIL_BYTES - 11_000 < len(held.message) < TAIL_BYTES + 1_000
    assert tail.behind(0) is None
    assert sum(len(payload) for commit in tail._commits for payload in commit.payloads) <= TAIL_BYTES


def test_a_commit_larger_than_that_is_not_held_and_leaves_nothing_stale():
    tail = Tail()
    tail.add(1, events(1, 1))
    tail.add(2, events(2, 1, TAIL_BYTES))
    assert [tail.behind(position) for position in range(4)] == [None] * 4
    tail.add(3, events(3, 1))
    assert numbers(tail.behind(2)) == [3]
    assert tail.behind(0) is None
    assert tail.behind(1) is None


def test_items_for_many_positions_are_not_kept():
    tail = Tail()
    for number in range(1, 101):
        tail.add(number, events(number, 1))
    for position in range(100):
        assert numbers(tail.behind(position))[0] == position + 1
    assert len(tail._made) <= 8


@pytest.mark.parametrize("seed", range(20))
def test_every_event_once_and_in_order_whatever_is_committed_and_whoever_falls_back_to_the_log(seed):
    dice = random.Random(seed)
    tail, log = Tail(), [b""]
    seen: list[list[bytes]] = [[] for _ in range(5)]
    for _ in range(200):
        batch = [
            payload
            for n in range(dice.randrange(1, 4))
            for payload in events(len(log) + n, 1, dice.choice((1, 50_000, TAIL_BYTES)))
        ]
        first = len(log)
        log += batch
        if dice.random() < 0.8:  # else another orchestrator's
            tail.add(first, batch)
        for reader in seen:
            position = len(reader)
            if dice.random() < 0.6 and (item := tail.behind(position)) is not None:
                found = run_service_pb2.WatchRunResponse.FromString(item.message).batch.events
                reader += [event.SerializeToString() for event in found]
            elif dice.random() < 0.3:
                reader += log[position + 1 : position + dice.randrange(2, 6)]
            assert reader == log[1 : len(reader) + 1]


def test_a_tail_is_kept_as_long_as_somebody_follows_it():
    tails = Tails()
    assert not tails.followed("a")
    with tails.follow("a") as one:
        with tails.follow("a") as other:
            assert one is other
        assert tails.followed("a")
        assert not tails.followed("b")
        tails.add("a", 1, events(1, 1))
        assert numbers(one.behind(0)) == [1]
    assert not tails.followed("a")
    assert tails.size == 0
    with tails.follow("a") as again:
        assert again.behind(0) is None


def test_all_of_them_together_hold_no_more_than_so_much_and_those_that_are_quiet_make_room():
    tails = Tails()
    count = 2 * ALL_BYTES // TAIL_BYTES
    payload = events(1, 1, TAIL_BYTES - 100)
    with ExitStack() as stack:
        held = [stack.enter_context(tails.follow(str(number))) for number in range(count)]
        for number in range(count):
            tails.add(str(number), 1, payload)
            tails.add("0", 1, payload)  # again and again: it stays
            assert tails.size == sum(tail.size for tail in held) <= ALL_BYTES
        kept = [number for number, tail in enumerate(held) if tail.behind(0) is not None]
        assert kept == [0, *range(count - ALL_BYTES // TAIL_BYTES + 1, count)]
        tails.add("1", 2, events(2, 1))
        assert numbers(held[1].behind(1)) == [2]
    assert tails.size == 0
