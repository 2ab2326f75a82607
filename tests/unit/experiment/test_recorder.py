"""One log, numbered once, whoever records and whatever interrupts them."""

import threading
from contextlib import closing
from pathlib import Path

import pytest
from athanor.experiment import wire
from athanor.experiment.capture import OutputCapture
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
