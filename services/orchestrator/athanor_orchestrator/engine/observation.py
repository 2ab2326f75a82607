"""How long a lease has been seen to go unrenewed, by an observer that counts only the time in which it was looking.

Pure: no clock, no database. That a lease is over takes two witnesses, the database's clock and this one: so neither
downtime nor a closed laptop nor a moved clock ends a run.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from athanor_orchestrator.domain.records import Lease

_US = 1_000_000


@dataclass(frozen=True, slots=True)
class _Seen:
    renew_time_us: int
    silent: float  # seconds of observed time since that renewal was first seen


class Observer:
    """Adds up observed time, round by round. A round is left out when it came late or saw the wall clock jump."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._last: tuple[float, int] | None = None  # monotonic seconds, the database's clock, of the last good round
        self._seen: dict[str, _Seen] = {}
        self.observed = 0.0  # seconds observed without interruption

    def failed(self) -> None:
        """Note that a round could not look: the time up to the next one counts for nothing."""
        self._last = None
        self.observed = 0.0

    def look(self, monotonic: float, wall_us: int, live: Iterable[Lease]) -> None:
        """Take in the live leases as they are at this moment."""
        elapsed = self._elapsed(monotonic, wall_us)
        self._last = monotonic, wall_us
        self.observed = self.observed + elapsed if elapsed > 0 else 0.0

        seen: dict[str, _Seen] = {}
        for lease in live:
            before = self._seen.get(lease.id)
            if before is None or before.renew_time_us != lease.renew_time_us:
                seen[lease.id] = _Seen(lease.renew_time_us, 0.0)
            else:
                seen[lease.id] = _Seen(lease.renew_time_us, before.silent + elapsed)
        self._seen = seen

    def silent(self, lease: Lease) -> float:
        """Return for how many observed seconds this very renewal has been the latest."""
        seen = self._seen.get(lease.id)
        return seen.silent if seen is not None and seen.renew_time_us == lease.renew_time_us else 0.0

    def over(self, lease: Lease, wall_us: int) -> bool:
        """Tell whether the lease is over by both witnesses."""
        return lease.expire_time_us < wall_us and self.silent(lease) >= lease.lost_after.total_seconds()

    def _elapsed(self, monotonic: float, wall_us: int) -> float:
        if self._last is None:
            return 0.0

        elapsed = monotonic - self._last[0]
        wall = (wall_us - self._last[1]) / _US
        late = elapsed > 3 * self._interval
        jumped = abs(wall - elapsed) > self._interval
        return 0.0 if late or jumped else elapsed
