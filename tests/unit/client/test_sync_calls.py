"""The calls of the client that blocks. They are derived: what is seen here is that the derivation keeps the rules."""

import grpc
import pytest
from athanor.client import InvalidArgumentError, UnavailableError
from athanor.client._sync.calls import Caller

from tests.support.watch_calls import BlockingTime, rpc_error

AWAY = grpc.StatusCode.UNAVAILABLE


class Method:
    """A method that fails as told, then answers."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.timeouts: list[float] = []

    def __call__(self, request: str, *, timeout: float) -> str:
        self.timeouts.append(timeout)
        if self.failures:
            raise self.failures.pop(0)
        return request.upper()


def make(time: BlockingTime, **options) -> Caller:
    options = {"timeout": 30.0, "retry_for": 10.0, **options}
    return Caller(options.pop("target", "h:1"), sleep=time.sleep, clock=time.clock, **options)


def test_each_call_has_a_deadline():
    method = Method()
    assert make(BlockingTime()).call(method, "x") == "X"
    assert make(BlockingTime()).call(method, "x", timeout=2.5) == "X"
    assert method.timeouts == [30.0, 2.5]


def test_a_call_is_made_again_while_the_orchestrator_is_away_within_one_deadline():
    time = BlockingTime()
    method = Method(rpc_error(AWAY), rpc_error(AWAY))
    assert make(time).call(method, "x") == "X"
    assert method.timeouts[2] == pytest.approx(30.0 - time.now)
    assert len(time.slept) == 2


def test_a_call_that_must_not_be_repeated_is_made_once():
    method = Method(rpc_error(AWAY))
    with pytest.raises(UnavailableError):
        make(BlockingTime()).call(method, "x", repeatable=False)
    assert len(method.timeouts) == 1


def test_it_is_given_up_after_retry_for():
    time = BlockingTime()
    with pytest.raises(UnavailableError, match="nothing listens there") as caught:
        make(time, retry_for=3).call(Method(*[rpc_error(AWAY, "connection refused") for _ in range(1000)]), "x")
    assert 1 < time.now < 3
    assert any("athanor.connect(" in note for note in caught.value.__notes__)


def test_a_wrong_argument_is_raised_at_once():
    time = BlockingTime()
    with pytest.raises(InvalidArgumentError):
        make(time).call(Method(rpc_error(grpc.StatusCode.INVALID_ARGUMENT)), "x")
    assert not time.slept


def test_another_orchestrator_is_called_at_once():
    time = BlockingTime()
    method = Method(*[rpc_error(AWAY) for _ in range(5)])
    assert make(time, target="a:1,b:1,c:1").call(method, "x") == "X"
    assert [seconds > 0 for seconds in time.slept] == [False, False, True, False, False]
