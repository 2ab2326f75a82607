"""One log, numbered once, whoever records and whatever interrupts them."""

import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from athanor.experiment import wire
from athanor.experiment.capture import CHUNK_BYTES, OutputCapture
from athanor.experiment.errors import RunEndedError
from athanor.experiment.recorder import LOG, RESULT, Recorder
from athanor.experiment.spool import SpoolReader, SpoolWriter
from athanor.v1 import run_event_pb2

from tests.support.recording import Memory, context_over


def body(text: str) -> bytes:
    return wire.log_entry(20, text)


def messages(spool: Memory) -> list[str]:
    return [message for _, message, _, _ in spool.logs]


def test_threads_share_one_numbering(tmp_path: Path) -> None:
    with closing(SpoolWriter.open(tmp_path, 2, segment_bytes=20_000)) as writer:
        ctx = context_over(Recorder(writer, 1))

        def work(thread: int) -> None:
            for number in range(200):
                if number % 3:
                    ctx.log("info", f"{thread}/{number}")
                else:
                    ctx.log_batch([("info", f"{thread}/{number}", None)])

        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    with closing(SpoolReader(tmp_path)) as reader:
        events = [run_event_pb2.RunEvent.FromString(data) for data in reader.read(1 << 30)]
    assert [event.sequence for event in events] == list(range(2, 1602))
    for thread in range(8):  # and each thread's own are in its order
        own = [event.log.message for event in events if event.log.message.startswith(f"{thread}/")]
        assert own == [f"{thread}/{number}" for number in range(200)]


def test_who_interrupts_an_append_in_the_same_thread_is_recorded_behind_it() -> None:
    """A signal handler, or a finalizer that prints, runs inside `append`: the lock is held, the number is taken."""
    spool = Memory()
    recorder = Recorder(spool, 1)
    spool.interrupt = lambda: (recorder.record(LOG, body("handler")), recorder.record_many(LOG, [body("more")]))[0]

    recorder.record(LOG, body("interrupted"))
    recorder.record(LOG, body("next"))

    assert messages(spool) == ["interrupted", "handler", "more", "next"]
    assert [event.sequence for event in spool.parsed] == [2, 3, 4, 5]


def test_a_signal_handler_that_raises_leaves_the_recorder_usable() -> None:
    spool = Memory()
    recorder = Recorder(spool, 1)

    def handler() -> None:
        recorder.record(LOG, body("handler"))
        raise TimeoutError

    spool.interrupt = handler
    with pytest.raises(TimeoutError):
        recorder.record(LOG, body("interrupted"))
    recorder.record(LOG, body("next"))
    recorder.end()

    assert messages(spool) == ["next", "handler"]


def test_who_listens_is_told_after_the_write_how_far_it_is() -> None:
    spool = Memory()
    rung: list[tuple[int, int]] = []
    recorder = Recorder(spool, 1, recorded=lambda last: rung.append((last, len(spool.events))))

    recorder.record(LOG, body("a"))
    recorder.record_many(LOG, [body("b"), body("c")])

    assert rung == [(2, 1), (4, 3)]


def test_many_large_events_are_written_in_pieces() -> None:
    spool = Memory()
    recorder = Recorder(spool, 1)

    recorder.record_many(LOG, [body("x" * 400_000) for _ in range(7)])

    assert spool.writes == [3, 3, 1]
    assert [event.sequence for event in spool.parsed] == list(range(2, 9))


def test_captured_output_comes_before_the_call_that_finds_it_and_not_too_often(tmp_path: Path) -> None:
    now = 1_700_000_000_000_000_000
    (tmp_path / "stdout").write_bytes(b"before the start\n")
    with (
        closing(SpoolWriter.open(tmp_path / "spool", 2)) as writer,
        closing(OutputCapture(tmp_path)) as capture,
        (tmp_path / "stdout").open("ab", buffering=0) as stdout,
    ):
        recorder = Recorder(writer, 1, time_ns=lambda: now)
        recorder.record(RESULT, wire.result("start", "1"))
        recorder.capture_output(capture)
        stdout.write(b"too soon\n")
        recorder.record(LOG, body("first"))
        now += 100_000_000
        recorder.record(LOG, body("second"))
        stdout.write(b"unfinished")
        now -= 3_600_000_000_000  # the clock was set back
        recorder.record(LOG, body("third"))
        stdout.write(b" line\n")
        recorder.end()

    with closing(SpoolReader(tmp_path / "spool")) as reader:
        events = [run_event_pb2.RunEvent.FromString(data) for data in reader.read(1 << 30)]
    assert events[0].result.key == "start"
    assert [event.log.message for event in events[1:]] == [
        "before the start",
        "first",
        "too soon",
        "second",
        "third",
        "unfinished line",
    ]


def test_captured_output_never_makes_a_call_wait(tmp_path: Path) -> None:
    def waited(seconds: float) -> None:
        pytest.fail("waited")

    (tmp_path / "stdout").write_bytes(b"x\n" * 1000)
    with (
        closing(
            SpoolWriter.open(tmp_path / "spool", 2, limit_bytes=500, sleep=lambda _: pytest.fail("waited"))
        ) as writer,
        closing(OutputCapture(tmp_path)) as capture,
    ):
        recorder = Recorder(writer, 1)
        recorder.record(LOG, body("small"))
        recorder.capture_output(capture)
        recorder.end()

        assert writer.position.event_count == 1


class TestFullSpool:
    """Log entries wait or are dropped, and say so; results do neither."""

    LIMIT = 10_000

    @pytest.fixture
    def stage(self, tmp_path: Path):
        with closing(Stage(tmp_path, self.LIMIT)) as stage:
            yield stage

    def test_a_log_entry_waits_and_a_result_does_not(self, stage: "Stage") -> None:
        recorder = stage.recorder()
        stage.fill(recorder)
        stage.while_waiting = lambda: recorder.record(RESULT, wire.result("late", '"' + "y" * 5000 + '"'))
        stage.acknowledge_after(3)

        recorder.record(LOG, body("waited"))

        assert len(stage.slept) == 3
        assert [event.result.key for event in stage.events if event.HasField("result")] == ["late"] * 3
        assert stage.messages[-1] == "waited"

    def test_while_a_log_entry_waits_other_threads_record_results(self, stage: "Stage") -> None:
        """It held the lock meanwhile: one thread that logs kept all others from recording anything."""
        recorder = stage.recorder()
        stage.fill(recorder)
        done = threading.Event()

        def other() -> None:
            recorder.record(RESULT, wire.result("of another thread", "1"))
            done.set()

        def wait() -> None:
            thread = threading.Thread(target=other)
            thread.start()
            thread.join(10)

        stage.while_waiting = wait
        stage.acknowledge_after(1)
        recorder.record(LOG, body("waited"))

        assert done.is_set()
        assert [event.WhichOneof("event") for event in stage.events[-2:]] == ["result", "log"]

    def test_a_batch_that_waits_in_its_middle_is_recorded_once(self, stage: "Stage") -> None:
        recorder = stage.recorder()
        stage.acknowledge_after(1, each=True)

        recorder.record_many(LOG, [body(f"{number} " + "x" * 400_000) for number in range(7)])

        assert [message.split()[0] for message in stage.messages] == [str(number) for number in range(7)]
        assert len(stage.slept) == 2  # between three writes

    def test_an_end_is_not_waited_with(self, stage: "Stage") -> None:
        recorder = stage.recorder()
        stage.fill(recorder)
        stage.while_waiting = recorder.end  # in another thread, say

        with pytest.raises(RunEndedError):
            recorder.record(LOG, body("waits"))

    def test_dropped_entries_are_told_as_soon_as_there_is_room(self, stage: "Stage") -> None:
        recorder = stage.recorder(drop=stage.noted.append)
        stage.fill(recorder)
        before = len(stage.events)
        for number in range(3):
            recorder.record(LOG, body(f"dropped {number}"))
        recorder.record_many(LOG, [body("dropped, too"), body("and this")])
        recorder.record(RESULT, wire.result("never", "1"))
        assert stage.noted == [1, 2, 3, 5]
        assert stage.slept == []

        stage.acknowledged = 1 << 20
        recorder.record(LOG, body("after"))
        recorder.record(LOG, body("and after"))

        told, *rest = [event.log for event in stage.events[before + 1 :]]
        assert (told.level, told.source) == (run_event_pb2.LOG_LEVEL_WARN, "athanor")
        assert told.message == "5 log entries were dropped because the spool was full"
        assert [entry.message for entry in rest] == ["after", "and after"]
        assert stage.noted == [1, 2, 3, 5, 0]

    def test_output_for_which_there_is_no_room_does_not_take_a_result_with_it(self, tmp_path: Path) -> None:
        """As events short lines are larger than the file that they stand in."""
        (tmp_path / "stdout").write_bytes(b"\n" * CHUNK_BYTES)
        with (
            closing(Stage(tmp_path, 4 * CHUNK_BYTES + 1000)) as stage,
            closing(OutputCapture(tmp_path)) as capture,
        ):
            recorder = stage.recorder(drop=stage.noted.append)
            recorder.record(LOG, body("takes the place of an empty spool"))
            recorder.capture_output(capture)
            recorder._captured_ns = 0
            recorder.record(RESULT, wire.result("kept", "1"))

            assert [event.WhichOneof("event") for event in stage.events] == ["log", "result"]
            assert stage.noted == []

    def test_what_cannot_be_told_before_the_end_is_left_to_the_runner(self, stage: "Stage") -> None:
        recorder = stage.recorder(drop=stage.noted.append)
        stage.fill(recorder)
        recorder.record(LOG, body("dropped"))
        recorder.end()

        assert stage.noted == [1]
        assert stage.slept == []


class Stage:
    """A spool with a limit, whose acknowledgements come while somebody waits."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.acknowledged = 0
        self.slept: list[float] = []
        self.noted: list[int] = []
        self.while_waiting = lambda: None
        self.acknowledge_at = 1 << 30
        self.each = False
        self.writer = SpoolWriter.open(
            folder / "spool", 2, limit_bytes=limit, acknowledged=lambda: self.acknowledged, sleep=self.refuse
        )

    def refuse(self, seconds: float) -> None:
        pytest.fail("waited in the spool, with the lock")

    def recorder(self, **options: Any) -> Recorder:
        return Recorder(self.writer, 1, sleep=self.sleep, **options)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.while_waiting()
        if len(self.slept) >= self.acknowledge_at:
            self.acknowledged = self.writer.position.record_bytes
            if not self.each:
                self.acknowledged += 1 << 20

    def acknowledge_after(self, count: int, *, each: bool = False) -> None:
        self.acknowledge_at, self.each = count, each

    def fill(self, recorder: Recorder) -> None:
        while self.writer.has_room(700):
            recorder.record(LOG, body("x" * 500))
        while self.writer.has_room(60):
            recorder.record(LOG, body(""))

    @property
    def events(self) -> list[run_event_pb2.RunEvent]:
        with closing(SpoolReader(self.folder / "spool")) as reader:
            return [run_event_pb2.RunEvent.FromString(data) for data in reader.read(1 << 30)]

    @property
    def messages(self) -> list[str]:
        return [event.log.message for event in self.events if event.HasField("log")]

    def close(self) -> None:
        self.writer.close()
