"""What stands in for the runner and its files when an experiment is run in a test's own process; see `testing`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from athanor.experiment.spool import Claim, Position


class Killed(BaseException):
    """Ends what records at the moment at which its process is to have been killed."""


@dataclass(frozen=True, slots=True)
class RecordedProgress:
    """The last progress."""

    current: int
    total: int  # 0: unknown
    message: str


class Control:
    """Stands in for the runner."""

    def __init__(self, reason: str) -> None:
        self.cancelled = False
        self.progress: RecordedProgress | None = None
        self._reason = reason

    def cancel(self) -> None:
        """Request cancellation."""
        self.cancelled = True

    def cancel_reason(self) -> str:
        """What is given with the request."""
        return self._reason

    def write_progress(self, current: int, total: int, message: bytes) -> None:
        """Keep the progress."""
        self.progress = RecordedProgress(current, total, message.decode())


class MemorySpool:
    """Keeps events. Calls `then` once there are `after` of them; takes no more than `most`, whatever is tried then."""

    def __init__(self, first_sequence: int, *, after: int | None, then: Callable[[], None], most: int | None) -> None:
        self.events: list[bytes] = []
        self.killed = False
        self._first_sequence = first_sequence
        self._after = after
        self._then = then
        self._most = most

    @property
    def next_sequence(self) -> int:
        """The sequence that the next event must have."""
        return self._first_sequence + len(self.events)

    @property
    def position(self) -> Position:
        """How far it goes."""
        return Position(self.next_sequence - 1, len(self.events))

    def append(self, events: Sequence[bytes], *, claim: Claim = Claim.RECORD) -> None:
        """Keep events. Raises Killed when no more are to be kept; what came before it is."""
        room = len(events) if self._most is None else self._most - len(self.events)
        self.events += events[:room]
        if self._after is not None and len(self.events) >= self._after:
            self._then()
        if self._most is not None and len(self.events) >= self._most:
            self.killed = True
            raise Killed

    def append_output(
        self, events: Sequence[bytes], offsets: Sequence[tuple[int, int]], *, claim: Claim = Claim.LOG
    ) -> None:
        """Keep events of captured output."""
        self.append(events)

    def has_room(self, size: int) -> bool:
        """There always is."""
        return True

    def flush(self) -> None:
        """Nothing to flush."""

    def close(self) -> None:
        """Nothing to close."""
