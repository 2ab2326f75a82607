# Derived from _async/run_watch.py by tools/derive_sync.py: change that one.

"""Following a run event by event, or by its log entries alone."""

from collections.abc import Iterator
from typing import Self

from athanor.client._sync.closing import Closing
from athanor.client._sync.watch import BatchWatch
from athanor.client.event_batch import EventBatch
from athanor.client.events import Event, LogEntry, WatchItem
from athanor.client.resources import RunRecord


class RunWatch(Closing):
    """An iterator over a run: `for item in client.runs.watch(run_id): ...`.

    Gives RunUpdated (first, at every change, and last), every Event once and in order, and ProgressUpdated. It ends
    after the run has ended and all of its log has been given. When the connection breaks, or the orchestrator
    restarts, it connects again, to any of the client's orchestrators, and goes on behind the last event, for as long as
    that takes.

    Stopping to iterate, or Ctrl-C, ends the watching only; iterating again goes on where it stopped. Not for use
    by several threads at once. `with` closes the stream at a place of your choice.
    """

    def __init__(self, batches: BatchWatch) -> None:
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

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> WatchItem:
        while True:
            event = next(self._events, None)
            if event is not None:
                self._given = event.sequence
                return event
            self._given = None
            item = next(self._batches)
            if not isinstance(item, EventBatch):
                return item
            self._given = item.first_sequence - 1
            self._events = iter(item)

    def close(self) -> None:
        """End the watching. The run goes on."""
        self._events = iter(())
        self._batches.close()


class LogWatch(Closing):
    """An iterator over the log entries of a run as they come, to its end; see RunWatch."""

    def __init__(self, watch: RunWatch) -> None:
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

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> LogEntry:
        while True:
            item = next(self._watch)
            if isinstance(item, LogEntry):
                return item

    def close(self) -> None:
        """End the watching. The run goes on."""
        self._watch.close()
