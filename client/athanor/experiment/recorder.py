"""Recording: the one place where events get their numbers in the run's process.

One lock, held for the numbering and the write. Code that interrupts a call in the same thread and records itself, as a
signal handler or a finalizer may, does not wait for a lock that it holds: its event is put behind the one under way.
"""

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Protocol

from athanor.experiment import dropped, wire
from athanor.experiment.capture import CHUNK_BYTES, OutputCapture
from athanor.experiment.errors import EventTooLargeError, ForkedChildError, RecordingError, RunEndedError
from athanor.experiment.spool import Claim, Position, SpoolFullError

# What an event has around the body of its alternative is smaller than this, in bytes.
_AROUND_BYTES = 64
MAX_BODY_BYTES = wire.MAX_EVENT_BYTES - _AROUND_BYTES
# Many events are written in pieces of about this many bytes.
_WRITE_BYTES = 1 << 20
# The entry that stands for those that were dropped, its record's head included, is smaller than this, in bytes.
_DROPPED_BYTES = 256
# While the spool is full a log entry looks again after this long at first, and after twice as long each time up to the
# last; seconds.
_FIRST_WAIT_S = 0.002
_LAST_WAIT_S = 0.1
# Captured output is looked at in calls of the context, at most this often.
_CAPTURE_INTERVAL_NS = 100_000_000

LOG = wire.tag(wire.LOG)
RESULT = wire.tag(wire.RESULT)
CHECKPOINT = wire.tag(wire.CHECKPOINT)
ATTEMPT_STARTED = wire.tag(wire.ATTEMPT_STARTED)

_NANOSECONDS = 1_000_000_000
# Seven bits of an integer with more of it to come; and of the sequence, with the tag in front.
_MORE = tuple(bytes((value | 0x80,)) for value in range(0x80))
_LOWS = tuple(wire.tag(1, 0) + more for more in _MORE)
_varint, _SINGLE = wire.varint, wire.SINGLE
_LOG_CLAIM, _RECORD_CLAIM = Claim.LOG, Claim.RECORD


class Spool(Protocol):
    """What is recorded into; see SpoolWriter."""

    @property
    def next_sequence(self) -> int:
        """The sequence that the next event must have."""
        ...

    @property
    def position(self) -> Position:
        """How far it goes."""
        ...

    def append(self, events: Sequence[bytes], *, claim: Claim = Claim.RECORD) -> None:
        """Record events. Raises SpoolFullError for Claim.LOG."""
        ...

    def append_output(
        self, events: Sequence[bytes], offsets: Sequence[tuple[int, int]], *, claim: Claim = Claim.LOG
    ) -> None:
        """Record events of captured output."""
        ...

    def has_room(self, size: int) -> bool:
        """Whether so many bytes could be appended as log entries."""
        ...

    def flush(self) -> None:
        """Flush to disk."""
        ...

    def close(self) -> None:
        """Let go of descriptors."""
        ...


class Recorder:
    """Numbers and records the events of one attempt, for any number of threads."""

    def __init__(
        self,
        spool: Spool,
        attempt: int,
        *,
        recorded: Callable[[int], None] = lambda _: None,
        drop: Callable[[int], None] | None = None,
        time_ns: Callable[[], int] = time.time_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Record into a spool, for the attempt of this number.

        Args:
            spool: what to record into.
            attempt: the attempt's number.
            recorded: told the last sequence after each write.
            drop: with it log entries for which there is no room are dropped instead of waited with, and it is told how
                many the log does not tell of yet.
            time_ns: a clock.
            sleep: how to wait, in seconds.
        """
        self._spool = spool
        self._recorded = recorded
        self._drop = drop
        self._dropped = 0
        self._sleep = sleep
        self._capture: OutputCapture | None = None
        self._time_ns = time_ns
        self._attempt = attempt
        self._before_time = wire.tag(2, 0) + wire.varint(attempt) + wire.tag(3)
        self._lock = threading.RLock()
        self._busy = False
        self._deferred: list[tuple[bytes, bytes]] = []
        self._refusal: Callable[[], RecordingError] | None = None
        self._captured_ns = 0
        # What events have in common, and what it is made for.
        self._second_ns = self._high = self._upper = -1
        self._middle = self._middle_4 = self._middle_5 = self._last = b""
        _recorders.add(self)

    @property
    def refusing(self) -> bool:
        """Whether nothing is recorded any more: the experiment has ended, or this is a forked child."""
        return self._refusal is not None

    @property
    def last_sequence(self) -> int:
        """Sequence of the last event that was recorded."""
        return self._spool.next_sequence - 1

    def capture_output(self, capture: OutputCapture) -> None:
        """Turn captured output into events from now on, first of all what there is."""
        with self._lock:
            self._capture = capture
            self._busy = True
            try:
                self._catch_up(self._time_ns())
            finally:
                self._busy = False

    def record(self, alternative: bytes, body: bytes) -> None:
        """Record one event: the tag of its alternative and the body of that.

        While the spool is full a log entry waits, without holding up anything else, or is dropped.
        Raises EventTooLargeError, RunEndedError, ForkedChildError; OSError when the disk fails.
        """
        if len(body) > MAX_BODY_BYTES:
            raise EventTooLargeError(_too_large(alternative, body))
        while True:
            try:
                with self._lock:
                    if self._refusal is not None:
                        raise self._refusal()
                    if self._busy:
                        self._deferred.append((alternative, body))
                        return
                    self._busy = True
                    try:
                        now = self._time_ns()
                        if not 0 <= now - self._captured_ns < _CAPTURE_INTERVAL_NS:
                            self._catch_up(now)
                        sequence = self._spool.next_sequence
                        self._spool.append(
                            (self._event(sequence, now, alternative, body),),
                            claim=_LOG_CLAIM if alternative == LOG else _RECORD_CLAIM,
                        )
                        self._recorded(sequence)
                    finally:
                        self._busy = False
                    if self._deferred:
                        self._record_deferred()
                    return
            except SpoolFullError:
                if self._is_dropped(1):
                    return
                self._wait_for_room(len(body))

    def record_many(self, alternative: bytes, bodies: Sequence[bytes]) -> None:
        """Record events of one kind, in one write as far as they are not too many. Waits and raises as `record` does.

        What is dropped for want of room is what would have been one write.
        """
        for body in bodies:
            if len(body) > MAX_BODY_BYTES:
                raise EventTooLargeError(_too_large(alternative, body))
        entries = [(alternative, body) for body in bodies]
        claim = _LOG_CLAIM if alternative == LOG else _RECORD_CLAIM
        done = 0
        while True:
            try:
                with self._lock:
                    if self._refusal is not None:
                        raise self._refusal()
                    if self._busy:
                        self._deferred += entries[done:]
                        return
                    self._busy = True
                    try:
                        now = self._time_ns()
                        if not 0 <= now - self._captured_ns < _CAPTURE_INTERVAL_NS:
                            self._catch_up(now)
                        while done < len(entries):
                            done = self._append(now, entries, done, claim)
                    finally:
                        self._busy = False
                    if self._deferred:
                        self._record_deferred()
                    return
            except SpoolFullError:
                end = _end_of_write(entries, done)
                if self._is_dropped(end - done):
                    done = end
                else:
                    self._wait_for_room(sum(len(body) + _AROUND_BYTES for _, body in entries[done:end]))

    def flush(self) -> None:
        """Flush to disk what was recorded."""
        with self._lock:
            if self._refusal is not None:
                raise self._refusal()
            self._spool.flush()

    def check(self) -> None:
        """Raise RunEndedError or ForkedChildError when nothing can be recorded."""
        if self._refusal is not None:
            raise self._refusal()

    def end(self) -> None:
        """Refuse everything from now on: the experiment's outermost frame has ended.

        A piece of captured output goes first; what is left of it, and of what was dropped, is for the runner to tell.
        """
        with self._lock:
            if self._refusal is None:
                if self._deferred:
                    self._record_deferred()
                self._catch_up(self._time_ns())
                self._refusal = _ended

    def _event(self, sequence: int, now: int, alternative: bytes, body: bytes) -> bytes:
        """Do what `wire.run_event` does. This is in the way of every call, so what seldom changes is kept.

        Nearly always a sequence has more than seven bits and the nanoseconds have more than 21. Then what stands
        between the lowest bits of the one and the other is the same for up to 128 events.
        """
        nanos = now - self._second_ns
        high = sequence >> 7
        if not 0x20_0000 <= nanos < _NANOSECONDS or high != self._high:
            seconds, nanos = divmod(now, _NANOSECONDS)
            if high == 0 or nanos < 0x20_0000:
                when = wire.timestamp(now)
                around = wire.sequence_field(sequence) + self._before_time + wire.varint(len(when)) + when
                return around + alternative + wire.varint(len(body)) + body
            self._keep(high, seconds)
        upper = nanos >> 21
        if upper != self._upper:
            # Changes every two milliseconds.
            self._upper = upper
            self._middle = self._middle_5 if upper >= 0x80 else self._middle_4
            self._last = wire.varint(upper)
        size = len(body)
        return b"".join(
            (
                _LOWS[sequence & 0x7F],
                self._middle,
                _MORE[nanos & 0x7F],
                _MORE[nanos >> 7 & 0x7F],
                _MORE[nanos >> 14 & 0x7F],
                self._last,
                alternative,
                _SINGLE[size] if size < 0x80 else _varint(size),
                body,
            )
        )

    def _keep(self, high: int, seconds: int) -> None:
        """Make what is the same in events of this second whose sequences differ in the lowest seven bits alone."""
        before = wire.varint(high) + self._before_time
        second = wire.tag(1, 0) + wire.varint(seconds) + wire.tag(2, 0)
        self._middle_4 = before + wire.varint(len(second) + 4) + second
        self._middle_5 = before + wire.varint(len(second) + 5) + second
        self._high, self._second_ns, self._upper = high, seconds * _NANOSECONDS, -1

    def _append(self, now: int, entries: Sequence[tuple[bytes, bytes]], start: int, claim: Claim) -> int:
        """Record what makes one write of the entries from `start` on; answer where the rest begins."""
        first, end = self._spool.next_sequence, _end_of_write(entries, start)
        events = [self._event(first + index, now, *entry) for index, entry in enumerate(entries[start:end])]
        self._spool.append(events, claim=claim)
        self._recorded(first + len(events) - 1)
        return end

    def _record_deferred(self) -> None:
        """Record what came from inside another call. It is little, and need not stop where log entries do."""
        self._busy = True
        try:
            while self._deferred:
                entries, self._deferred = self._deferred, []
                done = 0
                while done < len(entries):
                    done = self._append(self._time_ns(), entries, done, _RECORD_CLAIM)
        finally:
            self._busy = False

    def _is_dropped(self, count: int) -> bool:
        """Count log entries for which there is no room, if that is what is to be done with them."""
        if self._drop is None:
            return False
        with self._lock:
            self._dropped += count
            self._drop(self._dropped)
            self._captured_ns = 0  # the next call sees whether this can be told
        return True

    def _wait_for_room(self, size: int) -> None:
        """Wait until log entries of so many bytes may have room. The lock is free: results and others go on."""
        wait = _FIRST_WAIT_S
        while self._refusal is None and not self._spool.has_room(size + _AROUND_BYTES):
            self._sleep(wait)
            wait = min(wait * 2, _LAST_WAIT_S)

    def _catch_up(self, now: int) -> None:
        """Tell what was dropped, and turn a piece of captured output into events, if there is room: no call waits."""
        self._captured_ns = now
        if self._dropped:
            if not self._spool.has_room(_DROPPED_BYTES):
                self._captured_ns = 0
                return
            self._append(now, ((LOG, dropped.entry(self._dropped)),), 0, _RECORD_CLAIM)
            self._dropped = 0
            if self._drop is not None:
                self._drop(0)
        if self._capture is not None and self._spool.has_room(4 * CHUNK_BYTES):
            with contextlib.suppress(SpoolFullError):  # many short lines take more than that; they stay in their file
                self._capture.record(self._spool, self._attempt, now)
            self._recorded(self._spool.next_sequence - 1)

    def forked(self) -> None:
        """Refuse everything from now on: this is a copy in a forked child, where nobody may ever release the lock."""
        self._lock = threading.RLock()
        self._busy = False
        self._deferred.clear()
        self._refusal = _forked
        self._spool.close()


def _end_of_write(entries: Sequence[tuple[bytes, bytes]], start: int) -> int:
    """Where the entries end that are recorded in one write with that at `start`."""
    size, end = 0, start
    while end < len(entries) and size < _WRITE_BYTES:
        size += len(entries[end][1])
        end += 1
    return end


def _ended() -> RecordingError:
    return RunEndedError("the experiment has ended; nothing is recorded after its end")


def _forked() -> RecordingError:
    return ForkedChildError(
        f"process {os.getpid()} is a forked child of the run's process, and two processes cannot number one log. "
        "Hand the value to the parent (a queue, a pipe, what the worker returns) and record it there. "
        "What is printed here is kept."
    )


def _too_large(alternative: bytes, body: bytes) -> str:
    named = "a log entry"
    first = next((field.value for field in wire.read_fields(body) if isinstance(field.value, bytes)), b"")
    if alternative == RESULT:
        named = f"result {first.decode()!r}"
    elif alternative == LOG:
        named = f"log entry {first[:60].decode(errors='ignore')!r}"
    elif alternative == CHECKPOINT:
        named = "a checkpoint"
    return f"{named} is {len(body)} bytes; an event is at most {wire.MAX_EVENT_BYTES} bytes (1 MiB)"


_recorders: "weakref.WeakSet[Recorder]" = weakref.WeakSet()


def _forked_child() -> None:
    for recorder in list(_recorders):
        recorder.forked()


os.register_at_fork(after_in_child=_forked_child)
