"""The newest committed events of the runs that are being watched, in memory: what all their watchers are sent next.

The log in the database is the truth. This saves those who have kept up from reading there what has just been written,
and has what a hundred of them are sent made once. Only what is committed is put in; each watcher takes only what
follows its own position without a gap; and whoever does not find that here reads the log. So nothing needs to be said
of what is not here: a commit of another orchestrator, a large one, a run that was not watched a moment ago.
"""

from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from athanor_orchestrator.engine import framing

TAIL_BYTES = 256 * 1024  # of events of one run; also what is sent at once
ALL_BYTES = 8 * 1024 * 1024  # of events of all runs together
_MADE = 8  # items for different positions; those who have kept up are at one or two


def topic(run_id: str) -> str:
    """Name the topic of commits that added to a run's log and changed nothing else of it that watchers are told."""
    return f"log:{run_id}"


@dataclass(frozen=True, slots=True)
class BatchItem:
    """Events, in ascending order, as the message that a watcher is sent."""

    message: bytes  # a WatchRunResponse
    last_sequence: int  # of the last one


@dataclass(frozen=True, slots=True)
class _Commit:
    first_sequence: int
    payloads: Sequence[bytes]
    size: int


class Tail:
    """The newest events of one run, contiguous."""

    def __init__(self) -> None:
        self.followers = 0
        self.size = 0  # bytes of events
        self._commits: deque[_Commit] = deque()
        self._next = 0  # sequence of what would come next
        self._made: dict[int, BatchItem] = {}  # by the position that it follows

    def add(self, first_sequence: int, payloads: Sequence[bytes]) -> None:
        """Take what was committed. What does not follow, or is too much, takes the place of all there was."""
        size = sum(map(len, payloads))
        self._made.clear()
        if first_sequence != self._next or size > TAIL_BYTES:
            self.clear()
        self._next = first_sequence + len(payloads)
        if size > TAIL_BYTES:
            return
        self._commits.append(_Commit(first_sequence, payloads, size))
        self.size += size
        while self.size > TAIL_BYTES:
            self.size -= self._commits.popleft().size

    def clear(self) -> None:
        """Hold nothing; what comes next will still follow."""
        self._commits.clear()
        self._made.clear()
        self.size = 0

    def behind(self, position: int) -> BatchItem | None:
        """Return all that follows `position`, if a commit began there; the same object to everyone who asks for it."""
        if position + 1 >= self._next:
            return None
        item = self._made.get(position)
        if item is None:
            payloads: list[bytes] = []
            for commit in self._commits:
                if payloads or commit.first_sequence == position + 1:
                    payloads += commit.payloads
            if not payloads:
                return None
            if len(self._made) >= _MADE:
                self._made.clear()
            item = self._made[position] = BatchItem(
                framing.batch_response(payloads, position + 1, self._next - 1), self._next - 1
            )
        return item


class Tails:
    """The tails of all runs that somebody follows here. Used on the event loop only."""

    def __init__(self) -> None:
        self._tails: dict[str, Tail] = {}
        self._filled: dict[Tail, None] = {}  # the one that was added to last comes last
        self.size = 0  # bytes of events of all of them

    @contextmanager
    def follow(self, run_id: str) -> Generator[Tail, None, None]:
        """Within it the run's tail is kept."""
        tail = self._tails.setdefault(run_id, Tail())
        tail.followers += 1
        try:
            yield tail
        finally:
            tail.followers -= 1
            if not tail.followers:
                del self._tails[run_id]
                self._empty(tail)

    def followed(self, run_id: str) -> bool:
        """Whether somebody follows a run here."""
        return run_id in self._tails

    def add(self, run_id: str, first_sequence: int, payloads: Sequence[bytes]) -> None:
        """Take what was committed of a run that is followed; the tails that were added to longest ago make room."""
        tail = self._tails[run_id]
        before = tail.size
        tail.add(first_sequence, payloads)
        self.size += tail.size - before
        self._filled.pop(tail, None)
        self._filled[tail] = None
        while self.size > ALL_BYTES:
            self._empty(next(iter(self._filled)))

    def _empty(self, tail: Tail) -> None:
        self._filled.pop(tail, None)
        self.size -= tail.size
        tail.clear()
