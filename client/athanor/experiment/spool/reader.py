"""Reading the spool: whole events from the current position on, while it is written and afterwards."""

import os
import sys
from collections import deque
from dataclasses import replace
from pathlib import Path

from athanor.experiment import wire
from athanor.experiment.spool import segment
from athanor.experiment.spool.segment import Position, SpoolDamagedError, SpoolError

# No record that is longer can be whole, in bytes; a damaged length is not to be read after.
_MAX_RECORD_BYTES = 2 * wire.MAX_EVENT_BYTES


class SpoolReader:
    """Reads one attempt's spool across its segments. Not for several threads at once.

    It begins at the first event that is there. What is torn or damaged is never returned. In the newest segment it may
    become whole; in one that has been closed it is damage.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = -1
        self._first = 0  # sequence that the current segment begins with
        self._offset = 0  # in the current segment
        self._position = Position(last_sequence=0)
        self._at_end = True
        # Where reads ended, oldest first, to say how many bytes an acknowledgement frees.
        self._boundaries: deque[tuple[int, int]] = deque()

    @property
    def position(self) -> Position:
        """How far it has read. The digest is not known: nobody who reads needs it, and it costs as much as all else."""
        return self._position

    @property
    def last_sequence(self) -> int:
        """Sequence of the last event that was read; before the first one, one less than that."""
        return self._position.last_sequence

    @property
    def at_end(self) -> bool:
        """Whether the last read went as far as the spool did, when it looked. What came since then is not known."""
        return self._at_end

    def read(self, max_bytes: int) -> list[bytes]:
        """Read consecutive events of at most `max_bytes` together, or a single larger one; none at the end.

        Raises SpoolDamagedError when the next event cannot be read and will not become whole.
        """
        events: list[bytes] = []
        room = max_bytes
        closed = False
        if self._file < 0 and not self._enter_first():
            return events
        while room > 0:
            data = self._pread(room, alone=not events)
            found, size, _, _ = self._take(data, most_bytes=room)
            self._at_end = len(data) < room
            events += found
            room -= size - len(found) * segment.RECORD_HEAD_BYTES
            if found or self._enter_next():
                closed = False
            elif closed:
                raise SpoolDamagedError(f"the spool is damaged behind event {self._position.last_sequence}")
            elif events or not self._is_closed():
                break
            else:
                closed = True  # once more: all that was ever written to it is there now
        if events:
            self._boundaries.append((self._position.last_sequence, self._position.record_bytes))
        return events

    def rewind(self, next_sequence: int) -> None:
        """Go to where `next_sequence` is the next event to be read, backwards or forwards.

        Raises SpoolError when that is below the first event still in the spool, or above its end plus one.
        """
        if self._file >= 0 and next_sequence == self._position.last_sequence + 1:
            return
        for head in reversed(segment.read_chain(self._folder).heads):
            if head.last_sequence < next_sequence:
                break
        else:
            raise SpoolError(f"event {next_sequence} is no longer in the spool")
        self._enter(head)
        while self._position.last_sequence + 1 < next_sequence:
            missing = next_sequence - self._position.last_sequence - 1
            data = self._pread(1 << 20, alone=True)
            if not self._take(data, most_bytes=1 << 20, most_events=missing).events:
                raise SpoolError(
                    f"event {next_sequence} is not in the spool; it ends at {self._position.last_sequence}"
                )
        while self._boundaries and self._boundaries[-1][0] > self._position.last_sequence:
            self._boundaries.pop()
        self._boundaries.append((self._position.last_sequence, self._position.record_bytes))

    def record_bytes(self, sequence: int) -> int:
        """Count the bytes of records up to `sequence`, for `ControlPage.acknowledged_bytes`.

        Counted in whole reads, so never too much. Ask for rising sequences.
        """
        while len(self._boundaries) > 1 and self._boundaries[1][0] <= sequence:
            self._boundaries.popleft()
        return self._boundaries[0][1] if self._boundaries and self._boundaries[0][0] <= sequence else 0

    def tail(self) -> Position:
        """Where the spool ends now. This reads the whole newest segment."""
        newest = segment.read_chain(self._folder).newest
        return self._position if newest is None else segment.read_end(self._folder, newest)[0]

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def _enter_first(self) -> bool:
        for first in segment.first_sequences(self._folder):
            head = segment.read_head(self._folder, first)
            if head is not None:
                self._enter(head)
                self._boundaries.append((head.last_sequence, head.record_bytes))
                return True
        return False

    def _enter_next(self) -> bool:
        """Go to the segment that follows, if the current one has been closed and read to its end."""
        here = self._position
        if not os.path.exists(segment.path_of(self._folder, here.last_sequence + 1)):  # nearly always
            return False
        head = segment.read_head(self._folder, here.last_sequence + 1)
        if head is None or head.record_bytes != here.record_bytes or self._offset == segment.HEAD_BYTES:
            return False
        self._enter(head)
        return True

    def _is_closed(self) -> bool:
        """Whether a segment was begun behind the current one."""
        return any(
            first > self._first and segment.read_head(self._folder, first) is not None
            for first in segment.first_sequences(self._folder)
        )

    def _enter(self, head: Position) -> None:
        file = os.open(segment.path_of(self._folder, head.last_sequence + 1), os.O_RDONLY | os.O_CLOEXEC)
        self.close()
        self._file = file
        self._first = head.last_sequence + 1
        self._offset = segment.HEAD_BYTES
        self._position = replace(head, chain=segment.NO_DIGEST)

    def _pread(self, room: int, *, alone: bool) -> bytes:
        data = os.pread(self._file, room + segment.RECORD_HEAD_BYTES, self._offset)
        if alone and len(data) >= segment.RECORD_HEAD_BYTES:
            size = segment.RECORD_HEAD_BYTES + segment.RECORD_HEAD.unpack_from(data)[0]
            if len(data) < size <= _MAX_RECORD_BYTES:
                data = os.pread(self._file, size, self._offset)
        return data

    def _take(self, data: bytes, *, most_bytes: int, most_events: int = sys.maxsize) -> segment.Records:
        """Take whole events off the front of `data` and move behind them."""
        here = self._position
        records = segment.unpack_records(data, here.last_sequence, most_events=most_events, most_bytes=most_bytes)
        if records.events:
            self._offset += records.size
            self._position = segment.after(here, records, digest=False)
        return records
