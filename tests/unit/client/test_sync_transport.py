"""Reader: a read that blocks, with a limit."""

import threading
import time
from typing import Any

import grpc
import pytest
from athanor.client._sync import transport
from athanor.client._sync.transport import Reader

from tests.support.watch_calls import rpc_error

CANCELLED = rpc_error(grpc.StatusCode.CANCELLED, "Locally cancelled by application!")


class Call:
    """A stream of numbers that blocks at None, until it is cancelled; a fraction takes so many seconds to come."""

    def __init__(self, *script: float | None) -> None:
        self.script = list(script)
        self.cancelled = threading.Event()
        self.left = False

    def read(self) -> Any:
        item = self.script.pop(0) if self.script else transport.EOF
        if item is None:
            assert self.cancelled.wait(10)
        if isinstance(item, float):
            self.cancelled.wait(item)
        if self.cancelled.is_set():
            raise CANCELLED
        return item

    def cancel(self) -> bool:
        self.cancelled.set()
        return True

    def leave(self) -> None:
        self.left = True


def timers(reader: Reader) -> list[threading.Thread]:
    """The threads that look after a reader; those of other tests may still be ending."""
    return [thread for thread in threading.enumerate() if looks_after(thread, reader)]


def looks_after(thread: Any, reader: Reader) -> bool:
    return thread.name == "athanor watch" and thread.args[0]() is reader


def test_responses_come_as_they_are_and_one_timer_looks_after_all_of_them():
    reader = Reader(Call(*range(1000)))
    assert reader.read(30) == 0
    [timer] = timers(reader)
    assert [reader.read(30) for _ in range(999)] == list(range(1, 1000))
    assert reader.read(30) is transport.EOF
    assert timers(reader) == [timer]
    reader.close()
    timer.join(5)
    assert timers(reader) == []


def test_a_silent_stream_is_cancelled_and_that_is_a_timeout():
    call = Call(1, None)
    reader = Reader(call)
    assert reader.read(30) == 1
    with pytest.raises(TimeoutError):
        reader.read(0.01)
    assert call.cancelled.is_set()
    reader.close()


def test_a_timer_that_was_started_for_an_earlier_read_gives_a_later_one_its_whole_time():
    reader = Reader(Call(1, 0.06, None))
    assert reader.read(0.1) == 1
    assert reader.read(0.1) == 0.06
    begin = time.monotonic()
    with pytest.raises(TimeoutError):
        reader.read(0.1)
    assert time.monotonic() - begin >= 0.09
    reader.close()


def test_between_two_reads_nothing_is_cancelled_however_long_the_caller_takes():
    call = Call(1, 2)
    reader = Reader(call)
    assert reader.read(0.01) == 1
    [timer] = timers(reader)
    timer.join(5)
    assert not call.cancelled.is_set()
    assert reader.read(0.01) == 2
    reader.close()


def test_a_stream_that_somebody_else_cancelled_is_not_a_timeout():
    call = Call(None)
    call.cancel()
    reader = Reader(call)
    with pytest.raises(grpc.RpcError):
        reader.read(30)
    reader.close()


def test_closing_gives_the_stream_up_and_the_orchestrator_when_asked_to():
    kept, left = Call(1), Call(1)
    Reader(kept).close()
    Reader(left).close(leave=True)
    assert kept.cancelled.is_set()
    assert left.cancelled.is_set()
    assert (kept.left, left.left) == (False, True)


def test_a_reader_that_nobody_holds_is_not_kept_by_its_timer():
    import gc
    import weakref

    reader = Reader(Call(1))
    reader.read(30)
    [timer] = timers(reader)
    gone = weakref.ref(reader)
    del reader
    gc.collect()
    assert gone() is None
    timer.cancel()
    timer.join(5)


class Answering:
    """A channel on which a call ends as told."""

    def __init__(self, end: Exception | None) -> None:
        self.end = end
        self.timeouts: list[float] = []

    def unary_unary(self, method: str) -> Any:
        assert method == "/grpc.health.v1.Health/Check"
        return self

    def __call__(self, request: bytes, *, timeout: float) -> bytes:
        self.timeouts.append(timeout)
        if self.end:
            raise self.end
        return b""


@pytest.mark.parametrize(
    ("end", "there"),
    [
        (None, True),
        (rpc_error(grpc.StatusCode.UNIMPLEMENTED), True),
        (rpc_error(grpc.StatusCode.NOT_FOUND), True),
        (rpc_error(grpc.StatusCode.UNAVAILABLE), False),
        (rpc_error(grpc.StatusCode.DEADLINE_EXCEEDED), False),
    ],
)
def test_any_answer_says_that_an_orchestrator_is_there(end, there):
    channel: Any = Answering(end)
    assert transport.connected(channel) is there
    assert channel.timeouts == [1.0]
