"""From the spools to the stream: which events of which runs go into the next delivery."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from athanor.experiment.control import ControlPage, ProgressSlot
from athanor.experiment.spool import SpoolError, SpoolReader, scan
from athanor.experiment.wire import MAX_EVENT_BYTES

from athanor_runner.pace import LARGE_DELIVERY

ROUNDS = 8  # in which the room of one delivery is handed out


@dataclass(frozen=True)
class Batch:
    """Consecutive events of one run, as they were read for a delivery. Sizes in bytes."""

    events: tuple[bytes, ...]
    last_sequence: int
    record_bytes: int  # of the spool, up to its last event
    at_end: bool = False  # there was nothing more when it was read

    @property
    def first_sequence(self) -> int:
        """Sequence of its first event."""
        return self.last_sequence - len(self.events) + 1

    @cached_property
    def size(self) -> int:
        """Bytes of the events."""
        return sum(map(len, self.events))


@dataclass
class Window:
    """How much of one run is under way. Sizes in bytes."""

    committed: int  # sequence up to which everything is acknowledged
    limit: int = 0
    in_flight: int = 0
    acknowledged_bytes: int = 0  # of the spool's records
    _batches: deque[tuple[int, int, int]] = field(default_factory=deque[tuple[int, int, int]])

    @property
    def room(self) -> int:
        """How much may be sent now; 0 as long as the largest event there can be would not fit."""
        room = self.limit - self.in_flight
        return room if room >= MAX_EVENT_BYTES or self.in_flight == 0 else 0

    def sent(self, batch: Batch) -> None:
        """A batch is under way."""
        self._batches.append((batch.last_sequence, batch.size, batch.record_bytes))
        self.in_flight += batch.size

    def acknowledged(self, committed: int) -> None:
        """Everything up to this sequence is durable. An older word changes nothing."""
        self.committed = max(self.committed, committed)
        while self._batches and self._batches[0][0] <= self.committed:
            _, size, record_bytes = self._batches.popleft()
            self.in_flight -= size
            self.acknowledged_bytes = max(self.acknowledged_bytes, record_bytes)

    def forget(self) -> None:
        """Nothing is under way any more: the stream is gone, or what was sent on it was dropped."""
        self._batches.clear()
        self.in_flight = 0


class Feed:
    """One run's way from its spool to the stream.

    The event loop decides, `fill` reads on a thread; by `generation` it shows when the loop has decided anew meanwhile.
    """

    def __init__(
        self,
        lease_id: str,
        folder: Path,
        *,
        committed: int,
        control: ControlPage | None,
        on_progress: Callable[[], None],
        on_damage: Callable[[str], None],
    ) -> None:
        """`folder` is the spool's. `on_damage` is told when the spool cannot be read on from where it has to be."""
        self.lease_id = lease_id
        self.control = control
        self.window = Window(committed)
        self.credit = 0  # bytes that this run was promised in deliveries and has not had; negative: had in advance
        self.held = False  # ship nothing of it
        self.awaiting_answer = False  # of a stream just opened: where to go on
        self.ending = False  # nothing but the attempt's end comes behind what there is
        self.highest_sequence = 0  # that was ever read
        self.generation = 0  # one higher whenever reading has to begin at another place
        self.folder = folder
        self._reader = SpoolReader(folder)
        self._placed = -1  # the generation for which the reader was put in its place
        self._event_bytes = 0  # of an event that was sent last, on average
        self._look = True  # read on, whatever the process says of what it recorded
        self._shown_progress = 0
        self._on_progress = on_progress
        self._on_damage = on_damage
        self._reading = threading.Lock()
        self._closed = False

    @property
    def ready(self) -> bool:
        """May anything of it be sent now?"""
        return not self.held and not self.awaiting_answer and self.window.room > 0

    @property
    def acknowledged_bytes(self) -> int:
        """Bytes of the spool's records that are acknowledged."""
        page = self.control.acknowledged_bytes if self.control is not None and not self._closed else 0
        return max(page, self.window.acknowledged_bytes)

    def stream_opened(self, limit: int) -> None:
        """A new stream. Whether what was under way on the old one has arrived, the answer to Open will tell."""
        self.awaiting_answer = self.window.in_flight > 0
        self.window.limit = limit
        self._go_back()
        self._shown_progress = 0

    def resume(self, committed: int) -> None:
        """The orchestrator's word on where to go on, as a new session begins."""
        self.held = False
        self.window.committed = committed
        self._go_back()
        self.awaiting_answer = False
        self._on_progress()

    def acknowledged(self, committed: int, rewind: bool) -> None:
        """The orchestrator says how far it has stored this run."""
        self.window.acknowledged(committed)
        if rewind:
            # Also below what was acknowledged: so says, in mid-session, a database that fell back to an older copy.
            self.window.committed = committed
        if self.awaiting_answer or rewind:
            self.awaiting_answer = False
            self._go_back()
        self._tell_process()
        self._on_progress()

    def was_sent(self, batch: Batch) -> None:
        """These events are under way."""
        self.window.sent(batch)
        self._event_bytes = batch.size // len(batch.events)
        self.highest_sequence = max(self.highest_sequence, batch.last_sequence)

    def damaged(self, reason: str) -> None:
        """The spool cannot be read on from where it has to be."""
        self.held = True
        self._on_damage(reason)

    def ask_to_ring(self) -> bool:
        """Has the doorbell rung at the next event. True when that had not been asked for: one may have been missed.

        Then the page tells: the process writes it before it looks whether to ring. The spool need not be looked into.
        """
        if self.control is None or self._closed or self.control.waiting:
            return False
        self.control.waiting = True
        return True

    def look(self) -> None:
        """Has the next read look into the spool itself, and not only at what the process says of it."""
        self._look = True

    @property
    def recorded_sequence(self) -> int:
        """Sequence of the last event that its process says it recorded; 0 when it says nothing."""
        return self.control.recorded_sequence if self.control is not None and not self._closed else 0

    @property
    def may_have_more(self) -> bool:
        """Is it worth reading on? Not to be asked while it is being read."""
        return self._placed != self.generation or self._more()

    @property
    def unread_bytes(self) -> int:
        """About how much was recorded and not read, if events are now what they were. Not while it is being read."""
        if self._placed == self.generation and not self._reader.at_end:
            return LARGE_DELIVERY  # the last delivery had no room for it
        read = self._reader.last_sequence if self._placed == self.generation else self.window.committed
        return max(0, self.recorded_sequence - read) * self._event_bytes

    def has_progress(self) -> bool:
        """Is there progress that was not taken yet?"""
        slot = self._progress()
        return slot is not None and slot.version != self._shown_progress

    def new_progress(self) -> ProgressSlot | None:
        """Takes the progress, when it is another than the one taken last."""
        slot = self._progress()
        if slot is None or slot.version == self._shown_progress:
            return None
        self._shown_progress = slot.version
        return slot

    def _progress(self) -> ProgressSlot | None:
        return self.control.read_progress() if self.control is not None and not self.held and not self._closed else None

    # On a thread.

    def read(self, max_bytes: int, generation: int) -> Batch | None:
        """Reads on, at most this much, or one larger event; None when there is nothing. Raises SpoolError, OSError."""
        with self._reading:
            if self._closed:
                return None
            if self._placed != generation:
                self._place()
                self._placed = generation
            elif not self._more():
                return None
            self._look = False
            events = self._reader.read(max_bytes)
            self._reader.record_bytes(self.window.committed)  # lets it forget what lies behind
            if not events:
                return None
            reader = self._reader
            return Batch(tuple(events), reader.last_sequence, reader.position.record_bytes, reader.at_end)

    def _more(self) -> bool:
        """Most looks find nothing, and one into the spool costs a hundred times what one at the page does."""
        said = self.recorded_sequence
        return self._look or self.ending or not self._reader.at_end or said == 0 or said > self._reader.last_sequence

    def first_sequence(self) -> int:
        """Sequence of the first event in the spool; 0 when there is none."""
        return scan(self.folder).first_sequence

    def close(self) -> None:
        """Reads no more."""
        with self._reading:
            self._closed = True
            self._reader.close()
            if self.control is not None:
                self.control.close()

    def _place(self) -> None:
        try:
            self._reader.rewind(self.window.committed + 1)
        except SpoolError:
            end = scan(self.folder).end
            if end is None or end.event_count == 0:
                return  # nothing has been written yet: reading begins with the first event there will be
            # Again: it may have begun between the two looks.
            self._reader.rewind(self.window.committed + 1)
        # What is acknowledged, and was sent before: no batch is remembered that would say how much that was.
        self.window.acknowledged_bytes = max(self.window.acknowledged_bytes, self._reader.position.record_bytes)
        self._tell_process()

    def _tell_process(self) -> None:
        if self.control is not None and not self._closed:
            self.control.acknowledged_bytes = self.acknowledged_bytes

    def _go_back(self) -> None:
        self.generation += 1
        self.window.forget()


class Feeds:
    """The feeds of all attempts that have something to ship, or will have."""

    def __init__(self) -> None:
        self.news = asyncio.Event()  # something may have become possible
        self._feeds: dict[str, Feed] = {}
        self._limit = 0

    def __iter__(self) -> Iterator[Feed]:
        return iter(list(self._feeds.values()))

    def find(self, lease_id: str) -> Feed | None:
        """The feed of a lease."""
        return self._feeds.get(lease_id)

    def add(self, feed: Feed) -> None:
        """Ships from this feed too."""
        feed.window.limit = self._limit
        self._feeds[feed.lease_id] = feed
        self.news.set()

    def remove(self, feed: Feed) -> None:
        """Ships from it no more."""
        if self._feeds.get(feed.lease_id) is feed:
            del self._feeds[feed.lease_id]

    def stream_opened(self, limit: int) -> None:
        """A new stream, with this many bytes of one run allowed to be unacknowledged."""
        self._limit = limit
        for feed in self:
            feed.stream_opened(limit)


@dataclass(frozen=True)
class Taken:
    """What was read of one feed for a delivery."""

    feed: Feed
    generation: int
    batch: Batch | None
    damage: str = ""


def fill(feeds: Sequence[Feed], budget: int) -> list[Taken]:
    """Reads the events of one delivery, of about `budget` bytes, at most one largest event more. Blocks; never raises.

    Every feed gets its share before any gets more. What a feed was promised and could not use stays its credit as long
    as it has something to send, and an event larger than its share is a debt that the next deliveries take back.
    """
    left = budget
    taken: dict[Feed, Taken] = {}
    rooms = {feed: feed.window.room for feed in feeds}
    hungry = list(feeds)
    for _ in range(ROUNDS):
        if not hungry or left <= 0:
            break
        share = max(1, left // len(hungry))
        waiting: list[Feed] = []
        for feed in hungry:
            feed.credit = min(feed.credit + share, budget)
            allowance = min(feed.credit, rooms[feed], left)
            if allowance <= 0:
                if feed.credit <= 0 and rooms[feed] > 0 and left > 0:
                    waiting.append(feed)  # it pays its debt first
                continue
            before = taken.get(feed)
            generation = before.generation if before is not None else feed.generation
            try:
                batch = feed.read(allowance, generation)
            except (SpoolError, OSError) as error:
                taken[feed] = Taken(feed, generation, None, f"the spool cannot be read on: {error}")
                continue
            if batch is None:
                feed.credit = 0
                continue
            size = batch.size
            left -= size
            rooms[feed] = rooms[feed] - size if rooms[feed] - size >= MAX_EVENT_BYTES else 0
            feed.credit -= size
            if before is not None and before.batch is not None:
                batch = replace(batch, events=before.batch.events + batch.events)
            taken[feed] = Taken(feed, generation, batch)
            if batch.at_end:
                feed.credit = 0
            else:
                waiting.append(feed)
        hungry = waiting
    return list(taken.values())
