"""What is printed, logged and warned of becomes log entries, in order, with its source."""

import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from athanor.experiment.context import RunContext
from athanor.experiment.errors import CompletedSignal
from athanor.experiment.logs import RecordingHandler
from athanor.experiment.recorder import Recorder
from athanor.experiment.running import recorded_output
from athanor.experiment.streams import OutputStream

from tests.support.recording import Memory, context_over


@pytest.fixture
def spool() -> Memory:
    return Memory()


@contextmanager
def recorded(spool: Memory) -> Iterator[RunContext[Any]]:
    """Not a fixture: pytest puts its own streams in place between a fixture and its test."""
    recorder = Recorder(spool, 1)
    with recorded_output(recorder, "info"):
        yield context_over(recorder)


def lines(spool: Memory) -> list[tuple[str, str]]:
    return [(source, message) for _, message, _, source in spool.logs]


def test_everything_is_in_order_with_its_source(spool: Memory) -> None:
    with recorded(spool) as ctx:
        ctx.info("own")
        print("printed")
        logging.getLogger("some.library").info("logged %d", 5)
        print("an error", file=sys.stderr)
        ctx.info("own again")

        assert lines(spool) == [
            ("", "own"),
            ("stdout", "printed"),
            ("some.library", "logged 5"),
            ("stderr", "an error"),
            ("", "own again"),
        ]


def test_a_line_is_recorded_when_it_is_finished(spool: Memory) -> None:
    with recorded(spool):
        print("one ", end="")
        print("line", end="", flush=True)
        assert lines(spool) == []
        print("\nand\n\nthen", end="")

        assert lines(spool) == [("stdout", "one line"), ("stdout", "and"), ("stdout", "")]


def test_an_unfinished_line_is_recorded_at_the_end(spool: Memory) -> None:
    with recorded_output(Recorder(spool, 1), "info"):
        print("no newline", end="")
        sys.stderr.write("50%\r100%")

    assert sorted(lines(spool)) == [("stderr", "100%"), ("stdout", "no newline")]


def test_a_progress_bar_is_one_line(spool: Memory) -> None:
    with recorded(spool):
        for percent in range(101):
            print(f"\r{percent}%", end="", file=sys.stderr)
        print(file=sys.stderr)

        assert lines(spool) == [("stderr", "100%")]


def test_a_long_progress_bar_takes_no_memory(spool: Memory) -> None:
    with recorded(spool):
        for _ in range(20_000):
            sys.stderr.write("x" * 50 + "\r")

        stream = sys.stderr
        assert isinstance(stream, OutputStream)
        assert sum(map(len, stream._unfinished.values())) <= 51


def test_threads_do_not_mix_their_lines(spool: Memory) -> None:
    with recorded(spool):
        turns = threading.Barrier(2)

        def work(letter: str) -> None:
            for _ in range(3):
                turns.wait()
                sys.stdout.write(letter)
            turns.wait()
            sys.stdout.write("\n")

        threads = [threading.Thread(target=work, args=(letter,)) for letter in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(lines(spool)) == [("stdout", "aaa"), ("stdout", "bbb")]


def test_bytes_and_odd_text_are_taken_and_spelled_out(spool: Memory) -> None:
    with recorded(spool):
        sys.stdout.buffer.write("bytes ü \N{SNOWMAN}\n".encode())
        sys.stdout.buffer.write(b"no utf-8: \xff\n")
        print("nul \0 surrogate \udc80")

        assert [message for _, message in lines(spool)] == [
            "bytes ü \N{SNOWMAN}",
            "no utf-8: \\xff",
            "nul \\x00 surrogate \\udc80",
        ]


def test_a_very_long_line_is_cut(spool: Memory) -> None:
    with recorded(spool):
        print("x" * 200_000)

        assert [len(message) for _, message in lines(spool)] == [65_536, 65_536, 65_536, 3_392]


def test_a_stream_is_what_programs_expect(spool: Memory) -> None:
    with recorded(spool):
        assert (sys.stdout.fileno(), sys.stderr.fileno()) == (1, 2)
        assert not sys.stdout.isatty()
        assert sys.stdout.writable()
        assert (sys.stdout.encoding, sys.stdout.errors, sys.stdout.name, sys.stdout.mode) == (
            "utf-8",
            "backslashreplace",
            "<stdout>",
            "w",
        )
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        sys.stdout.flush()
        assert sys.stdout.write("abc") == 3
        assert sys.stdout.writelines(["d", "\n"]) is None  # type: ignore[func-returns-value]
        with pytest.raises(TypeError, match="must be str, not bytes"):
            sys.stdout.write(b"x")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("number", "level"),
    [(logging.INFO, 20), (25, 20), (logging.WARNING, 30), (logging.ERROR, 40), (logging.CRITICAL, 40)],
)
def test_levels_of_logging(spool: Memory, number: int, level: int) -> None:
    with recorded(spool):
        logging.getLogger("x").log(number, "m")

        assert spool.logs == [(level, "m", "", "x")]


def test_what_is_below_the_experiments_level_is_not_recorded(spool: Memory) -> None:
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.WARNING)  # as it is when nobody has set one
    try:
        with recorded_output(Recorder(spool, 1), "info"):
            logging.getLogger("x").debug("no")
            logging.getLogger("x").info("yes")
        assert root.level == logging.WARNING
        with recorded_output(Recorder(spool, 1), "debug"):
            logging.getLogger("x").debug("yes, too")
        root.setLevel(logging.ERROR)
        with recorded_output(Recorder(spool, 1), "info"):
            logging.getLogger("x").warning("the author has set another level")
    finally:
        root.setLevel(before)

    assert [message for _, message in lines(spool)] == ["yes", "yes, too"]


def test_a_logged_exception_comes_with_its_traceback_in_one_entry(spool: Memory) -> None:
    with recorded(spool):
        try:
            raise ValueError("inside")
        except ValueError:
            logging.getLogger("x").exception("it failed")

        ((level, message, _, source),) = spool.logs
        assert (level, source) == (40, "x")
        assert message.startswith("it failed\nTraceback (most recent call last):")
        assert message.endswith("ValueError: inside")


def test_handlers_that_write_to_the_replaced_streams_are_put_aside(spool: Memory) -> None:
    root = logging.getLogger()
    handler = logging.StreamHandler(sys.stderr)
    root.addHandler(handler)
    try:
        with recorded_output(Recorder(spool, 1), "info"):
            logging.getLogger("x").warning("once")
            assert handler not in root.handlers
        assert handler in root.handlers
    finally:
        root.removeHandler(handler)

    assert lines(spool) == [("x", "once")]


def test_a_librarys_own_handler_is_put_aside_unless_it_is_the_only_way(spool: Memory) -> None:
    handler = logging.StreamHandler(sys.stderr)
    library, apart = logging.getLogger("library"), logging.getLogger("apart")
    apart.propagate = False
    for logger in (library, apart):
        logger.addHandler(handler)
    try:
        with recorded_output(Recorder(spool, 1), "info"):
            logging.getLogger("library.part").warning("once")
            assert (library.handlers, apart.handlers) == ([], [handler])
        assert (library.handlers, apart.handlers) == ([handler], [handler])
    finally:
        apart.propagate = True
        for logger in (library, apart):
            logger.removeHandler(handler)

    assert lines(spool) == [("library.part", "once")]


def test_a_message_that_cannot_be_formatted_does_no_harm(spool: Memory) -> None:
    with recorded(spool) as ctx:
        (handler,) = [one for one in logging.getLogger().handlers if isinstance(one, RecordingHandler)]
        handler.handle(logging.LogRecord("x", logging.WARNING, __file__, 1, "%d", ("no number",), None))
        ctx.info("goes on")

        assert lines(spool)[-1] == ("", "goes on")
        assert ("stderr", "--- Logging error ---") in lines(spool)


def test_a_huge_message_becomes_several_entries(spool: Memory) -> None:
    with recorded(spool):
        logging.getLogger("x").warning("x" * (1 << 20))

        assert [len(message) for _, message in lines(spool)] == [1 << 19, 1 << 19]


def test_warnings_are_entries(spool: Memory) -> None:
    with recorded(spool):
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(False)
            logging.captureWarnings(True)
            warnings.warn("old fashioned", DeprecationWarning, stacklevel=1)

        ((level, message, _, source),) = spool.logs
        assert (level, source) == (30, "py.warnings")
        assert "DeprecationWarning: old fashioned" in message


def test_after_the_end_everything_goes_to_the_descriptors(spool: Memory, capfd: pytest.CaptureFixture[str]) -> None:
    recorder = Recorder(spool, 1)
    with recorded_output(recorder, "info"):
        kept = sys.stdout
        recorder.end()
        print("late", file=kept)
        logging.getLogger("x").warning("late, too")

    out, err = capfd.readouterr()
    assert out == "late\n"
    assert err == "WARNING:x:late, too\n"
    assert spool.events == []


def test_a_thread_that_completes_the_experiment_is_no_accident(spool: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    with recorded(spool) as ctx:
        threads = [threading.Thread(target=ctx.complete), threading.Thread(target=lambda: 1 // 0)]
        for thread in threads:
            thread.start()
            thread.join()

        assert isinstance(ctx.said, CompletedSignal)
        assert [message for _, message in lines(spool)][-1] == "ZeroDivisionError: integer division or modulo by zero"
        assert not any("CompletedSignal" in message for _, message in lines(spool))


def test_everything_is_put_back(spool: Memory) -> None:
    before = (sys.stdout, sys.stderr, threading.excepthook, list(logging.getLogger().handlers), warnings.showwarning)
    with recorded_output(Recorder(spool, 1), "info"):
        assert sys.stdout is not before[0]

    assert (
        sys.stdout,
        sys.stderr,
        threading.excepthook,
        list(logging.getLogger().handlers),
        warnings.showwarning,
    ) == before
