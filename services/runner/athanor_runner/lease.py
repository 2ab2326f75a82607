"""How long a runner may count on its leases, and whether it has been asleep: by the clock that runs on in suspend."""

from dataclasses import dataclass, field

SELF_STOP_SHARE = 0.9  # of `lost_after`: then the attempt has stopped before anybody else may start the next one
STILL_INTERVALS = 3  # heartbeats missed by the loop itself after which it does not trust what it reads


def self_stop_time(renewed_at: float, lost_after: float, attempt: int, max_attempts: int) -> float | None:
    """When an attempt is to be stopped by the runner itself; None when no other attempt could follow it.

    `renewed_at` is when the last heartbeat that was answered had been sent, in seconds of the boot clock.
    """
    if attempt >= max_attempts:
        return None
    return renewed_at + SELF_STOP_SHARE * lost_after


@dataclass
class Pulse:
    """The heartbeats of one session. Times are seconds of the boot clock."""

    interval: float
    answered_at: float  # when the newest message that was answered had been sent: Hello, then heartbeats
    beaten_at: float  # when the loop last came round
    _sent: dict[int, float] = field(default_factory=dict[int, float])
    _nonce: int = 0
    _doubtful_before: int = 0  # after having stood still: nothing is taken before this heartbeat is answered

    def beat(self, now: float) -> int:
        """A heartbeat is sent now; returns its nonce."""
        self._nonce += 1
        if now - self.beaten_at > STILL_INTERVALS * self.interval:
            self._doubtful_before = self._nonce
        self.beaten_at = now
        self._sent[self._nonce] = now
        return self._nonce

    def answered(self, nonce: int) -> float | None:
        """A heartbeat was answered; returns when it had been sent, or None when it is not known."""
        sent = self._sent.pop(nonce, None)
        if sent is None:
            return None
        for older in [number for number in self._sent if number < nonce]:
            del self._sent[older]
        self.answered_at = max(self.answered_at, sent)
        if nonce >= self._doubtful_before:
            self._doubtful_before = 0
        return sent

    def awake(self, now: float) -> bool:
        """False when the loop stood still and no heartbeat sent since has been answered: what is read may be old."""
        return self._doubtful_before == 0 and now - self.beaten_at <= STILL_INTERVALS * self.interval

    def silent_for(self, now: float) -> float:
        """Seconds since the newest message that was answered had been sent."""
        return now - self.answered_at
