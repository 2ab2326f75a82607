"""What a watch sends: stored bytes as they are, and its end when the orchestrator stops."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from athanor.v1 import run_service_pb2
from athanor_orchestrator.domain.errors import Stopping
from athanor_orchestrator.domain.records import EventFilter, Progress
from athanor_orchestrator.engine.subscription import BatchItem, Item, PositionItem, ProgressItem
from athanor_orchestrator.rpc import watch
from athanor_orchestrator.rpc.handlers import serialize
from athanor_orchestrator.rpc.watch import Watches


class Subscriptions:
    """Yields what it is given, then waits for ever; knows whether it was closed."""

    def __init__(self, *items: Item, end: bool = False) -> None:
        self.items = items
        self.end = end
        self.closed = False

    async def follow(self, _run: str, _after: int, _filter: EventFilter) -> AsyncGenerator[Item, None]:
        try:
            for item in self.items:
                yield item
            if not self.end:
                await asyncio.Event().wait()
        finally:
            self.closed = True


def watches(subscriptions: Subscriptions) -> Watches:
    return Watches(subscriptions, None)  # type: ignore[arg-type]


def test_a_batch_is_sent_as_it_is() -> None:
    assert serialize(watch.response(BatchItem(b"as it is", 7))) == b"as it is"


async def test_a_watch_ends_with_what_it_follows_and_is_counted() -> None:
    subscriptions = Subscriptions(ProgressItem(Progress(1, 2)), PositionItem(7, 1_500_000), end=True)
    served = watches(subscriptions)
    counts: list[int] = []
    async for item in served.follow("r", 0, EventFilter()):
        counts.append(served.open)
        assert isinstance(item, run_service_pb2.WatchRunResponse)
    assert counts == [1, 1]
    assert (served.open, served.opened) == (0, 1)
    assert subscriptions.closed


async def test_a_stop_ends_a_watch_that_waits() -> None:
    subscriptions = Subscriptions(ProgressItem(Progress(1, 2)))
    served = watches(subscriptions)
    items = served.follow("r", 0, EventFilter())
    await anext(items)
    asyncio.get_running_loop().call_soon(served.stop)
    with pytest.raises(Stopping):
        await anext(items)
    assert served.open == 0
    assert subscriptions.closed


async def test_a_watch_that_begins_while_stopping_ends_at_once() -> None:
    served = watches(Subscriptions())
    served.stop()
    with pytest.raises(Stopping):
        await anext(served.follow("r", 0, EventFilter()))


async def test_a_reader_that_goes_away_gives_its_place_back() -> None:
    subscriptions = Subscriptions(ProgressItem(Progress(1, 2)))
    served = watches(subscriptions)
    items = served.follow("r", 0, EventFilter())
    await anext(items)
    reader = asyncio.create_task(anext(items))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    reader.cancel()
    await asyncio.wait({reader})
    assert served.open == 0
    assert subscriptions.closed
