"""An event loop whose clock jumps to whatever comes next, so that a test about minutes takes none and is exact.

For tests whose only waiting is the loop's own (timers, sleeps, events). Threads and sockets do not belong on it.
"""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

BEGIN_US = 1_700_000_000_000_000


class _Stuck(selectors.SelectSelector):
    """Never waits: what would be waited for is added to the loop's clock."""

    loop: "VirtualTimeLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("nothing will ever happen: every task waits for something that nobody does")
        if not ready and timeout:
            self.loop.now += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop that begins at 1000 s of its own clock."""

    def __init__(self) -> None:
        selector = _Stuck()
        super().__init__(selector)
        selector.loop = self
        self.now = 1000.0

    def time(self) -> float:
        return self.now


class VirtualClock:
    """A wall clock that goes with the loop's; `jump` sets it wrong."""

    def __init__(self) -> None:
        self._offset_us = BEGIN_US

    def now_us(self) -> int:
        return self._offset_us + round((asyncio.get_running_loop().time() - 1000.0) * 1_000_000)

    def jump(self, seconds: float) -> None:
        self._offset_us += round(seconds * 1_000_000)


def virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test on a loop of its own with virtual time; its fixtures must be plain ones."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run
