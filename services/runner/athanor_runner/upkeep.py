"""What is done now and then: new data is flushed, acknowledged segments go, the processes of runs are noted."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
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
        growing = {attempt.lease_id: attempt.folder / SPOOL for attempt in self._roster if attempt.active}
        if growing or self._flushers:
            await self._tools.disk.run(self._flush, growing)

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

    def _flush(self, growing: dict[str, Path]) -> None:
        for lease_id in [known for known in self._flushers if known not in growing]:
            self._flushers.pop(lease_id).close()
        for lease_id, folder in growing.items():
            flusher = self._flushers.get(lease_id)
            if flusher is None:
                flusher = self._flushers[lease_id] = SpoolFlusher(folder)
            try:
                flusher.flush()
            except FileNotFoundError:
                continue  # a segment that went meanwhile; the next round sees the one behind it
            except OSError as error:
                if self._complaints.due(lease_id):
                    log.error("the spool %s cannot be flushed to disk, trying on: %s", folder, error)


def _prune(due: dict[Path, int]) -> None:
    for folder, committed in due.items():
        with contextlib.suppress(OSError):
            remove_acknowledged(folder, committed)
