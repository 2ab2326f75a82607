"""Wake-ups: hints that are kept between a read and a wait."""

import asyncio

from athanor_orchestrator.engine.wakeups import Wakeups

from tests.support.virtual_time import virtual_time


@virtual_time
async def test_a_topic_published_before_the_wait_ends_it_at_once():
    wakeups = Wakeups()
    with wakeups.subscribe("a") as wakeup:
        wakeups.publish(frozenset({"a"}))
        begun = asyncio.get_running_loop().time()
        assert await wakeup.wait(10)
        assert asyncio.get_running_loop().time() == begun


@virtual_time
async def test_many_count_as_one():
    wakeups = Wakeups()
    with wakeups.subscribe("a", "b") as wakeup:
        for _ in range(3):
            wakeups.publish(frozenset({"a", "b"}))
        assert await wakeup.wait(1)
        assert not await wakeup.wait(1)


@virtual_time
async def test_only_those_who_subscribed_are_woken():
    wakeups = Wakeups()
    with wakeups.subscribe("a") as one, wakeups.subscribe("b") as other, wakeups.subscribe("b") as third:
        wakeups.publish(frozenset({"b", "c"}))
        assert not await one.wait(0)
        assert await other.wait(0)
        assert await third.wait(0)


@virtual_time
async def test_without_a_publication_the_wait_takes_as_long_as_it_may():
    with Wakeups().subscribe("a") as wakeup:
        begun = asyncio.get_running_loop().time()
        assert not await wakeup.wait(2)
        assert asyncio.get_running_loop().time() == begun + 2


@virtual_time
async def test_a_waiter_is_woken_while_it_waits():
    wakeups = Wakeups()
    with wakeups.subscribe("a") as wakeup:
        asyncio.get_running_loop().call_later(1, wakeups.publish, frozenset({"a"}))
        assert await wakeup.wait(10)


@virtual_time
async def test_nothing_is_left_of_a_subscription_that_ended():
    wakeups = Wakeups()
    with wakeups.subscribe("a", "b"), wakeups.subscribe("a"):
        pass
    assert not wakeups._waiters
