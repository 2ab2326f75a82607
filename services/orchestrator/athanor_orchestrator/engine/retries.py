"""Answering runs whose transaction failed: a rewind, after a delay that grows, so that nothing waits for ever.

How far such a run is durable is read when its answer is due: after a failure that is known to the database alone.
"""

import asyncio
import logging

from athanor_orchestrator.engine.messages import Acknowledgement
from athanor_orchestrator.engine.report_stream import ReportStream
from athanor_orchestrator.engine.rounds import attempt_round
from athanor_orchestrator.engine.timings import Timings
from athanor_orchestrator.storage import leases
from athanor_orchestrator.storage.database import Database

logger = logging.getLogger(__name__)

_Key = tuple[ReportStream, str]  # a stream and a lease


class Retries:
    """Which leases of which streams are to be answered later."""

    def __init__(self, database: Database, timings: Timings) -> None:
        self._database = database
        self._timings = timings
        self._failures: dict[_Key, int] = {}  # in a row
        self._due: dict[_Key, float] = {}  # by the loop's clock
        self._edge = asyncio.Event()

    def failed(self, stream: ReportStream, lease_id: str) -> None:
        """Have a lease answered with a rewind; until then the stream drops what comes of it."""
        stream.drop_all(lease_id)
        key = stream, lease_id
        if key in self._due:
            return

        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = min(self._timings.retry_first * 2 ** min(failures, 32), self._timings.retry_longest)
        self._due[key] = asyncio.get_running_loop().time() + delay
        self._edge.set()

    def succeeded(self, stream: ReportStream, lease_id: str) -> None:
        """Forget the failures of a lease of which something was stored."""
        self._failures.pop((stream, lease_id), None)

    async def run(self) -> None:
        """Answer what is due; runs until cancelled."""
        while True:
            if not self._due:
                await self._edge.wait()
            self._edge.clear()

            wait = min(self._due.values()) - asyncio.get_running_loop().time()
            if wait <= 0:
                await attempt_round("answering after failed commits", self.round)
                continue
            try:
                async with asyncio.timeout(wait):
                    await self._edge.wait()  # one that is due earlier may come
            except TimeoutError:
                pass

    async def round(self) -> None:
        """Answer every lease whose delay is over; where the database cannot be read, later."""
        now = asyncio.get_running_loop().time()
        self._forget_closed()
        due = [key for key, time in self._due.items() if time <= now]
        for key in due:
            del self._due[key]

        try:
            known = await self._database.read(lambda tx: leases.get_leases(tx, {lease_id for _, lease_id in due}))
        except Exception:
            for stream, lease_id in due:
                self.failed(stream, lease_id)
            raise

        for stream, lease_id in due:
            lease = known.get(lease_id)
            if lease is not None:
                stream.rewind(Acknowledgement(lease_id, lease.last_sequence, rewind=True))

    def _forget_closed(self) -> None:
        for known in (self._failures, self._due):
            for key in [key for key in known if key[0].closed]:
                del known[key]
