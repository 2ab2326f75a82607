"""Whether the database takes what is written: asked every few seconds, and told to whoever asks for health.

Nothing else changes meanwhile: calls are answered with UNAVAILABLE, events wait with the runners, and whatever comes
first after the trouble finds that it is over.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from athanor_orchestrator.domain.errors import StorageUnavailable
from athanor_orchestrator.engine.timings import Timings
from athanor_orchestrator.storage.database import Database
from athanor_orchestrator.storage.probe import probe

logger = logging.getLogger(__name__)

_SMALL = 512  # bytes
_LARGE = 1024 * 1024  # bytes: after a refusal, because a disk that is nearly full still takes the small ones


class StorageHealth:
    """Tells when the database begins to refuse commits, or to take too long over them, and when that is over."""

    def __init__(self, database: Database, timings: Timings, tell: Callable[[bool], Awaitable[None]]) -> None:
        """`tell` is called with False and True in turn, True being what is believed at first."""
        self._database = database
        self._timings = timings
        self._tell = tell
        self._refused = asyncio.Event()
        self._ill_since: float | None = None  # by the loop's clock
        database.on_refusal = self._refused.set

    async def run(self) -> None:
        """Ask for ever, at once when a commit was refused; runs until cancelled."""
        while True:
            await self._pause()
            await self.round()

    async def round(self) -> None:
        """Ask once, and tell what has changed."""
        if broken_off := self._database.break_off_hanging():
            logger.warning("%d transactions of a database that does not answer were broken off", broken_off)
        if self._refused.is_set():
            await self._say("a commit was refused")

        self._refused.clear()
        size = _SMALL if self._ill_since is None else _LARGE
        try:
            await self._database.write(lambda tx: probe(tx, size), within=self._timings.storage_slow)
        except StorageUnavailable as error:
            await self._say(str(error))
        except Exception as error:
            logger.exception("asking the database failed")
            await self._say(str(error))
        else:
            # Others may have been refused while this one was not.
            await self._say("" if not self._refused.is_set() else "a commit was refused")

    async def _pause(self) -> None:
        if self._ill_since is not None:
            await asyncio.sleep(self._timings.storage_probe_again)
            return
        try:
            async with asyncio.timeout(self._timings.storage_probe):
                await self._refused.wait()
        except TimeoutError:
            pass

    async def _say(self, trouble: str) -> None:
        """Tell, once each, that there is trouble and that there is none any more."""
        now = asyncio.get_running_loop().time()
        if trouble and self._ill_since is None:
            self._ill_since = now
            logger.warning("the database takes nothing just now, health says NOT_SERVING: %s", trouble)
            await self._tell(False)
        elif not trouble and self._ill_since is not None:
            logger.warning("the database takes what is written again, after %.1f s", now - self._ill_since)
            self._ill_since = None
            await self._tell(True)
