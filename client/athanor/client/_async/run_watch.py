"""Following a run event by event, or by its log entries alone."""

from collections.abc import Iterator
from typing import Self

from athanor.client._async.closing import AsyncClosing
from athanor.client._async.watch import AsyncBatchWatch
from athanor.client.event_batch import EventBatch
from athanor.client.events import Event, LogEntry, WatchItem
from athanor.client.resources import RunRecord


class AsyncRunWatch(AsyncClosing):
    """An asynchronous iterator over a run: `async for item in client.runs.watch(run_id): ...`.

    Gives RunUpdated (first, at every change, and last), every Event once and in order, and ProgressUpdated. It ends
    after the run has ended and all of its log has been given. When the connection breaks, or the orchestrator
    restarts, it connects again, to any of the client's orchestrators, and goes on behind the last event, for as long as
    that takes.

    Stopping to iterate, or cancelling, ends the watching only; iterating again goes on where it stopped. Not for use
    by several tasks at once. `async with` closes the stream at a place of your choice.
    """

    def __init__(self, batches: AsyncBatchWatch) -> None:
        """`batches` opens them as they come."""
        self._batches = batches
        self._events: Iterator[Event] = iter(())  # of one batch, not given yet
        self._given: int | None = None  # sequence up to which that one has been given; None: all of it

    @property
    def position(self) -> int:
        """Sequence up to which everything has been given: a watch after it misses nothing and repeats nothing."""
        return self._batches.position if self._given is None else self._given

    @property
    def run(self) -> RunRecord | None:
        """The run as it was last given; None before the first item."""
        return self._batches.run

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> WatchItem:
        while True:
            event = next(self._events, None)
            if event is not None:
                self._given = event.sequence
                return event
            self._given = None
            item = await anext(self._batches)
            if not isinstance(item, EventBatch):
                return item
            self._given = item.first_sequence - 1
            self._events = iter(item)

    async def aclose(self) -> None:
        """End the watching. The run goes on."""
        self._events = iter(())
        await self._batches.aclose()


class AsyncLogWatch(AsyncClosing):
    """An asynchronous iterator over the log entries of a run as they come, to its end; see AsyncRunWatch."""

    def __init__(self, watch: AsyncRunWatch) -> None:
        """`watch` gives them, and what else there is."""
        self._watch = watch

    @property
    def position(self) -> int:
        """Sequence up to which everything has been given: a watch after it misses nothing and repeats nothing."""
        return self._watch.position

    @property
    def run(self) -> RunRecord | None:
        """The run as it was last given; None before the first item."""
        return self._watch.run

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> LogEntry:
        while True:
            item = await anext(self._watch)
            if isinstance(item, LogEntry):
                return item

    async def aclose(self) -> None:
        """End the watching. The run goes on."""
        await self._watch.aclose()
