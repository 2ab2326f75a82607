"""Following a run's log: one loop that serves replay and live alike.

Register for wake-ups, read from the database until nothing is left, wait, and again; what was just committed behind the
reader's position comes from memory (`tails`). The run itself is looked at when somebody says that it changed, when
nothing is left to read, and at every poll. A reader that does not read holds one batch; a reader that comes back says
where it was.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from athanor_orchestrator.domain.clock import Clock
from athanor_orchestrator.domain.errors import NotFound, PositionOutOfRange
from athanor_orchestrator.domain.records import Attempt, EventFilter, Progress, Run
from athanor_orchestrator.domain.run_state import TERMINAL
from athanor_orchestrator.engine import codec, framing, progress, tails
from athanor_orchestrator.engine.log_pages import LogPages
from athanor_orchestrator.engine.progress import ProgressBoard
from athanor_orchestrator.engine.tails import BatchItem, Tails
from athanor_orchestrator.engine.timings import Timings
from athanor_orchestrator.engine.wakeups import Wakeups
from athanor_orchestrator.storage import events, runs
from athanor_orchestrator.storage.database import Database
from athanor_orchestrator.storage.transaction import Transaction

BATCH_BYTES = 256 * 1024
_BATCH_EVENTS = 2_500  # small ones fill a batch by their number; PostgreSQL looks at the size of as many

_LONG_AGO = float("-inf")
_WHOLE = EventFilter()
_LEAST_PATIENCE = 0.001  # seconds; what is due but for a rounding is not asked about again and again


@dataclass(frozen=True, slots=True)
class RunItem:
    """The run as it stands."""

    run: Run


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
        tails: Tails,
        clock: Clock,
        timings: Timings | None = None,
    ) -> None:
        self._database = database
        self._wakeups = wakeups
        self._progress = progress
        self._tails = tails
        self._pages: LogPages[Page] = LogPages()
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
        whole = filter == _WHOLE
        of_run, of_log = f"run:{run_id}", tails.topic(run_id)

        with (
            self._wakeups.subscribe(of_run, of_log, progress.topic(run_id)) as wakeup,
            self._tails.follow(run_id) as tail,
        ):
            heard: frozenset[str] = frozenset()
            unread = True  # as far as is known
            while True:
                item = tail.behind(reader.position) if whole else None
                passed_on = False
                if of_run in heard or reader.has_not_looked:
                    page = await self._look(run_id, reader.position, None if item is not None else filter)
                elif item is not None:
                    page = Page(None, item, item.last_sequence, more=False)
                    passed_on = True
                elif unread or of_log in heard:
                    page = await self._page(run_id, reader.position, filter, reader.known_end)
                else:
                    page = None

                if page is not None:
                    unread = page.more
                    items = reader.take(page)
                    if whole and not passed_on and unread:
                        self._read_ahead(run_id, reader.position, reader.known_end)
                    del page, item
                    while items:
                        # Taken off before it is handed on: while the next page is read, none of this one is held.
                        yield items.popleft()
                    if reader.over:
                        return

                for aside in reader.aside(self._progress.latest(run_id)):
                    yield aside
                if passed_on and tail.followers > 1:
                    await asyncio.sleep(self._pause(tail.followers))
                heard = wakeup.heard() if unread else await wakeup.wait(reader.patience())

    def _pause(self, followers: int) -> float:
        """Return for how long what comes is gathered, once something has been sent."""
        return min(followers * self._timings.gathered, self._timings.gathered_longest)

    async def _look(self, run_id: str, position: int, filter: EventFilter | None) -> "Page":
        """Look at the run; and, with a filter, at what is behind the position."""
        return await self._database.read(partial(_look, run_id, position, filter))

    async def _page(self, run_id: str, position: int, filter: EventFilter, upto: int) -> "Page":
        """Read on, up to a place where the log is known to reach; beyond that a look at the run is due."""
        if position >= upto:
            return await self._look(run_id, position, filter)
        read = self._reading(run_id, position, filter, upto)
        return await (self._pages.get(run_id, position, read) if filter == _WHOLE else read())

    def _read_ahead(self, run_id: str, position: int, upto: int) -> None:
        """Have the next page read while this one is sent: both take about as long. It is held with those of others."""
        if position < upto:
            self._pages.ahead(run_id, position, self._reading(run_id, position, _WHOLE, upto))

    def _reading(self, run_id: str, position: int, filter: EventFilter, upto: int) -> "Callable[[], Awaitable[Page]]":
        return lambda: self._database.read(partial(_page, run_id, position, filter, upto))


@dataclass(frozen=True, slots=True)
class Page:
    """What one snapshot has behind a position."""

    run: Run | None  # None: nobody looked
    batch: BatchItem | None  # None: nothing that the filter shows
    position: int  # how far it reaches, hidden events included
    more: bool


def _look(run_id: str, position: int, filter: EventFilter | None, tx: Transaction) -> Page:
    run = runs.get_run(tx, run_id)
    if run is None:
        raise NotFound("run", run_id)
    if position > run.last_sequence:
        raise PositionOutOfRange(run_id, 1, run.last_sequence)
    if filter is None or position == run.last_sequence:
        return Page(run, None, position, more=position < run.last_sequence)
    batch, position = _events(tx, run_id, position, filter, run.last_sequence)
    return Page(run, batch, position, more=position < run.last_sequence)


def _page(run_id: str, position: int, filter: EventFilter, upto: int, tx: Transaction) -> Page:
    if not runs.exists(tx, run_id):
        raise NotFound("run", run_id)
    batch, position = _events(tx, run_id, position, filter, upto)
    return Page(None, batch, position, more=True)


def _events(
    tx: Transaction, run_id: str, position: int, filter: EventFilter, upto: int
) -> tuple[BatchItem | None, int]:
    """Return the events behind a position that the filter shows, and how far they reach."""
    if filter == _WHOLE:
        part = events.read_log(
            tx, run_id, after_sequence=position, upto=upto, limit=_BATCH_EVENTS, max_bytes=BATCH_BYTES
        )
        return _batch(part.payloads, part.first_sequence, part.last_sequence), part.last_sequence

    page = events.read_events(
        tx,
        run_id,
        after_sequence=position,
        upto=upto,
        filter=filter,
        limit=_BATCH_EVENTS,
        max_bytes=BATCH_BYTES,
    )
    rows = [row for row in page.items if codec.has_text(row, filter.text)]
    first, last = (rows[0].sequence, rows[-1].sequence) if rows else (0, 0)
    batch = _batch([row.payload for row in rows], first, last)
    return batch, page.items[-1].sequence if page.more else upto


def _batch(payloads: Sequence[bytes], first_sequence: int, last_sequence: int) -> BatchItem | None:
    if not payloads:
        return None
    return BatchItem(framing.batch_response(payloads, first_sequence, last_sequence), last_sequence)


class _Reader:
    """How far one reader has been served, and when it was sent what."""

    def __init__(self, position: int, clock: Clock, timings: Timings) -> None:
        self.position = position  # served up to here, hidden events included
        self.over = False
        self._told = position  # up to here the reader knows
        self.known_end = position  # of the log, when the run was last looked at
        self._looked_at = _LONG_AGO  # by the loop's clock
        self._run: Run | None = None  # as it was sent last
        self._progress: Progress | None = None  # as it was sent last
        self._stored_progress: Progress | None = None
        self._progress_waits = False
        self._clock = clock
        self._timings = timings
        self._heard_at = _LONG_AGO  # when anything was sent, by the loop's clock; likewise below
        self._position_at = _LONG_AGO
        self._progress_at = _LONG_AGO

    @property
    def has_not_looked(self) -> bool:
        """Whether it is time to look at the run, though nobody said that it has changed."""
        return _now() >= self._looked_at + self._timings.poll

    def take(self, page: Page) -> "deque[Item]":
        """Return what is to be sent of a page."""
        items: deque[Item] = deque()
        self.position = page.position
        run = page.run
        terminal = run is not None and run.state in TERMINAL
        if run is not None:
            self._looked_at = _now()
            self.known_end = run.last_sequence
            self._stored_progress = run.progress
            self.over = terminal and not page.more

            # A run that has ended meanwhile comes last, behind its log.
            if self._run is None or (not terminal and _differs(self._run, run)):
                items.append(RunItem(run))
                self._progress = run.progress
                self._run = run
        if page.batch is not None:
            self._told = page.batch.last_sequence
            items.append(page.batch)
        if run is not None and self.over and not (items and isinstance(items[-1], RunItem)):
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
        until = [self._looked_at + self._timings.poll, self._heard_at + self._timings.keep_alive]
        if self._progress_waits:
            until.append(self._progress_at + self._timings.progress_shown)
        if self.position > self._told:
            until.append(self._position_at + self._timings.hidden_position)
        return max(min(until) - now, _LEAST_PATIENCE)


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
