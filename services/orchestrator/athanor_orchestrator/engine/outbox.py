"""What waits to be written to a runner's streams: bounded by the leases that it speaks of, however slowly it reads.

A newer message about the same thing takes the place of an older one that was not written yet, so a runner that does not
read costs at most one message for each of its leases.
"""

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from athanor_orchestrator.engine.messages import Acknowledgement, Fence, Report

T = TypeVar("T")


class Outbox(Generic[T]):
    """Messages in the order in which their keys were put first. One task takes, any may put."""

    def __init__(self, key: Callable[[T], Hashable]) -> None:
        self._key = key
        self._items: dict[Hashable, T] = {}
        self._edge = asyncio.Event()
        self._closed = False

    def put(self, item: T) -> None:
        """Leave a message; after `close` it is dropped."""
        if not self._closed:
            self._items[self._key(item)] = item
            self._edge.set()

    def close(self) -> None:
        """Take no more; what waits is not written any more, and `get` answers None."""
        self._closed = True
        self._items.clear()
        self._edge.set()

    async def get(self) -> T | None:
        """Wait for the next message; None when the outbox is closed."""
        while not self._closed:
            if self._items:
                return self._items.pop(next(iter(self._items)))
            self._edge.clear()
            await self._edge.wait()
        return None

    def __len__(self) -> int:
        return len(self._items)


class ReportOutbox:
    """Answers to one Report stream, by lease: what was not written yet goes out as one message."""

    def __init__(self) -> None:
        self._acknowledgements: dict[str, Acknowledgement] = {}
        self._fences: dict[str, Fence] = {}
        self._edge = asyncio.Event()
        self._closed = False

    def acknowledge(self, acknowledgement: Acknowledgement) -> None:
        """Say how far a run is durable. What waits for the same lease is out of date by then."""
        if not self._closed:
            self._acknowledgements[acknowledgement.lease_id] = acknowledgement
            self._edge.set()

    def fence(self, fence: Fence) -> None:
        """Say that a lease is over."""
        if not self._closed:
            self._fences[fence.lease_id] = fence
            self._edge.set()

    def answer_nothing(self) -> None:
        """Send a message even if it says nothing: the answer to an Open of a session without leases."""
        self._edge.set()

    def close(self) -> None:
        """Take no more; `get` answers None."""
        self._closed = True
        self._acknowledgements.clear()
        self._fences.clear()
        self._edge.set()

    async def get(self) -> Report | None:
        """Wait for answers and take all of them; None when the outbox is closed."""
        await self._edge.wait()
        if self._closed:
            return None

        self._edge.clear()
        report = Report(tuple(self._acknowledgements.values()), tuple(self._fences.values()))
        self._acknowledgements.clear()
        self._fences.clear()
        return report
