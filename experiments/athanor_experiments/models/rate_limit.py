"""At most so many requests and tokens in any minute, over all conversations of a run together."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

MINUTE_S = 60.0


@dataclass(slots=True)
class Started:
    """A request that was let start. Its cost is an estimate until `RateLimit.settle`."""

    at: float  # on the window's clock, in seconds
    cost: int


class Window:
    """Knows what was started lately, and so when there is room for more: within any `period` seconds for `limit`."""

    def __init__(self, limit: int, period: float = MINUTE_S) -> None:
        self._limit = limit
        self._period = period
        self._lately: deque[Started] = deque()

    def room_at(self, now: float, cost: int) -> float:
        """The earliest time from `now` on. What costs more than the limit waits until nothing else counts."""
        lately = self._lately
        while lately and lately[0].at + self._period <= now:
            lately.popleft()

        used, at = sum(one.cost for one in lately), now
        for one in lately:
            if used + cost <= self._limit:
                break
            # It does not count any more from then on.
            used -= one.cost
            at = one.at + self._period
        return at

    def add(self, now: float, cost: int) -> Started:
        """Count what starts now, which is not before what was added already."""
        started = Started(now, cost)
        self._lately.append(started)
        return started


class RateLimit:
    """Lets requests start at the pace that a server allows; a server's own request to pause holds all of them."""

    def __init__(
        self,
        requests_per_minute: int,
        tokens_per_minute: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._requests = Window(requests_per_minute)
        self._tokens = Window(tokens_per_minute)
        self._clock = clock
        self._sleep = sleep
        self._held_until = 0.0
        # One waits for room, and the others for their turn: what counts is when they start, and not what was planned.
        self._turn = asyncio.Lock()

    async def start(self, tokens: int) -> Started:
        """Wait until a request of about so many tokens may start. They start in the order in which they came."""
        async with self._turn:
            # Once more after each sleep: somebody may have been told to pause meanwhile.
            while (now := self._clock()) < (at := self._room_at(now, tokens)):
                await self._sleep(at - now)
            self._requests.add(now, 1)
            return self._tokens.add(now, tokens)

    def settle(self, started: Started, tokens: int) -> None:
        """Put what a request really cost in the place of the estimate."""
        started.cost = tokens

    def hold(self, seconds: float) -> None:
        """Let nothing start for so long, because the server said so."""
        self._held_until = max(self._held_until, self._clock() + seconds)

    def _room_at(self, now: float, tokens: int) -> float:
        return max(self._held_until, self._requests.room_at(now, 1), self._tokens.room_at(now, tokens))
