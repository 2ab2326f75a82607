"""A client that watches a run from a thread of its own, so that a blocking test can break things meanwhile."""

import asyncio
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from athanor.client import AsyncClient
from athanor.client.events import Event, RunUpdated, WatchItem
from athanor.client.resources import RunRecord


@dataclass(frozen=True)
class Seen:
    """An item, and when the caller had it."""

    time: datetime
    item: WatchItem


class Watcher:
    """Iterates `client.runs.watch(run_id)` to its end, as a caller would: nothing here knows of interruptions."""

    def __init__(self, target: str, run_id: str) -> None:
        self.seen: list[Seen] = []
        self.interruptions = 0
        self._target = target
        self._run_id = run_id
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    @property
    def events(self) -> list[Event]:
        return [seen.item for seen in list(self.seen) if isinstance(seen.item, Event)]

    @property
    def last_run(self) -> RunRecord:
        """The run as it was last given."""
        return [seen.item.run for seen in self.seen if isinstance(seen.item, RunUpdated)][-1]

    def join(self, timeout: float) -> None:
        """Wait until the watch has ended by itself; raise what it raised."""
        self._thread.join(timeout)
        assert not self._thread.is_alive(), f"the watch did not end; {len(self.seen)} items so far"
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.join(60)

    def _run(self) -> None:
        try:
            asyncio.run(self._watch())
        except BaseException as error:
            self._error = error

    async def _watch(self) -> None:
        def count(_: object) -> None:
            self.interruptions += 1

        async with AsyncClient(self._target) as client:
            async for item in client.runs.watch(self._run_id, on_interruption=count):
                self.seen.append(Seen(datetime.now(UTC), item))
