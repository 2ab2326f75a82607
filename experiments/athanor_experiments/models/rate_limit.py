"""At most so many requests and tokens in any minute, over all conversations of a run together."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

MINUTE_S = 60.0


@dataclass(slots=True)
class Reservation:
    """A start that was granted. Its cost is an estimate until `RateLimit.settle`."""

    start: float  # on the window's clock, in seconds
    cost: int


class Window:
    """Grants starts so that the costs within any `period` seconds are at most `limit`. Starts are in order."""

    def __init__(self, limit: int, period: float = MINUTE_S) -> None:
        self._limit = limit
        self._period = period
        self._reservations: deque[Reservation] = deque()

    def reserve(self, now: float, cost: int) -> Reservation:
        """Grant the earliest start from `now` on. What costs more than the limit waits until nothing else counts."""
        kept = self._reservations
        while kept and kept[0].start <= now - self._period:
            kept.popleft()

        start = max(now, kept[-1].start) if kept else now
        used = sum(one.cost for one in kept)
        for one in kept:
            if one.start > start - self._period and used + cost <= self._limit:
                break
            # It does not count any more from then on.
            used -= one.cost
            start = max(start, one.start + self._period)

        granted = Reservation(start, cost)
        kept.append(granted)
        return granted


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

    async def start(self, tokens: int) -> Reservation:
        """Wait until a request of about so many tokens may start."""
        request = self._requests.reserve(self._clock(), 1)
        reserved = self._tokens.reserve(request.start, tokens)
        request.start = reserved.start  # it is then that it starts
        # Once more after each sleep: somebody may have been told to pause meanwhile.
        while (wait := max(reserved.start, self._held_until) - self._clock()) > 0:
            await self._sleep(wait)
        return reserved

    def settle(self, reserved: Reservation, tokens: int) -> None:
        """Put what a request really cost in the place of the estimate."""
        reserved.cost = tokens

    def hold(self, seconds: float) -> None:
        """Let nothing start for so long, because the server said so."""
        self._held_until = max(self._held_until, self._clock() + seconds)
