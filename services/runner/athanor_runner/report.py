"""The stream that carries events up and acknowledgements down, reopened whenever it ends."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from athanor.experiment.wire import MAX_EVENT_BYTES
from athanor.runner.v1 import dispatch_service_pb2 as pb
from athanor.v1 import run_pb2

from athanor_runner import shipping
from athanor_runner.backoff import Backoff
from athanor_runner.pace import Pace
from athanor_runner.ports import Connection, Disk, ReportStream, StreamEnded
from athanor_runner.settings import Timings
from athanor_runner.shipping import Batch, Feed, Feeds
from athanor_runner.supervise import until_first_ends

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Terms:
    """What Welcome said about shipping. Sizes in bytes."""

    session_id: str
    max_delivery_bytes: int
    max_unacknowledged_bytes: int

    @property
    def budget(self) -> int:
        """How many bytes of events are read for one delivery: a largest event may come on top, and each has a head."""
        return max(MAX_EVENT_BYTES // 4, (self.max_delivery_bytes - MAX_EVENT_BYTES) * 7 // 8)


class Reporter:
    """Ships what the feeds have, in one session."""

    def __init__(self, feeds: Feeds, disk: Disk, timings: Timings, on_fence: Callable[[str, str], None]) -> None:
        self._feeds = feeds
        self._disk = disk
        self._timings = timings
        self._on_fence = on_fence
        self._turn = 0

    async def run(self, connection: Connection, terms: Terms) -> None:
        """Ships until it is cancelled. Raises StreamEnded when a newer session exists."""
        backoff = Backoff(self._timings.reconnect_first, self._timings.reconnect_most)
        while True:
            stream = connection.report()
            pace = Pace(self._timings.answer)
            try:
                await until_first_ends(
                    report_reader=self._read(stream, pace, backoff), report_writer=self._write(stream, pace, terms)
                )
            except StreamEnded as ended:
                if ended.superseded:
                    raise
                log.debug("Report ended, opening it again: %s", ended.reason)
            finally:
                stream.cancel()
            await asyncio.sleep(backoff.next())

    async def _read(self, stream: ReportStream, pace: Pace, backoff: Backoff) -> None:
        while True:
            response = await stream.receive()
            backoff.reset()
            pace.answered()
            for word in response.acknowledgements:
                feed = self._feeds.find(word.lease_id)
                if feed is not None:
                    feed.acknowledged(word.committed_sequence, word.rewind)
            for fence in response.fences:
                self._on_fence(fence.lease_id, fence.reason)
            self._feeds.news.set()

    async def _write(self, stream: ReportStream, pace: Pace, terms: Terms) -> None:
        loop = asyncio.get_running_loop()
        self._feeds.stream_opened(terms.max_unacknowledged_bytes)
        await stream.send(pb.ReportRequest(open=pb.Open(session_id=terms.session_id)))
        answer_due: float | None = loop.time() + self._timings.open_answer
        progress_due = look_due = loop.time()
        while True:
            if answer_due is not None and loop.time() >= answer_due:
                answer_due = None
                for feed in self._feeds:
                    # Not one of this session's leases at Open, or an answer that never came.
                    feed.awaiting_answer = False

            self._feeds.news.clear()
            if loop.time() >= look_due:
                look_due = loop.time() + self._timings.spool_poll
                for feed in self._feeds:
                    feed.look()
            ready = self._in_turn([feed for feed in self._feeds if feed.ready])
            unread = [feed for feed in ready if feed.may_have_more]
            pause = pace.pause(loop.time(), sum(feed.unread_bytes for feed in unread)) if unread else 0
            batches: list[tuple[Feed, Batch]] = []
            if unread and pause <= 0:
                batches = self._still_wanted(await self._disk.run(shipping.fill, unread, terms.budget))
            if loop.time() >= progress_due:
                progress = _progress(self._feeds)
                progress_due = loop.time() + self._timings.progress_interval
            else:
                # The last progress travels with the end, which closes the way behind it.
                progress = _progress(feed for feed, _ in batches if feed.ending)

            if batches or progress:
                # Before it is sent: the acknowledgement may be faster than the return from here.
                _note_as_sent(batches)
                if batches:
                    pace.sent(loop.time())
                message = _delivery(batches, progress)
                batches.clear()  # the events are held once while it is sent, and not at all while others are read
                await stream.send(message)
                del message
            elif pause > 0:
                await self._wait_for_news(pause)
            elif not [feed for feed in ready if feed.ask_to_ring()]:  # else once more: something came before the asking
                await self._wait_for_news(self._timings.spool_poll)

    async def _wait_for_news(self, longest: float) -> None:
        """Waits for the doorbell, an acknowledgement, progress; or for so many seconds."""
        loop = asyncio.get_running_loop()
        until = loop.time() + longest
        while not self._feeds.news.is_set() and (left := until - loop.time()) > 0:
            with contextlib.suppress(TimeoutError):
                pause = min(left, self._timings.progress_interval) if any(self._feeds) else left
                async with asyncio.timeout(pause):
                    await self._feeds.news.wait()
            if any(feed.has_progress() for feed in self._feeds):
                return

    def _in_turn(self, feeds: list[Feed]) -> list[Feed]:
        """Each time another one comes first, so that what is left of a delivery's room goes round."""
        self._turn = (self._turn + 1) % len(feeds) if feeds else 0
        return feeds[self._turn :] + feeds[: self._turn]

    def _still_wanted(self, taken: list[shipping.Taken]) -> list[tuple[Feed, Batch]]:
        """Leaves out what was read before somebody said that reading begins elsewhere."""
        wanted: list[tuple[Feed, Batch]] = []
        for entry in taken:
            if entry.generation != entry.feed.generation or entry.feed.held:
                self._feeds.news.set()
            elif entry.damage:
                entry.feed.damaged(entry.damage)
            elif entry.batch is not None:
                wanted.append((entry.feed, entry.batch))
        return wanted


def _note_as_sent(batches: Iterable[tuple[Feed, Batch]]) -> None:
    for feed, batch in batches:
        feed.was_sent(batch)


def _progress(feeds: Iterable[Feed]) -> list[pb.ProgressReport]:
    """Takes what is new."""
    return [
        pb.ProgressReport(
            lease_id=feed.lease_id,
            progress=run_pb2.Progress(current=slot.current, total=slot.total, message=slot.message),
        )
        for feed in feeds
        if (slot := feed.new_progress()) is not None
    ]


def _delivery(batches: list[tuple[Feed, Batch]], progress: list[pb.ProgressReport]) -> pb.ReportRequest:
    return pb.ReportRequest(
        delivery=pb.Delivery(
            batches=[
                pb.EventBatch(lease_id=feed.lease_id, first_sequence=batch.first_sequence, events=batch.events)
                for feed, batch in batches
            ],
            progress=progress,
        )
    )
