"""Every way in which an experiment's function can end is one of a closed set."""

import asyncio
import contextlib
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from athanor.experiment import RunCancelled, RunContext
from athanor.experiment.frame import MAX_MESSAGE_CHARACTERS, Ending, fit_detail, run_to_end
from athanor.experiment.intent import Ended
from athanor.experiment.recorder import Recorder

from tests.support.recording import Memory, Page, context_over

Context = RunContext[Any]


def end_of(function: Callable[[Context], Any], *, cancelled: bool = False) -> Ending:
    page = Page()
    page.cancelled = cancelled
    page.reason = "enough"
    return run_to_end(function, context_over(Recorder(Memory(), 1), page))


def completes_then_raises(ctx: Context) -> None:
    try:
        ctx.complete()
    finally:
        raise RuntimeError("while leaving")


def completes_then_fails(ctx: Context) -> None:
    try:
        ctx.complete()
    finally:
        ctx.fail("after all")


def swallows(call: Callable[[Context], None]) -> Callable[[Context], None]:
    def function(ctx: Context) -> None:
        with contextlib.suppress(BaseException):
            call(ctx)

    return function


def in_thread(call: Callable[[Context], None]) -> Callable[[Context], None]:
    def function(ctx: Context) -> None:
        thread = threading.Thread(target=swallows(call), args=(ctx,))
        thread.start()
        thread.join()

    return function


def in_task_group(call: Callable[[Context], None]) -> Callable[[Context], Any]:
    async def function(ctx: Context) -> None:
        async def task() -> None:
            await asyncio.sleep(0)
            call(ctx)

        async with asyncio.TaskGroup() as group:
            group.create_task(task())
            group.create_task(asyncio.sleep(60))

    return function


def raise_(error: BaseException) -> Callable[[Context], None]:
    def function(ctx: Context) -> None:
        raise error

    return function


def exit_(code: Any) -> Callable[[Context], None]:
    return lambda ctx: sys.exit(code)


class Odd(Exception):
    def __str__(self) -> str:
        raise RuntimeError("cannot be told")


class Unprintable(str):
    __slots__ = ()
    __str__ = Odd.__str__


class Odder(Exception):
    def __str__(self) -> str:
        raise SystemExit(4)


@pytest.mark.parametrize(
    ("function", "ended", "message"),
    [
        (lambda ctx: "a value", Ended.RETURNED, ""),
        (lambda ctx: ctx.complete(), Ended.COMPLETED, ""),
        (lambda ctx: ctx.fail("no good"), Ended.FAILED, "no good"),
        (lambda ctx: ctx.fail(ValueError("x")), Ended.FAILED, "ValueError: x"),
        (lambda ctx: ctx.fail("first line\nsecond"), Ended.FAILED, "first line"),
        (raise_(ValueError("line\nsecond")), Ended.RAISED, "ValueError: line"),
        (raise_(ValueError()), Ended.RAISED, "ValueError"),
        (raise_(Odd()), Ended.RAISED, f"{__name__}.Odd: <its text cannot be had>"),
        (raise_(Odder()), Ended.RAISED, f"{__name__}.Odder: <its text cannot be had>"),
        (lambda ctx: ctx.fail(Odder()), Ended.FAILED, f"{__name__}.Odder: <its text cannot be had>"),
        (lambda ctx: ctx.fail(Unprintable()), Ended.FAILED, "<its text cannot be had>"),
        (raise_(KeyboardInterrupt()), Ended.RAISED, "KeyboardInterrupt"),
        (raise_(GeneratorExit()), Ended.RAISED, "GeneratorExit"),
        (raise_(asyncio.CancelledError()), Ended.RAISED, "asyncio.exceptions.CancelledError"),
        (exit_(3), Ended.RAISED, "SystemExit: 3"),
        (exit_(0), Ended.RAISED, "SystemExit: 0"),
        (exit_("bad usage"), Ended.RAISED, "SystemExit: bad usage"),
        (raise_(RunCancelled("asked")), Ended.CANCELLED, "asked"),
        (completes_then_raises, Ended.RAISED, "RuntimeError: while leaving"),
        (completes_then_fails, Ended.FAILED, "after all"),
        (swallows(lambda ctx: ctx.complete()), Ended.COMPLETED, ""),
        (swallows(lambda ctx: ctx.fail("said")), Ended.FAILED, "said"),
        (swallows(raise_(ValueError("caught"))), Ended.RETURNED, ""),
        (in_thread(lambda ctx: ctx.fail("from a thread")), Ended.FAILED, "from a thread"),
        (in_task_group(lambda ctx: ctx.complete()), Ended.COMPLETED, ""),
        (in_task_group(lambda ctx: ctx.fail("from a task")), Ended.FAILED, "from a task"),
        (in_task_group(raise_(RunCancelled("task"))), Ended.CANCELLED, "task"),
        (in_task_group(raise_(ValueError("task"))), Ended.RAISED, "ValueError: task"),
        (
            raise_(ExceptionGroup("outer", [ExceptionGroup("inner", [ValueError("deep")])])),
            Ended.RAISED,
            "ValueError: deep",
        ),
        (
            raise_(ExceptionGroup("two", [ValueError("one"), ValueError("other")])),
            Ended.RAISED,
            "ExceptionGroup: two (2 sub-exceptions)",
        ),
    ],
)
def test_how_it_ends(function: Callable[[Context], Any], ended: Ended, message: str) -> None:
    ending = end_of(function)

    assert (ending.ended, ending.message) == (ended, message)
    assert not ending.out_of_memory


def test_async_experiments_are_awaited() -> None:
    done: list[int] = []

    async def function(ctx: Context) -> None:
        await asyncio.sleep(0)
        done.append(1)

    assert end_of(function) == Ending(Ended.RETURNED)
    assert end_of(lambda ctx: function(ctx)) == Ending(Ended.RETURNED)
    assert done == [1, 1]


def test_track_ends_a_cancelled_experiment() -> None:
    ending = end_of(lambda ctx: list(ctx.track([1])), cancelled=True)

    assert (ending.ended, ending.message) == (Ended.CANCELLED, "enough")


def test_a_group_of_signals_and_errors_is_an_error() -> None:
    group = BaseExceptionGroup("both", [RunCancelled(), ValueError("x")])

    assert end_of(raise_(group)).ended is Ended.RAISED


def test_a_memory_error_is_told_as_one() -> None:
    assert end_of(raise_(MemoryError())).out_of_memory
    assert end_of(in_task_group(raise_(MemoryError()))).out_of_memory


def test_the_detail_has_the_group_that_an_error_was_taken_out_of() -> None:
    detail = end_of(raise_(ExceptionGroup("while reading", [ValueError("x")]))).detail

    assert "while reading" in detail
    assert "ValueError: x" in detail


def test_the_traceback_begins_in_the_authors_code() -> None:
    detail = end_of(completes_then_raises).detail

    assert detail.startswith("Traceback (most recent call last):")
    assert "in completes_then_raises" in detail
    assert "in run_to_end" not in detail
    assert detail.rstrip().endswith("RuntimeError: while leaving")


def test_texts_are_bounded_and_fit_for_the_wire() -> None:
    ending = end_of(raise_(ValueError("x" * 100_000 + "\0\ud800")))

    assert len(ending.message) == MAX_MESSAGE_CHARACTERS
    assert ending.message.endswith("…")
    assert len(ending.detail) < 33_000
    assert "characters left out ..." in ending.detail
    assert ending.detail.rstrip().endswith("x\\x00\\ud800")
    ending.detail.encode()
    assert fit_detail("short") == "short"
