# Derived from _async/calls.py by tools/derive_sync.py: change that one.

"""One call with a deadline, made again where that is safe."""

from collections.abc import Callable
from typing import Any, TypeVar

import grpc
import tenacity

from athanor.client import _backoff, _encode, _status
from athanor.client._sync import transport

Request = TypeVar("Request")
Response = TypeVar("Response")


class Caller:
    """Makes the unary calls of one client.

    `timeout` is the deadline of a call in seconds, repetitions included. `retry_for` is for how many seconds a call
    that may be repeated is made again while the orchestrator is not available: at once where there is another one.
    `sleep` waits.
    """

    def __init__(
        self,
        target: str,
        *,
        timeout: float,
        retry_for: float,
        sleep: Callable[[float], None],
        clock: Callable[[], float],
    ) -> None:
        self.target = target
        self._orchestrators = target.count(",") + 1
        self._timeout = _encode.seconds(timeout, "timeout")
        self._retry_for = _encode.seconds(retry_for, "retry_for")
        self._sleep = sleep
        self._clock = clock

    def call(
        self,
        method: "transport.Method[Request, Response]",
        request: Request,
        *,
        timeout: float | None = None,
        repeatable: bool = True,
    ) -> Response:
        """Call `method` and return its answer.

        A call is `repeatable` when doing it twice does what doing it once does: it reads, or it carries a request_id,
        or the contract says that repeating is harmless. Raises an AthanorError when it fails.
        """
        seconds = self._timeout if timeout is None else _encode.seconds(timeout, "timeout")
        deadline = self._clock() + seconds
        last_try = self._clock() + min(self._retry_for, seconds)

        def worth_repeating(error: BaseException) -> bool:
            return repeatable and isinstance(error, grpc.RpcError) and _status.read(error).may_pass

        def given_up(state: tenacity.RetryCallState) -> bool:
            # Each is tried once, however long the one before took to fail.
            until = deadline if state.attempt_number < self._orchestrators else last_try
            return self._clock() + state.upcoming_sleep >= until

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(worth_repeating),
            stop=given_up,
            wait=self._wait,
            sleep=self._sleep,
            reraise=True,
        )

        def once() -> Response:
            return method(request, timeout=max(0.001, deadline - self._clock()))

        try:
            return retrying(once)
        except grpc.RpcError as error:
            # Without a traceback through gRPC and tenacity: what they say is in the exception's context.
            raise _status.exception(_status.read(error), target=self.target, timeout=seconds) from None

    def _wait(self, state: tenacity.RetryCallState) -> float:
        """No time where another one is tried next; else what the last one says, or a growing delay."""
        rounds, more = divmod(state.attempt_number, self._orchestrators)
        if more:
            return 0.0
        error: Any = state.outcome.exception() if state.outcome else None
        asked = _status.read(error).retry_after if isinstance(error, grpc.RpcError) else None
        return _backoff.delay(rounds) if asked is None else asked
