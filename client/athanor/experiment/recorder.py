"""Recording: the one place where events get their numbers in the run's process.

One lock, held for the numbering and the write. Code that interrupts a call in the same thread and records itself, as a
signal handler or a finalizer may, does not wait for a lock that it holds: its event is put behind the one under way.
"""

import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Protocol

from athanor.experiment import wire
from athanor.experiment.capture import CHUNK_BYTES, OutputCapture
from athanor.experiment.errors import EventTooLargeError, ForkedChildError, RecordingError, RunEndedError
from athanor.experiment.spool import Position

# What an event has around the body of its alternative is smaller than this, in bytes.
_AROUND_BYTES = 64
MAX_BODY_BYTES = wire.MAX_EVENT_BYTES - _AROUND_BYTES
# Many events are written in pieces of about this many bytes.
_WRITE_BYTES = 1 << 20
# Captured output is looked at in calls of the context, at most this often.
_CAPTURE_INTERVAL_NS = 100_000_000

LOG = wire.tag(wire.LOG)
RESULT = wire.tag(wire.RESULT)
CHECKPOINT = wire.tag(wire.CHECKPOINT)
ATTEMPT_STARTED = wire.tag(wire.ATTEMPT_STARTED)

_NANOSECONDS = 1_000_000_000
_BYTES = tuple(bytes((value,)) for value in range(0x100))
_varint = wire.varint


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

    def append(self, events: Sequence[bytes]) -> None:
        """Record events."""
        ...

    def append_output(
        self, events: Sequence[bytes], offsets: Sequence[tuple[int, int]], *, reserve: bool = False
    ) -> None:
        """Record events of captured output."""
        ...

    def has_room(self, size: int) -> bool:
        """Whether so many bytes could be appended without waiting."""
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
        time_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Args: what to record into, the attempt's number, what to tell the last sequence after each write, a clock."""
        self._spool = spool
        self._recorded = recorded
        self._capture: OutputCapture | None = None
        self._time_ns = time_ns
        self._attempt = attempt
        self._before_time = wire.tag(2, 0) + wire.varint(attempt) + wire.tag(3)
        self._lock = threading.RLock()
        self._busy = False
        self._deferred: list[tuple[bytes, bytes]] = []
        self._refusal: Callable[[], RecordingError] | None = None
        self._captured_ns = 0
        self._second = -1  # what the two below are made for
        self._high: int = -1
        self._middle_4 = b""
        self._middle_5 = b""
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
                self._record_output(self._time_ns())
            finally:
                self._busy = False

    def record(self, alternative: bytes, body: bytes) -> None:
        """Record one event: the tag of its alternative and the body of that.

        Raises EventTooLargeError, RunEndedError, ForkedChildError; OSError when the disk fails.
        """
        if len(body) > MAX_BODY_BYTES:
            raise EventTooLargeError(_too_large(alternative, body))
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
                    self._record_output(now)
                sequence = self._spool.next_sequence
                self._spool.append((self._event(sequence, now, alternative, body),))
                self._recorded(sequence)
            finally:
                self._busy = False
            if self._deferred:
                self._record_deferred()

    def record_many(self, alternative: bytes, bodies: Sequence[bytes]) -> None:
        """Record events of one kind, in one write as far as they are not too many. Raises as `record` does."""
        for body in bodies:
            if len(body) > MAX_BODY_BYTES:
                raise EventTooLargeError(_too_large(alternative, body))
        with self._lock:
            if self._refusal is not None:
                raise self._refusal()
            if self._busy:
                self._deferred += [(alternative, body) for body in bodies]
                return
            self._busy = True
            try:
                now = self._time_ns()
                if not 0 <= now - self._captured_ns < _CAPTURE_INTERVAL_NS:
                    self._record_output(now)
                self._append(now, [(alternative, body) for body in bodies])
            finally:
                self._busy = False
            if self._deferred:
                self._record_deferred()

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

        A piece of captured output goes first; what is left of it is for the runner.
        """
        with self._lock:
            if self._refusal is None:
                if self._deferred:
                    self._record_deferred()
                self._record_output(self._time_ns())
                self._refusal = _ended

    def _event(self, sequence: int, now: int, alternative: bytes, body: bytes) -> bytes:
        """Do what `wire.run_event` does. This is in the way of every call, so what seldom changes is kept.

        Nearly always a sequence has more than seven bits and the nanoseconds have more than 21. Then what stands
        between the lowest bits of the one and the other is the same for up to 128 events.
        """
        seconds, nanos = divmod(now, _NANOSECONDS)
        high = sequence >> 7
        if high == 0 or nanos < 0x20_0000:
            when = wire.timestamp(now)
            around = wire.sequence_field(sequence) + self._before_time + wire.varint(len(when)) + when
            return around + alternative + wire.varint(len(body)) + body
        if seconds != self._second or high != self._high:
            self._second, self._high = seconds, high
            before = wire.varint(high) + self._before_time
            second = wire.tag(1, 0) + wire.varint(seconds) + wire.tag(2, 0)
            self._middle_4 = before + wire.varint(len(second) + 4) + second
            self._middle_5 = before + wire.varint(len(second) + 5) + second
        if nanos >= 0x1000_0000:
            middle = self._middle_5
            last = bytes(
                (
                    nanos & 0x7F | 0x80,
                    nanos >> 7 & 0x7F | 0x80,
                    nanos >> 14 & 0x7F | 0x80,
                    nanos >> 21 & 0x7F | 0x80,
                    nanos >> 28,
                )
            )
        else:
            middle = self._middle_4
            last = bytes((nanos & 0x7F | 0x80, nanos >> 7 & 0x7F | 0x80, nanos >> 14 & 0x7F | 0x80, nanos >> 21))
        size = len(body)
        length = _BYTES[size] if size < 0x80 else _varint(size)
        return b"".join((b"\x08", _BYTES[sequence & 0x7F | 0x80], middle, last, alternative, length, body))

    def _append(self, now: int, entries: Sequence[tuple[bytes, bytes]]) -> None:
        events: list[bytes] = []
        size = 0
        sequence = self._spool.next_sequence
        for alternative, body in entries:
            events.append(self._event(sequence, now, alternative, body))
            size += len(body)
            sequence += 1
            if size >= _WRITE_BYTES:
                self._spool.append(events)
                events, size = [], 0
        if events:
            self._spool.append(events)
        self._recorded(sequence - 1)

    def _record_deferred(self) -> None:
        self._busy = True
        try:
            while self._deferred:
                entries, self._deferred = self._deferred, []
                self._append(self._time_ns(), entries)
        finally:
            self._busy = False

    def _record_output(self, now: int) -> None:
        """Turn a piece of captured output into events, if there is room: no call waits for that."""
        self._captured_ns = now
        if self._capture is not None and self._spool.has_room(4 * CHUNK_BYTES):
            self._capture.record(self._spool, self._attempt, now)
            self._recorded(self._spool.next_sequence - 1)

    def forked(self) -> None:
        """Refuse everything from now on: this is a copy in a forked child, where nobody may ever release the lock."""
        self._lock = threading.RLock()
        self._busy = False
        self._deferred.clear()
        self._refusal = _forked
        self._spool.close()


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
