"""Caller: deadlines, and which calls are made again."""

import re
from datetime import timedelta

import grpc
import pytest
from athanor.client import DeadlineExceededError, InvalidArgumentError, UnavailableError
from athanor.client._async.calls import Caller

from tests.support.watch_calls import FakeTime, rpc_error

AWAY = grpc.StatusCode.UNAVAILABLE


class Method:
    """A method that fails as told, then answers."""

    def __init__(self, time: FakeTime, *failures: Exception) -> None:
        self.time = time
        self.failures = list(failures)
        self.timeouts: list[float] = []

    async def __call__(self, request: str, *, timeout: float) -> str:
        self.timeouts.append(timeout)
        if self.failures:
            raise self.failures.pop(0)
        return request.upper()


def make(time: FakeTime, **options) -> Caller:
    options = {"timeout": 30.0, "retry_for": 10.0, **options}
    return Caller(options.pop("target", "h:1"), sleep=time.sleep, clock=time.clock, **options)


async def test_an_answer_is_returned():
    time = FakeTime()
    method = Method(time)
    assert await make(time).call(method, "x") == "X"
    assert method.timeouts == [30.0]


async def test_the_timeout_of_a_call_comes_before_that_of_the_client():
    time = FakeTime()
    method = Method(time)
    await make(time).call(method, "x", timeout=2.5)
    assert method.timeouts == [2.5]


@pytest.mark.parametrize("timeout", ["1h", timedelta(hours=1), True])
async def test_a_timeout_that_is_no_number_of_seconds_is_refused_in_words(timeout):
    text = f"timeout is a number of seconds, for example 3600 or timedelta(hours=1).total_seconds(), not {timeout!r}"
    time = FakeTime()
    method = Method(time)
    with pytest.raises(TypeError, match=f"^{re.escape(text)}$"):
        await make(time).call(method, "x", timeout=timeout)
    with pytest.raises(TypeError, match=f"^{re.escape(text)}$"):
        make(time, timeout=timeout)
    with pytest.raises(TypeError, match=r"^retry_for is a number of seconds"):
        make(time, retry_for=timeout)
    assert method.timeouts == []


async def test_a_call_is_made_again_while_the_orchestrator_is_away_within_one_deadline():
    time = FakeTime()
    method = Method(time, rpc_error(AWAY), rpc_error(AWAY))
    assert await make(time).call(method, "x") == "X"
    assert len(method.timeouts) == 3
    assert method.timeouts[2] == pytest.approx(30.0 - time.now)


async def test_a_call_that_must_not_be_repeated_is_made_once():
    time = FakeTime()
    method = Method(time, rpc_error(AWAY))
    with pytest.raises(UnavailableError):
        await make(time).call(method, "x", repeatable=False)
    assert len(method.timeouts) == 1


@pytest.mark.parametrize("code", [grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN])
async def test_nothing_but_unavailable_is_repeated(code):
    time = FakeTime()
    method = Method(time, rpc_error(code))
    with pytest.raises(Exception):  # noqa: B017
        await make(time).call(method, "x")
    assert len(method.timeouts) == 1


async def test_it_is_given_up_after_retry_for():
    time = FakeTime()
    method = Method(time, *[rpc_error(AWAY, "connection refused") for _ in range(1000)])
    with pytest.raises(UnavailableError, match="nothing listens there") as caught:
        await make(time, retry_for=3).call(method, "x")
    assert 1 < time.now < 3
    assert caught.value.target == "h:1"


async def test_retry_for_zero_tries_once():
    time = FakeTime()
    method = Method(time, rpc_error(AWAY))
    with pytest.raises(UnavailableError):
        await make(time, retry_for=0).call(method, "x")
    assert len(method.timeouts) == 1


async def test_the_orchestrators_own_word_on_when_to_come_back_is_kept():
    from tests.support.fake_orchestrator import Refusal

    status = Refusal(AWAY, "the disk is full", "STORAGE_UNAVAILABLE", retry_after=1.5).status()
    time = FakeTime()
    method = Method(time, rpc_error(AWAY, "the disk is full", tuple(status.trailing_metadata)))
    assert await make(time).call(method, "x") == "X"
    assert time.slept == [1.5]


async def test_a_deadline_says_how_long_it_was():
    time = FakeTime()
    method = Method(time, rpc_error(grpc.StatusCode.DEADLINE_EXCEEDED))
    with pytest.raises(DeadlineExceededError, match=r"within 0.5 s"):
        await make(time).call(method, "x", timeout=0.5)


async def test_a_wrong_argument_is_raised_at_once():
    time = FakeTime()
    with pytest.raises(InvalidArgumentError):
        await make(time).call(Method(time, rpc_error(grpc.StatusCode.INVALID_ARGUMENT)), "x")
    assert not time.slept


async def test_another_orchestrator_is_called_at_once_and_all_of_them_again_after_a_while():
    time = FakeTime()
    method = Method(time, *[rpc_error(AWAY) for _ in range(5)])
    assert await make(time, target="a:1,b:1,c:1").call(method, "x") == "X"
    assert [seconds > 0 for seconds in time.slept] == [False, False, True, False, False]


async def test_each_orchestrator_is_called_once_however_long_the_one_before_took():
    time = FakeTime()

    async def hanging(request: str, *, timeout: float) -> str:
        time.now += 15
        raise rpc_error(AWAY, "ping timeout")

    with pytest.raises(UnavailableError, match="at a:1 or b:1 is not available"):
        await make(time, target="a:1,b:1", timeout=60).call(hanging, "x")
    assert time.now == 30
