"""What is done now and then: new data is flushed, acknowledged segments go, the processes of runs are noted."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

from athanor.experiment.spool import SpoolFlusher, remove_acknowledged

from athanor_runner.complaints import Complaints
from athanor_runner.output import SPOOL
from athanor_runner.roster import Roster
from athanor_runner.shipping import Feeds
from athanor_runner.supervision import Tools

log = logging.getLogger(__name__)


class Upkeep:
    """Looks after the spools and the processes of all attempts."""

    def __init__(self, roster: Roster, feeds: Feeds, tools: Tools) -> None:
        self._roster = roster
        self._feeds = feeds
        self._tools = tools
        self._complaints = Complaints()
        self._flushers: dict[str, SpoolFlusher] = {}
        self._flushed: dict[str, int] = {}  # by lease: what its process had recorded when the last flush of it began
        self._pruned: dict[str, int] = {}  # by lease: up to which event acknowledged segments were looked for

    async def run(self) -> None:
        """Goes on until it is cancelled."""
        timings, disk = self._tools.timings, self._tools.disk
        try:
            async with asyncio.TaskGroup() as group:
                for name, interval, work in (
                    ("flush", timings.sync_interval, self._flush_all),
                    ("prune", timings.prune, self._prune_all),
                    ("trace", timings.tree_poll, self._trace),
                ):
                    group.create_task(self._every(interval, name, work), name=name)
        finally:
            await disk.run(self._flush, {})

    async def _every(self, interval: float, name: str, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(interval)
            try:
                await work()
            except Exception:
                # What is looked after every now and then is looked after again; the runs must not end for it.
                if self._complaints.due(name):
                    log.exception("a round of upkeep failed")

    async def _flush_all(self) -> None:
        # An attempt's end is flushed by who writes it, so only those that may have processes are looked at.
        active = [attempt for attempt in self._roster if attempt.active]
        growing = {attempt.lease_id: attempt.folder / SPOOL for attempt in active}
        # What its process had said before a flush began is on the disk; one that says nothing is always looked at.
        said = {attempt.lease_id: attempt.feed.recorded_sequence for attempt in active if attempt.feed is not None}
        due = [lease_id for lease_id in growing if not (0 < said.get(lease_id, 0) == self._flushed.get(lease_id))]
        if due or self._flushers.keys() - growing:
            for lease_id in await self._tools.disk.run(self._flush, growing, due):
                said.pop(lease_id, None)
        self._flushed = said

    async def _prune_all(self) -> None:
        feeds = {feed.lease_id: feed for feed in self._feeds if not feed.held}
        committed = {lease_id: feed.window.committed for lease_id, feed in feeds.items()}
        due = {feeds[lease_id].folder: to for lease_id, to in committed.items() if self._pruned.get(lease_id) != to}
        if due:
            await self._tools.disk.run(_prune, due)
        self._pruned = committed

    async def _trace(self) -> None:
        if not self._roster.idle:
            await self._tools.disk.run(self._tools.processes.trace)

    def _flush(self, growing: Mapping[str, Path], due: Iterable[str] = ()) -> list[str]:
        """Flushes what is due, lets go of what does not grow any more; returns what could not be flushed."""
        failed: list[str] = []
        for lease_id in [known for known in self._flushers if known not in growing]:
            self._flushers.pop(lease_id).close()
        for lease_id in due:
            flusher = self._flushers.get(lease_id)
            if flusher is None:
                flusher = self._flushers[lease_id] = SpoolFlusher(growing[lease_id])
            try:
                flusher.flush()
            except FileNotFoundError:
                failed.append(lease_id)  # a segment that went meanwhile; the next round sees the one behind it
            except OSError as error:
                failed.append(lease_id)
                if self._complaints.due(lease_id):
                    log.error("the spool %s cannot be flushed to disk, trying on: %s", growing[lease_id], error)
        return failed


def _prune(due: dict[Path, int]) -> None:
    for folder, committed in due.items():
        with contextlib.suppress(OSError):
            remove_acknowledged(folder, committed)
