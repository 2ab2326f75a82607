"""What is done for every spool now and then: new data is flushed to disk, acknowledged segments go."""

import asyncio
import contextlib
import logging
from pathlib import Path

from athanor.experiment.spool import SpoolFlusher, remove_acknowledged

from athanor_runner.output import SPOOL
from athanor_runner.ports import Disk
from athanor_runner.roster import Roster
from athanor_runner.settings import Timings
from athanor_runner.shipping import Feeds

log = logging.getLogger(__name__)


class Upkeep:
    """Looks after the spools of all attempts."""

    def __init__(self, roster: Roster, feeds: Feeds, disk: Disk, timings: Timings) -> None:
        self._roster = roster
        self._feeds = feeds
        self._disk = disk
        self._timings = timings
        self._flushers: dict[str, SpoolFlusher] = {}

    async def run(self) -> None:
        """Goes on until it is cancelled."""
        loop = asyncio.get_running_loop()
        prune_at = loop.time()
        pruned: dict[str, int] = {}
        try:
            while True:
                await asyncio.sleep(self._timings.sync_interval)
                # An attempt's end is flushed by who writes it, so only those that may have processes are looked at.
                growing = {attempt.lease_id: attempt.folder / SPOOL for attempt in self._roster if attempt.active}
                if growing or self._flushers:
                    await self._disk.run(self._flush, growing)
                if loop.time() >= prune_at:
                    prune_at = loop.time() + self._timings.prune
                    committed = {feed.lease_id: feed.window.committed for feed in self._feeds if not feed.held}
                    due = [(lease, to) for lease, to in committed.items() if pruned.get(lease) != to]
                    for lease_id, to in due:
                        feed = self._feeds.find(lease_id)
                        if feed is not None:
                            await self._disk.run(_prune, feed.folder, to)
                    pruned = committed
        finally:
            for flusher in self._flushers.values():
                flusher.close()

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
                log.error("the spool %s cannot be flushed to disk: %s", folder, error)


def _prune(folder: Path, committed: int) -> None:
    with contextlib.suppress(OSError):
        remove_acknowledged(folder, committed)
