"""Who waits for what: commits publish topics, loops wait for them.

A wake-up is a hint that something may have changed. It is never data, it may come for nothing, and it may be lost (from
another process); so every waiter reads the database again, and polls beside it.
"""

import asyncio
from types import TracebackType
from typing import Self


class Wakeup:
    """One waiter's subscription to some topics; a context manager that ends it.

    The edge is kept: a topic published between a read and the wait ends the wait at once. Many at a time count as one.
    """

    __slots__ = ("_edge", "_heard", "_topics", "_wakeups")

    def __init__(self, wakeups: "Wakeups", topics: frozenset[str]) -> None:
        self._wakeups = wakeups
        self._topics = topics
        self._edge = asyncio.Event()
        self._heard: set[str] = set()  # since it was last asked

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the subscription."""
        self._wakeups.unsubscribe(self, self._topics)

    def set(self, topic: str) -> None:
        """Wake the waiter, now or at its next wait."""
        self._heard.add(topic)
        self._edge.set()

    def heard(self) -> frozenset[str]:
        """Return the topics that were published since this, or `wait`, was last called; and forget them."""
        heard = frozenset(self._heard)
        self._heard.clear()
        self._edge.clear()
        return heard

    async def wait(self, timeout: float) -> frozenset[str]:
        """Wait for one of the topics, for `timeout` seconds at most; returns those published, empty when none was."""
        if not self._edge.is_set():
            try:
                async with asyncio.timeout(max(timeout, 0)):
                    await self._edge.wait()
            except TimeoutError:
                return frozenset()
        return self.heard()


class Wakeups:
    """The waiters of this process, by topic. Used on the event loop only."""

    def __init__(self) -> None:
        self._waiters: dict[str, dict[Wakeup, None]] = {}  # in the order in which they came

    def publish(self, topics: frozenset[str]) -> None:
        """Wake whoever subscribed to one of `topics`."""
        for topic in topics:
            for waiter in self._waiters.get(topic, ()):
                waiter.set(topic)

    def subscribe(self, *topics: str) -> Wakeup:
        """Subscribe to `topics` from now on; close it, or use it as a context manager."""
        wakeup = Wakeup(self, frozenset(topics))
        for topic in topics:
            self._waiters.setdefault(topic, {})[wakeup] = None
        return wakeup

    def unsubscribe(self, wakeup: Wakeup, topics: frozenset[str]) -> None:
        """Forget a waiter; `Wakeup.close` calls it."""
        for topic in topics:
            waiters = self._waiters.get(topic)
            if waiters is None:
                continue
            waiters.pop(wakeup, None)
            if not waiters:
                del self._waiters[topic]
