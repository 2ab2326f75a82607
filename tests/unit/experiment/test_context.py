"""The calls of the context: what they record, what they refuse and how they say so."""

import json
import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from athanor.experiment import (
    EventTooLargeError,
    InvalidValueError,
    RecordingError,
    RunCancelled,
    RunContext,
    RunEndedError,
)
from athanor.experiment.errors import CompletedSignal, FailedSignal
from athanor.experiment.recorder import Recorder
from athanor.v1 import run_event_pb2
from hypothesis import given
from hypothesis import strategies as st

from tests.support.recording import Memory, Page, context_over

INFO = run_event_pb2.LOG_LEVEL_INFO


@pytest.fixture
def spool() -> Memory:
    return Memory()


@pytest.fixture
def page() -> Page:
    return Page()


@pytest.fixture
def ctx(spool: Memory, page: Page) -> RunContext[Any]:
    return context_over(Recorder(spool, 3, time_ns=lambda: 1_700_000_000_123_456_789), page)


def test_a_log_entry(ctx: RunContext[Any], spool: Memory) -> None:
    ctx.log("warn", "careful", {"i": 1, "ok": True})

    (event,) = spool.parsed
    assert (event.sequence, event.attempt) == (2, 3)
    assert event.time.ToNanoseconds() == 1_700_000_000_123_456_789
    assert event.log == run_event_pb2.LogEntry(level=30, message="careful", metadata_json='{"i":1,"ok":true}')


def test_every_level_has_a_call(ctx: RunContext[Any], spool: Memory) -> None:
    ctx.debug("a")
    ctx.info("b", {"x": 1})
    ctx.warn("c")
    ctx.error("d")

    assert spool.logs == [(10, "a", "", ""), (20, "b", '{"x":1}', ""), (30, "c", "", ""), (40, "d", "", "")]


@given(
    st.text(),
    st.integers(1, 1 << 40),
    st.integers(1_000_000_000, 4_000_000_000),
    st.integers(0, 999_999_999),
    st.integers(1, 1 << 31 - 1),
)
def test_the_short_way_writes_what_the_generated_code_writes(
    message: str, sequence: int, seconds: int, nanos: int, attempt: int
) -> None:
    spool = Memory(first_sequence=sequence)
    ctx = context_over(Recorder(spool, attempt, time_ns=lambda: seconds * 10**9 + nanos))
    for _ in range(3):
        ctx.log("info", message, {"m": 1})

    for data in spool.events:
        event = run_event_pb2.RunEvent.FromString(data)
        assert event.SerializeToString() == data
        assert (event.attempt, event.time.seconds, event.time.nanos) == (attempt, seconds, nanos)
    assert [event.sequence for event in spool.parsed] == [sequence, sequence + 1, sequence + 2]


def test_the_short_way_follows_the_clock_wherever_it_goes() -> None:
    steps = [1, 999, 10**6, 2_097_152, 5 * 10**6, 268_435_456, 10**9 - 1, 10**9, -1, -(10**9), 10**12, -(10**12)]
    times = [1_700_000_000_000_000_000]
    for step in steps * 30:
        times.append(times[-1] + step)
    clock = iter(times)
    spool = Memory(first_sequence=100)
    ctx = context_over(Recorder(spool, 1, time_ns=lambda: next(clock)))
    for _ in times:
        ctx.log("info", "x")

    assert [event.time.ToNanoseconds() for event in spool.parsed] == times
    assert [event.sequence for event in spool.parsed] == list(range(100, 100 + len(times)))
    assert [event.SerializeToString() for event in spool.parsed] == spool.events


def test_text_that_cannot_be_kept_is_repaired_visibly(ctx: RunContext[Any], spool: Memory) -> None:
    ctx.info("nul \0, surrogate \udcff")
    ctx.info(ValueError("not a text"))  # type: ignore[arg-type]
    ctx.info("")

    assert [message for _, message, _, _ in spool.logs] == ["nul \\x00, surrogate \\udcff", "not a text", ""]


def test_a_batch_is_one_write(ctx: RunContext[Any], spool: Memory) -> None:
    ctx.log_batch([("info", "a"), ("error", "b", {"x": 1})])
    ctx.log_batch([])

    assert spool.writes == [2]
    assert spool.logs == [(20, "a", "", ""), (40, "b", '{"x":1}', "")]
    assert [event.sequence for event in spool.parsed] == [2, 3]


def test_a_result(ctx: RunContext[Any], spool: Memory) -> None:
    ctx.result("trial/ü", {"score": 0.9})
    ctx.result("trial/ü", None)

    assert [event.result for event in spool.parsed] == [
        run_event_pb2.Result(key="trial/ü", value_json='{"score":0.9}'),
        run_event_pb2.Result(key="trial/ü", value_json="null"),
    ]


def test_a_checkpoint_is_flushed_before_it_returns(ctx: RunContext[Any], spool: Memory) -> None:
    ctx.info("not flushed")
    assert spool.flushes == 0

    ctx.checkpoint({"step": 3})

    assert spool.flushes == 1
    assert spool.parsed[-1].checkpoint == run_event_pb2.CheckpointSaved(state_json='{"step":3}')


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda ctx: ctx.log("warning", "x"), "level is 'warning', not one of debug, info, warn, error"),
        (lambda ctx: ctx.log(["info"], "x"), "level is ['info'], not one of debug, info, warn, error"),
        (lambda ctx: ctx.info("x", [1]), "metadata is of type list, not a dict"),
        (lambda ctx: ctx.info("x", {"a": {"b": math.nan}}), "metadata/a/b is NaN"),
        (
            lambda ctx: ctx.log_batch([("info", "a", None), ("info", "b", {"c": math.inf})]),
            "entries/1/metadata/c is Infinity",
        ),
        (lambda ctx: ctx.log_batch([("info",)]), "entries/0 is ('info',), not (level, message, metadata)"),
        (lambda ctx: ctx.log_batch([("loud", "a", None)]), "entries/0/level is 'loud', not one of debug"),
        (lambda ctx: ctx.result("k", {"trials": [0, 1, 2, {"score": math.nan}]}), "value/trials/3/score is NaN"),
        (lambda ctx: ctx.result("", 1), "key is 0 bytes, not 1 to 500"),
        (lambda ctx: ctx.result("ü" * 251, 1), "key is 502 bytes, not 1 to 500"),
        (lambda ctx: ctx.result(5, 1), "key is of type int, not text"),
        (lambda ctx: ctx.result("a\0", 1), "key contains NUL at character 1"),
        (lambda ctx: ctx.result("\udc80", 1), "key contains a lone surrogate at character 0"),
        (lambda ctx: ctx.checkpoint({"a": object()}), "state/a is of type object, which is not JSON"),
        (lambda ctx: ctx.progress(0.5, 1), "current is of type float, not int"),
        (lambda ctx: ctx.progress(1, 1 << 63), "total is beyond 64 bits"),
        (lambda ctx: ctx.progress(1, 2, "x" * 1001), "message is 1001 bytes, at most 1000"),
    ],
)
def test_what_cannot_be_recorded_raises_at_the_call_and_nothing_of_it_is_recorded(
    ctx: RunContext[Any], spool: Memory, page: Page, call: Callable[[RunContext[Any]], None], text: str
) -> None:
    with pytest.raises(InvalidValueError) as refused:
        call(ctx)

    assert str(refused.value).startswith(text)
    assert isinstance(refused.value, RecordingError)
    assert isinstance(refused.value, ValueError)
    assert (spool.events, page.progress) == ([], [])


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda ctx, big: ctx.result("embeddings", big), "result 'embeddings' is 1048594 bytes; an event is at most"),
        (lambda ctx, big: ctx.info(big), "log entry 'xxxxx"),
        (lambda ctx, big: ctx.info("short", {"a": big}), "log entry 'short' is 1048"),
        (lambda ctx, big: ctx.log_batch([("info", "fine", None), ("info", big, None)]), "log entry 'xxxxx"),
        (lambda ctx, big: ctx.checkpoint(big), "state is 1048578 bytes; a checkpoint is at most 524288 bytes"),
    ],
)
def test_what_is_too_large_is_named(
    ctx: RunContext[Any], spool: Memory, call: Callable[[RunContext[Any], str], None], text: str
) -> None:
    with pytest.raises(EventTooLargeError) as refused:
        call(ctx, "x" * (1 << 20))

    assert str(refused.value).startswith(text)
    assert spool.events == []


def test_the_largest_event_fits_the_limit(ctx: RunContext[Any], spool: Memory) -> None:
    ctx.result("k", "x" * ((1 << 20) - 100))

    assert (1 << 20) - 100 < len(spool.events[0]) <= 1 << 20


def test_progress_is_no_event(ctx: RunContext[Any], spool: Memory, page: Page) -> None:
    ctx.progress(1)
    ctx.progress(2, 10, "half \0 way")

    assert page.progress == [(1, 0, b""), (2, 10, b"half \\x00 way")]
    assert spool.events == []


def test_track_reports_progress(ctx: RunContext[Any], page: Page) -> None:
    assert list(ctx.track("abc")) == ["a", "b", "c"]
    assert page.progress == [(0, 3, b""), (1, 3, b""), (2, 3, b""), (3, 3, b"")]

    page.progress.clear()
    assert list(ctx.track(iter("ab"))) == ["a", "b"]
    assert page.progress[-1] == (2, 0, b"")
    assert list(ctx.track(iter("ab"), total=2)) == ["a", "b"]
    assert page.progress[-1] == (2, 2, b"")


def test_track_counts_what_was_done_before(ctx: RunContext[Any], page: Page) -> None:
    assert list(ctx.track("ab", done=3)) == ["a", "b"]
    assert page.progress == [(3, 5, b""), (4, 5, b""), (5, 5, b"")]
    assert list(ctx.track(iter("ab"), total=9, done=7)) == ["a", "b"]
    assert page.progress[-1] == (9, 9, b"")


def test_track_stops_between_two_items_when_cancelled(ctx: RunContext[Any], page: Page) -> None:
    done: list[int] = []
    page.reason = "enough"

    def loop() -> None:
        for item in ctx.track(range(5)):
            done.append(item)
            page.cancelled = item == 1

    with pytest.raises(RunCancelled, match="enough"):
        loop()

    assert done == [0, 1]
    assert page.progress[-1] == (2, 5, b"")
    assert ctx.cancellation_seen


def test_cancellation_is_seen_only_by_who_is_told(ctx: RunContext[Any], page: Page) -> None:
    ctx.raise_if_cancelled()
    assert not ctx.cancelled
    page.cancelled = True
    page.reason = "no more"
    assert not ctx.cancellation_seen

    assert ctx.cancel_reason == "no more"
    assert not ctx.cancellation_seen
    assert ctx.cancelled
    assert ctx.cancellation_seen
    with pytest.raises(RunCancelled) as raised:
        ctx.raise_if_cancelled()
    assert raised.value.reason == "no more"
    assert not isinstance(raised.value, Exception)


def test_complete_and_fail_unwind_past_except_exception_and_are_remembered(ctx: RunContext[Any]) -> None:
    def stubborn(call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:
            pytest.fail("it was caught")

    with pytest.raises(CompletedSignal):
        stubborn(ctx.complete)
    assert isinstance(ctx.said, CompletedSignal)
    with pytest.raises(FailedSignal):
        stubborn(lambda: ctx.fail("no good"))
    assert isinstance(ctx.said, FailedSignal)
    ctx.info("may still be said while it unwinds")


@pytest.mark.parametrize(
    "call",
    [
        lambda ctx: ctx.log("info", "x"),
        lambda ctx: ctx.log_batch([("info", "x", None)]),
        lambda ctx: ctx.result("k", 1),
        lambda ctx: ctx.progress(1),
        lambda ctx: ctx.checkpoint({}),
        lambda ctx: ctx.complete(),
        lambda ctx: ctx.fail("x"),
        lambda ctx: list(ctx.track([1])),
    ],
)
def test_after_the_end_everything_that_records_raises(spool: Memory, call: Callable[[RunContext[Any]], None]) -> None:
    recorder = Recorder(spool, 1)
    ctx = context_over(recorder)
    recorder.end()

    with pytest.raises(RunEndedError, match="has ended"):
        call(ctx)

    assert spool.events == []
    assert not ctx.cancelled  # reading is no recording


def test_the_seed_makes_the_same_numbers_every_time(ctx: RunContext[Any]) -> None:
    assert ctx.rng is ctx.rng
    assert ctx.rng.random() == random.Random(7).random()


def test_what_it_is_about(ctx: RunContext[Any]) -> None:
    assert (ctx.run.id, ctx.run.attempt, ctx.run.max_attempts, ctx.run.timeout_s) == ("run", 1, 1, None)
    assert (ctx.instance.id, ctx.instance.name, ctx.instance.experiment) == ("instance", "name", "experiment")
    assert ctx.restored is None
    assert json.dumps(ctx.configuration) == "{}"


def test_what_is_no_text_is_shown_as_text_in_progress_too(ctx, page):
    ctx.progress(1, 2, 5)
    assert page.progress == [(1, 2, b"5")]
