"""Taking in what runners report: everything that waits goes into one transaction, and is answered after its commit.

A stream is not read further while its last delivery waits for a transaction, so at most two deliveries of it are in
memory: one waiting, and one in the transaction that is under way.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from athanor_orchestrator.domain.errors import SessionSuperseded, StorageUnavailable
from athanor_orchestrator.domain.records import Progress
from athanor_orchestrator.engine import appending
from athanor_orchestrator.engine.appending import Arrival, Committed, Fenced, Nothing, Rewound, Superseded
from athanor_orchestrator.engine.batches import PreparedBatch, prepare
from athanor_orchestrator.engine.messages import Acknowledgement, Delivery, Fence
from athanor_orchestrator.engine.progress import ProgressBoard
from athanor_orchestrator.engine.report_stream import ReportStream
from athanor_orchestrator.engine.retries import Retries
from athanor_orchestrator.engine.sessions import Session
from athanor_orchestrator.engine.tails import Tails
from athanor_orchestrator.engine.timings import Timings
from athanor_orchestrator.storage import leases
from athanor_orchestrator.storage.database import Database

logger = logging.getLogger(__name__)

_MOST_BYTES = 8 * 1024 * 1024  # of events in one transaction (or one delivery), so that other commands get their turn
_DECODED_ON_THE_LOOP = 64 * 1024  # bytes; a larger delivery is decoded on a thread, so that heartbeats do not wait


@dataclass(frozen=True, slots=True)
class _Waiting:
    stream: ReportStream
    batches: Sequence[PreparedBatch]
    size: int
    taken: asyncio.Event


@dataclass(frozen=True, slots=True)
class _Item:
    stream: ReportStream
    batch: PreparedBatch

    @property
    def lease_id(self) -> str:
        return self.batch.lease_id


class Intake:
    """Stores what all Report streams of this orchestrator deliver."""

    def __init__(self, database: Database, progress: ProgressBoard, tails: Tails, timings: Timings) -> None:
        self._database = database
        self._progress = progress
        self._tails = tails
        self._timings = timings
        self._retries = Retries(database, timings)
        self._waiting: deque[_Waiting] = deque()
        self._edge = asyncio.Event()
        self._storing = False

    @property
    def idle(self) -> bool:
        """True when everything that was delivered has been stored, or failed."""
        return not self._waiting and not self._storing

    async def open(self, session: Session) -> ReportStream:
        """Begin a Report stream: it is answered with how far each lease of the session is stored."""
        stream = ReportStream(session)
        held = await self._database.read(lambda tx: leases.live_leases_of_runner(tx, session.runner_id))
        for lease in held:
            if lease.session_number == session.number:
                session.leases[lease.id] = lease.run_id
                stream.outbox.acknowledge(Acknowledgement(lease.id, lease.last_sequence))
        stream.outbox.answer_nothing()
        return stream

    async def deliver(self, stream: ReportStream, delivery: Delivery) -> None:
        """Take a delivery; returns when a transaction has taken it, which is before it is committed."""
        for lease_id, progress in delivery.progress:
            run_id = stream.session.leases.get(lease_id)
            if run_id is not None:
                self._progress.report(run_id, progress)
        if not delivery.batches:
            return

        size = sum(len(event) for batch in delivery.batches for event in batch.events)
        if size <= _DECODED_ON_THE_LOOP:
            batches = prepare(delivery.batches)
        else:
            batches = await asyncio.to_thread(prepare, delivery.batches)

        waiting = _Waiting(stream, batches, size, asyncio.Event())
        del delivery, batches
        self._waiting.append(waiting)
        self._edge.set()
        await waiting.taken.wait()

    async def run(self) -> None:
        """Store what waits, one transaction after the other; runs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._retries.run(), name="intake retries")
            while True:
                await self._edge.wait()
                self._edge.clear()
                while group := self._take():
                    self._storing = True
                    await self._store(group)
                    self._storing = False

    def _take(self) -> list[_Item]:
        """Take deliveries in the order in which they came, as many as make a transaction of a fair size."""
        group: list[_Item] = []
        size = 0
        while self._waiting and (not group or size + self._waiting[0].size <= _MOST_BYTES):
            waiting = self._waiting.popleft()
            waiting.taken.set()
            stream = waiting.stream
            if stream.closed and stream.error is not None:
                continue  # of a superseded session: dropped

            size += waiting.size
            group += [
                _Item(stream, batch)
                for batch in waiting.batches
                if not stream.drops(batch.lease_id, batch.first_sequence)
            ]
        return group

    async def _store(self, group: Sequence[_Item]) -> None:
        try:
            await self._commit(group)
        except StorageUnavailable as error:
            logger.warning("a commit failed: %s", error)
            self._fail(group)
        except Exception:
            by_lease = _by_lease(group)
            logger.exception("storing batches of %d runs failed", len(by_lease))
            if len(by_lease) == 1:
                self._fail(group)
                return
            # One run must not harm its neighbours: each has a transaction of its own now.
            async with asyncio.TaskGroup() as tasks:
                for lease_id, items in by_lease.items():
                    tasks.create_task(self._store(items), name=f"store lease {lease_id}")

    async def _commit(self, items: Sequence[_Item]) -> None:
        arrivals = [Arrival(item.stream.session.runner_id, item.stream.session.number, item.batch) for item in items]
        now = asyncio.get_running_loop().time()
        progress = self._progress_of(items, now)

        # However long it takes: a slow database is felt as windows that stay full, not as the same data once more.
        answers = await self._database.write(lambda tx: appending.store(tx, arrivals, progress), within=None)

        # Committed: from here on it may be told.
        self._progress.mark_stored(progress, now)
        for item, answer in zip(items, answers, strict=True):
            self._settle(item, answer)

    def _progress_of(self, items: Sequence[_Item], now: float) -> dict[str, Progress]:
        """Return what this commit is to write of progress: what is due, and the last of what may end in it."""
        due = self._progress.due(now, self._timings.progress_stored)
        chosen: dict[str, Progress] = {}
        for item in items:
            run_id = item.stream.session.leases.get(item.lease_id)
            if run_id is None:
                continue
            over = item.batch.ended is not None or item.batch.fault != ""
            value = self._progress.unstored(run_id) if over else due.get(run_id)
            if value is not None:
                chosen[run_id] = value
        return chosen

    def _settle(self, item: _Item, answer: appending.Answer) -> None:
        stream, lease_id = item.stream, item.lease_id
        match answer:
            case Committed(sequence, ended):
                self._retries.succeeded(stream, lease_id)
                stream.outbox.acknowledge(Acknowledgement(lease_id, sequence))
                if ended:
                    self._forget(stream, lease_id)
                elif sequence == item.batch.last_sequence:
                    self._show(item)
            case Rewound(sequence):
                stream.rewind(Acknowledgement(lease_id, sequence, rewind=True))
            case Fenced(reason):
                stream.outbox.fence(Fence(lease_id, reason))
                self._forget(stream, lease_id)
            case Superseded():
                stream.session.end(SessionSuperseded(stream.session.id))
            case Nothing():
                pass

    def _show(self, item: _Item) -> None:
        """Keep the events of a batch, all of which are stored, for those who watch its run."""
        run_id = item.stream.session.leases.get(item.lease_id)
        if run_id is not None and self._tails.followed(run_id):
            self._tails.add(run_id, item.batch.first_sequence, item.batch.events.payloads)

    def _forget(self, stream: ReportStream, lease_id: str) -> None:
        run_id = stream.session.leases.get(lease_id)
        if run_id is not None:
            self._progress.forget(run_id)
        stream.forget_lease(lease_id)

    def _fail(self, items: Sequence[_Item]) -> None:
        for item in items:
            self._retries.failed(item.stream, item.lease_id)


def _by_lease(items: Sequence[_Item]) -> dict[str, list[_Item]]:
    by_lease: dict[str, list[_Item]] = {}
    for item in items:
        by_lease.setdefault(item.lease_id, []).append(item)
    return by_lease
