"""Following a run's log: one loop that serves replay and live alike.

Register for wake-ups, read from the database until nothing is left, wait, and again. A reader that does not read holds
one batch; a reader that comes back says where it was.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

from athanor_orchestrator.domain.clock import Clock
from athanor_orchestrator.domain.errors import NotFound, PositionOutOfRange
from athanor_orchestrator.domain.records import Attempt, EventFilter, EventRow, Progress, Run
from athanor_orchestrator.domain.run_state import TERMINAL
from athanor_orchestrator.engine import codec, progress
from athanor_orchestrator.engine.progress import ProgressBoard
from athanor_orchestrator.engine.timings import Timings
from athanor_orchestrator.engine.wakeups import Wakeups
from athanor_orchestrator.storage import events, runs
from athanor_orchestrator.storage.database import Database
from athanor_orchestrator.storage.transaction import Transaction

BATCH_BYTES = 256 * 1024
_BATCH_EVENTS = 10_000

_LONG_AGO = float("-inf")


@dataclass(frozen=True, slots=True)
class RunItem:
    """The run as it stands."""

    run: Run


@dataclass(frozen=True, slots=True)
class BatchItem:
    """Events of the filter, as stored, in ascending order."""

    payloads: list[bytes]
    last_sequence: int  # of the last one


@dataclass(frozen=True, slots=True)
class ProgressItem:
    """The latest progress."""

    progress: Progress


@dataclass(frozen=True, slots=True)
class PositionItem:
    """How far the reader has been served, though it was sent nothing."""

    sequence: int
    server_time_us: int


Item = RunItem | BatchItem | ProgressItem | PositionItem


class Subscriptions:
    """Serves readers of runs' logs."""

    def __init__(
        self,
        database: Database,
        wakeups: Wakeups,
        progress: ProgressBoard,
        clock: Clock,
        timings: Timings | None = None,
    ) -> None:
        self._database = database
        self._wakeups = wakeups
        self._progress = progress
        self._clock = clock
        self._timings = timings or Timings()

    async def follow(
        self, run_id: str, after_sequence: int, filter: EventFilter
    ) -> AsyncGenerator[RunItem | BatchItem | ProgressItem | PositionItem, None]:
        """Yield the run, then every event of the filter behind `after_sequence`, once and in order, as it is committed.

        The run comes again when its state, attempts, cancellation or reachability change, and last, when it is terminal
        and its log has been sent; then the generator ends. One batch of about 256 KiB is held at most.

        Raises NotFound, also when the run is deleted meanwhile, PositionOutOfRange and StorageUnavailable.
        """
        reader = _Reader(after_sequence, self._clock, self._timings)

        with self._wakeups.subscribe(f"run:{run_id}", progress.topic(run_id)) as wakeup:
            while True:
                page = await self._database.read(lambda tx: _read(tx, run_id, reader.position, filter))
                more = page.more
                items = reader.take(page)
                del page
                while items:
                    # Taken off before it is handed on: while the next page is read, none of this one is held.
                    yield items.popleft()
                if reader.over:
                    return

                for item in reader.aside(self._progress.latest(run_id)):
                    yield item
                if not more:
                    await wakeup.wait(reader.patience())


@dataclass(frozen=True, slots=True)
class Page:
    """What one snapshot has behind a position."""

    run: Run
    rows: list[EventRow]
    position: int  # how far it reaches, hidden events included
    more: bool


def _read(tx: Transaction, run_id: str, position: int, filter: EventFilter) -> Page:
    run = runs.get_run(tx, run_id)
    if run is None:
        raise NotFound("run", run_id)
    if position > run.last_sequence:
        raise PositionOutOfRange(run_id, 1, run.last_sequence)
    if position == run.last_sequence:
        return Page(run, [], position, more=False)

    page = events.read_events(
        tx,
        run_id,
        after_sequence=position,
        upto=run.last_sequence,
        filter=filter,
        limit=_BATCH_EVENTS,
        max_bytes=BATCH_BYTES,
    )
    position = page.items[-1].sequence if page.more else run.last_sequence
    rows = [row for row in page.items if codec.has_text(row, filter.text)]
    return Page(run, rows, position, page.more)


class _Reader:
    """How far one reader has been served, and when it was sent what."""

    def __init__(self, position: int, clock: Clock, timings: Timings) -> None:
        self.position = position  # served up to here, hidden events included
        self.over = False
        self._told = position  # up to here the reader knows
        self._run: Run | None = None  # as it was sent last
        self._progress: Progress | None = None  # as it was sent last
        self._stored_progress: Progress | None = None
        self._progress_waits = False
        self._clock = clock
        self._timings = timings
        self._heard_at = _LONG_AGO  # when anything was sent, by the loop's clock; likewise below
        self._position_at = _LONG_AGO
        self._progress_at = _LONG_AGO

    def take(self, page: Page) -> "deque[Item]":
        """Return what is to be sent of a page."""
        items: deque[Item] = deque()
        run = page.run
        terminal = run.state in TERMINAL
        self.position = page.position
        self._stored_progress = run.progress
        self.over = terminal and not page.more

        # A run that has ended meanwhile comes last, behind its log.
        if self._run is None or (not terminal and _differs(self._run, run)):
            items.append(RunItem(run))
            self._progress = run.progress
            self._run = run
        if page.rows:
            self._told = page.rows[-1].sequence
            items.append(BatchItem([row.payload for row in page.rows], self._told))
        if self.over and not (items and isinstance(items[-1], RunItem)):
            items.append(RunItem(run))

        if items:
            self._heard_at = _now()
        return items

    def aside(self, latest: Progress | None) -> list[Item]:
        """Return what is to be sent beside events: progress (`latest`, or else the row's), and the position."""
        now = _now()
        items: list[Item] = []
        latest = latest or self._stored_progress
        self._progress_waits = latest is not None and latest != self._progress
        if self._progress_waits and latest is not None and now - self._progress_at >= self._timings.progress_shown:
            items.append(ProgressItem(latest))
            self._progress = latest
            self._progress_at = now
            self._progress_waits = False

        hidden = self.position > self._told and now - self._position_at >= self._timings.hidden_position
        silent = not items and now - self._heard_at >= self._timings.keep_alive
        if hidden or silent:
            items.append(PositionItem(self.position, self._clock.now_us()))
            self._told = self.position
            self._position_at = now

        if items:
            self._heard_at = now
        return items

    def patience(self) -> float:
        """Return for how many seconds to wait at most before looking again."""
        now = _now()
        until = [now + self._timings.poll, self._heard_at + self._timings.keep_alive]
        if self._progress_waits:
            until.append(self._progress_at + self._timings.progress_shown)
        if self.position > self._told:
            until.append(self._position_at + self._timings.hidden_position)
        return max(min(until) - now, 0.0)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _differs(before: Run, now: Run) -> bool:
    return (
        before.state is not now.state
        or _attempts(before) != _attempts(now)
        or before.cancel_request_time_us != now.cancel_request_time_us
        or before.cancel_reason != now.cancel_reason
        or before.unreachable_since_us != now.unreachable_since_us
        or before.next_attempt_time_us != now.next_attempt_time_us
    )


def _attempts(run: Run) -> list[Attempt]:
    """The attempts without how far they have reached: that changes with every event."""
    return [replace(attempt, last_sequence=0) for attempt in run.attempts]
