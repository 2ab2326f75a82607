"""When deliveries go: at once when nothing waits for its answer, and gathered while something does."""

import asyncio
import gc
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from athanor.experiment import wire
from athanor.experiment.control import ControlPage
from athanor.experiment.spool import SpoolWriter
from athanor.runner.v1 import dispatch_service_pb2 as pb
from athanor_runner.pace import LARGE_DELIVERY, LOOK_AGAIN, Pace
from athanor_runner.report import Reporter, Terms
from athanor_runner.settings import Timings
from athanor_runner.shipping import Batch, Feed, Feeds

from tests.support.runner_fakes import Connection, Disk, Stream
from tests.support.virtual_time import virtual_time

MEBIBYTE = 1 << 20
FIRST = 2
TIMINGS = Timings(answer=0.2)


@pytest.mark.parametrize(
    ("waited", "unread", "pause"),
    [
        (0.0, 100, LOOK_AGAIN),
        (0.03, 100, 0.03),
        (0.15, 100, 0.05),
        (0.2, 100, 0.0),
        (9.0, 100, 0.0),
        (0.0, LARGE_DELIVERY - 1, LOOK_AGAIN),
        (0.0, LARGE_DELIVERY, 0.0),
    ],
)
def test_what_is_small_waits_for_an_answer_for_a_while(waited: float, unread: int, pause: float) -> None:
    pace = Pace(0.2)
    assert pace.pause(7.0, 0) == 0.0
    pace.sent(7.0)
    assert pace.pause(7.0 + waited, unread) == pytest.approx(pause)
    pace.answered()
    assert pace.pause(7.0 + waited, unread) == 0.0


class Run:
    """A process that records, and its feed."""

    def __init__(self, folder: Path, feeds: Feeds) -> None:
        folder.mkdir()
        self.page = ControlPage.create(folder / "control")
        self.writer = SpoolWriter.open(folder / "spool", FIRST)
        self.next = FIRST
        self._feeds = feeds
        self.feed = Feed(
            folder.name,
            folder / "spool",
            committed=FIRST - 1,
            control=self.page,
            on_progress=lambda: None,
            on_damage=lambda _: None,
        )
        feeds.add(self.feed)

    def record(self, count: int = 1, size: int = 10) -> None:
        for _ in range(count):
            self.writer.append([wire.run_event(self.next, 1, 1, wire.LOG, wire.log_entry(20, "x" * size))])
            self.page.recorded(self._feeds.news.set)(self.next)
            self.next += 1

    def close(self) -> None:
        self.feed.close()
        self.writer.close()


def fenced(lease_id: str, reason: str) -> None:
    raise AssertionError(f"{lease_id} was fenced: {reason}")


class Reporting:
    """A reporter on a stream whose other side is the test."""

    def __init__(self, folder: Path) -> None:
        self.feeds = Feeds()
        self.first, self.second = Run(folder / "a", self.feeds), Run(folder / "b", self.feeds)
        self.connection = Connection()

    @contextmanager
    def running(self) -> Generator[None]:
        reporter = Reporter(self.feeds, Disk(), TIMINGS, fenced)
        terms = Terms("session", 3 * MEBIBYTE, 8 * MEBIBYTE)
        task = asyncio.create_task(reporter.run(self.connection, terms), name="reporter")
        with closing(self.first), closing(self.second):
            yield
            task.cancel()

    @property
    def stream(self) -> Stream:
        return self.connection.reports[-1]

    def delivered(self) -> list[dict[str, int]]:
        """Of each delivery: how many events of which run."""
        return [
            {batch.lease_id: len(batch.events) for batch in message.delivery.batches}
            for message in self.stream.sent[1:]
        ]

    def answer(self) -> None:
        words = [
            pb.Acknowledgement(lease_id=run.feed.lease_id, committed_sequence=run.feed.highest_sequence)
            for run in (self.first, self.second)
        ]
        self.stream.say(pb.ReportResponse(acknowledgements=words))


@pytest.fixture
def reporting(tmp_path: Path) -> Reporting:
    return Reporting(tmp_path)


async def moment() -> None:
    """Far less than anything here waits for."""
    await asyncio.sleep(0.0001)


@virtual_time
async def test_with_nothing_under_way_an_event_goes_at_once(reporting: Reporting) -> None:
    with reporting.running():
        await moment()
        for count in range(1, 4):
            reporting.first.record()
            await moment()
            assert reporting.delivered() == [{"a": 1}] * count
            reporting.answer()
            await moment()


@virtual_time
async def test_what_two_runs_record_while_something_is_under_way_goes_together_with_its_answer(
    reporting: Reporting,
) -> None:
    with reporting.running():
        await moment()
        reporting.first.record()
        await moment()
        for _ in range(10):
            reporting.first.record()
            reporting.second.record(2)
            await asyncio.sleep(0.01)
        assert reporting.delivered() == [{"a": 1}]
        reporting.answer()
        await moment()
        assert reporting.delivered() == [{"a": 1}, {"a": 10, "b": 20}]


@virtual_time
async def test_much_goes_although_something_is_under_way_as_far_as_the_window_allows(reporting: Reporting) -> None:
    with reporting.running():
        await moment()
        reporting.first.record(size=1000)
        await moment()
        for _ in range(3):
            reporting.first.record(300, size=1000)
            await asyncio.sleep(0.05)
        assert reporting.delivered() == [{"a": 1}, {"a": 300}, {"a": 300}, {"a": 300}]
        reporting.first.record(12, size=MEBIBYTE - 200)
        await asyncio.sleep(10)
        assert reporting.first.feed.window.in_flight <= 8 * MEBIBYTE
        assert reporting.first.feed.highest_sequence < reporting.first.next - 1


@virtual_time
async def test_of_what_was_sent_no_event_is_held(reporting: Reporting) -> None:
    """The spool has them, should they be needed again."""
    of_other_tests = batches_in_memory()
    with reporting.running():
        await moment()
        reporting.first.record(10)
        await moment()
        assert reporting.delivered() == [{"a": 10}]
        assert [batch for batch in batches_in_memory() if not any(batch is other for other in of_other_tests)] == []


def batches_in_memory() -> list[Batch]:
    """Those too that only the garbage collector will find: what a failed or a cancelled task held, for one."""
    return [thing for thing in gc.get_objects() if isinstance(thing, Batch)]


@virtual_time
async def test_a_lost_answer_does_not_hold_up_what_follows_for_long(reporting: Reporting) -> None:
    with reporting.running():
        await moment()
        reporting.first.record()
        await moment()
        reporting.second.record()
        await asyncio.sleep(TIMINGS.answer - 0.001)
        assert reporting.delivered() == [{"a": 1}]
        await asyncio.sleep(0.002)
        assert reporting.delivered() == [{"a": 1}, {"b": 1}]


@virtual_time
async def test_progress_waits_for_no_answer_and_none_is_awaited_for_it(reporting: Reporting) -> None:
    with reporting.running():
        await moment()
        reporting.first.record()
        await moment()
        reporting.second.page.write_progress(1, 2, b"")
        await asyncio.sleep(2 * TIMINGS.progress_interval)
        assert reporting.delivered() == [{"a": 1}, {}]
        reporting.answer()
        reporting.second.page.write_progress(2, 2, b"")
        await asyncio.sleep(2 * TIMINGS.progress_interval)
        reporting.second.record()
        await moment()
        assert reporting.delivered() == [{"a": 1}, {}, {}, {"b": 1}]
