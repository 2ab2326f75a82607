"""Never more in any minute than the limits allow, by a clock that only sleeping moves."""

import asyncio
import random

import pytest
from athanor_experiments.models.rate_limit import RateLimit, Window


class Clock:
    """Stands still but for `sleep`."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


def starts(window: Window, asked: list[tuple[float, int]]) -> list[float]:
    """When each may start, of costs that are asked for at a time, one behind the other."""
    started, now = [], 0.0
    for at, cost in asked:
        now = window.room_at(max(now, at), cost)
        window.add(now, cost)
        started.append(now)
    return started


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        ([(0, 1), (0, 1), (0, 1), (0, 1), (0, 1)], [0, 0, 60, 60, 120]),
        ([(0, 1), (30, 1), (40, 1), (50, 1)], [0, 30, 60, 90]),
        ([(0, 2), (0, 1), (0, 2)], [0, 60, 120]),
        ([(0, 1), (0, 5), (0, 1)], [0, 60, 120]),  # more than the limit: alone
        ([(0, 1), (0, 1), (60, 1), (200, 1)], [0, 0, 60, 200]),
    ],
)
def test_starts_are_granted_in_order_and_as_early_as_may_be(asked: list[tuple[float, int]], granted: list[int]) -> None:
    assert starts(Window(2, period=60), asked) == granted


@pytest.mark.parametrize("seed", range(20))
def test_in_no_minute_there_is_more_than_the_limit(seed: int) -> None:
    rng, now = random.Random(seed), 0.0
    asked: list[tuple[float, int]] = []
    for _ in range(200):
        now += rng.choice([0, 0, 1, 7, 90])
        asked.append((now, rng.randint(1, 10)))
    granted = starts(Window(10, period=60), asked)
    costs = [cost for _, cost in asked]
    for one in granted:
        assert sum(cost for at, cost in zip(granted, costs, strict=True) if one - 60 < at <= one) <= 10


@pytest.mark.parametrize("seed", range(5))
async def test_in_no_minute_there_is_more_than_the_limit_whatever_pauses_there_are(seed: int) -> None:
    """Whoever waits through a pause starts after it, and counts from then on."""
    clock, rng = Clock(), random.Random(seed)
    limit, begun = RateLimit(10, 1_000_000, clock=clock, sleep=clock.sleep), list[float]()

    async def request() -> None:
        await limit.start(1)
        begun.append(clock.now)
        if rng.random() < 0.2:
            limit.hold(rng.choice([1, 30, 55, 100]))

    limit.hold(55)
    for _ in range(10):
        async with asyncio.TaskGroup() as group:
            for _ in range(rng.randint(5, 15)):
                group.create_task(request())
        clock.now += rng.choice([0, 5, 30])
    assert begun == sorted(begun)
    assert all(sum(one - 60 < other <= one for other in begun) <= 10 for one in begun)


async def test_after_a_pause_there_are_no_more_at_once_than_else() -> None:
    clock = Clock()
    limit = RateLimit(10, 1_000_000, clock=clock, sleep=clock.sleep)
    limit.hold(55)
    await asyncio.gather(*(limit.start(1) for _ in range(10)))
    assert clock.now - 1000 == 55
    clock.now = 1060
    await limit.start(1)
    assert clock.now - 1000 == 115


async def test_who_gives_up_waiting_takes_nobody_s_place() -> None:
    clock = Clock()
    limit = RateLimit(1, 1_000_000, clock=clock, sleep=clock.sleep)
    await limit.start(1)
    waiting = asyncio.create_task(limit.start(1))
    while not clock.slept:
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    await limit.start(1)
    assert clock.slept == [60]


async def test_requests_and_tokens_are_both_kept() -> None:
    clock = Clock()
    limit = RateLimit(3, 1000, clock=clock, sleep=clock.sleep)
    starts = []
    for tokens in (400, 400, 400, 100, 100):
        await limit.start(tokens)
        starts.append(clock.now - 1000)
    # The third by its tokens; then three requests in the minute from 60 on.
    assert starts == [0, 0, 60, 60, 60]
    await limit.start(1)
    assert clock.now - 1000 == 120


async def test_what_a_request_really_cost_counts_for_those_after_it() -> None:
    clock = Clock()
    limit = RateLimit(100, 1000, clock=clock, sleep=clock.sleep)
    limit.settle(await limit.start(900), 100)
    await limit.start(900)
    assert clock.slept == []
    await limit.start(1)
    assert clock.slept == [60]


async def test_a_pause_that_the_server_asks_for_holds_everybody_even_who_waits_already() -> None:
    clock = Clock()
    limit = RateLimit(1, 1_000_000, clock=clock, sleep=clock.sleep)
    await limit.start(1)
    waiting = asyncio.create_task(limit.start(1))
    while not clock.slept:
        await asyncio.sleep(0)
    limit.hold(45)
    await waiting
    assert clock.slept == [60, 45]


async def test_without_a_limit_in_the_way_nothing_waits() -> None:
    clock = Clock()
    limit = RateLimit(60, 100_000, clock=clock, sleep=clock.sleep)
    for _ in range(60):
        await limit.start(100)
    assert clock.slept == []
