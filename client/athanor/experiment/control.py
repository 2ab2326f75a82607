"""The page of memory that a run's process and its runner share: latest values, never a queue.

    offset  type  written by  meaning
         0  4 B   runner      magic, `ATHC`
         4  u32   runner      version, 1
         8  u8    runner      1 once cancellation was requested
         9  u8    both        1 while the runner sleeps and wants the doorbell rung; the process clears it
        16  u64   runner      bytes of spool records of this attempt that are acknowledged
        24  u64   process     sequence of the last event that it recorded; 0 when it recorded none
        32  u64   process     log entries dropped because the spool was full, and not recorded as dropped yet
        64  u32   process     counts the writes of the progress slot; odd while one is under way
        72  i64   process     progress: units done
        80  i64   process     progress: units in all, 0 when unknown
        88  u16   process     length of the message in bytes
        90  ...   process     progress: message, UTF-8, at most 1000 bytes
      1152  64 B  runner      boot of the machine in which the page was made, text; zeros behind it

Numbers are in the machine's own order, which both sides share, and each is read and written as one aligned word, so
that none is ever seen half written. What is not named is zero: a new slot there needs no new version, because 0 in it
says nothing.

The page is never flushed. What the process says in it outlives every kill, and counts only in the boot of the machine
in which the page was made: what a power cut leaves of it is as old as it pleases.
"""

import mmap
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from athanor.experiment.files import NewerFormatError

FILE_NAME = "control"
SIZE = 4096
MAGIC = b"ATHC"
VERSION = 1

MAX_PROGRESS_MESSAGE_BYTES = 1000

_CANCELLED, _WAITING, _ACKNOWLEDGED, _RECORDED, _DROPPED = 8, 9, 16, 24, 32
_PROGRESS, _LENGTH, _MESSAGE = 64, 88, 90
_BOOT, _BOOT_BYTES = 1152, 64
_HEAD = struct.Struct("=4sI")
_UNTORN_TRIES = 10


class ProgressSlot(NamedTuple):
    """What the progress slot holds. `version` differs whenever it was written in between."""

    version: int
    current: int
    total: int
    message: str


class ControlPage:
    """Both sides' view of the page of one attempt.

    Raises ValueError for a file that is not one, and NewerFormatError, which is one, for a later version's.
    """

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            if os.fstat(descriptor).st_size < SIZE:
                raise ValueError(f"{path} is no control page")
            self._map = mmap.mmap(descriptor, SIZE)
        finally:
            os.close(descriptor)
        magic, version = _HEAD.unpack(self._map[: _HEAD.size])
        if magic != MAGIC or version != VERSION:
            self._map.close()
            if magic == MAGIC and version > VERSION:
                raise NewerFormatError(str(path), version, VERSION)
            raise ValueError(f"{path} is no control page of version {VERSION}")

        view = memoryview(self._map)
        self._waiting = view[_WAITING : _WAITING + 1]
        self._acknowledged = view[_ACKNOWLEDGED : _ACKNOWLEDGED + 8].cast("Q")
        self._recorded = view[_RECORDED : _RECORDED + 8].cast("Q")
        self._dropped = view[_DROPPED : _DROPPED + 8].cast("Q")
        self._version = view[_PROGRESS : _PROGRESS + 4].cast("I")
        self._progress = view[_PROGRESS + 8 : _PROGRESS + 24].cast("q")
        self._length = view[_LENGTH : _LENGTH + 2].cast("H")
        self._views = (
            *(self._waiting, self._acknowledged, self._recorded, self._dropped),
            *(self._version, self._progress, self._length, view),
        )

    @classmethod
    def create(cls, path: Path, boot: str = "") -> "ControlPage":
        """Make the page of a new attempt, in this boot of the machine: nothing requested, nothing said.

        For the runner.
        """
        content = bytearray(SIZE)
        _HEAD.pack_into(content, 0, MAGIC, VERSION)
        name = boot.encode()[:_BOOT_BYTES]
        content[_BOOT : _BOOT + len(name)] = name
        path.write_bytes(content)
        return cls(path)

    def close(self) -> None:
        """Let go of the memory."""
        for view in self._views:
            view.release()
        self._map.close()

    @property
    def boot_id(self) -> str:
        """The boot of the machine in which the page was made; empty when that is not known."""
        return self._map[_BOOT : _BOOT + _BOOT_BYTES].rstrip(b"\0").decode(errors="replace")

    @property
    def cancelled(self) -> bool:
        """Whether cancellation was requested."""
        return self._map[_CANCELLED] != 0

    def set_cancelled(self) -> None:
        """Request cancellation. For the runner, which writes `cancel.json` before."""
        self._map[_CANCELLED] = 1

    @property
    def waiting(self) -> bool:
        """Whether the runner wants the doorbell rung at the next record."""
        return self._waiting[0] != 0

    @waiting.setter
    def waiting(self, value: bool) -> None:
        self._waiting[0] = value

    def recorded(self, ring: Callable[[], None]) -> Callable[[int], None]:
        """Return what notes that everything up to a sequence is recorded, and calls `ring` when the runner waits.

        For the process, after each write. The runner's flag is cleared first, so that a new wait is answered, too.
        """
        recorded, waiting = self._recorded, self._waiting

        def note(sequence: int) -> None:
            recorded[0] = sequence
            if waiting[0]:
                waiting[0] = 0
                ring()

        return note

    @property
    def recorded_sequence(self) -> int:
        """Sequence of the last event that the process recorded; 0 when it recorded none."""
        return self._recorded[0]

    @property
    def dropped_entries(self) -> int:
        """How many log entries were dropped because the spool was full, as far as the log does not say so yet."""
        return self._dropped[0]

    @dropped_entries.setter
    def dropped_entries(self, value: int) -> None:
        self._dropped[0] = value

    @property
    def acknowledged_bytes(self) -> int:
        """Bytes of spool records of this attempt, headers included, that are acknowledged."""
        return self._acknowledged[0]

    @acknowledged_bytes.setter
    def acknowledged_bytes(self, value: int) -> None:
        self._acknowledged[0] = value

    def write_progress(self, current: int, total: int, message: bytes) -> None:
        """Replace the progress. `message` is UTF-8 of at most MAX_PROGRESS_MESSAGE_BYTES. One writer at a time."""
        version = self._version[0] | 1  # odd already when an earlier write was broken off
        self._version[0] = version
        self._progress[0] = current
        self._progress[1] = total
        self._length[0] = len(message)
        self._map[_MESSAGE : _MESSAGE + len(message)] = message
        self._version[0] = (version + 1) & 0xFFFF_FFFF

    def read_progress(self) -> ProgressSlot | None:
        """Read the latest progress; None when there is none, or when it cannot be had whole just now."""
        for _ in range(_UNTORN_TRIES):
            version = self._version[0]
            if version == 0:
                return None
            if version & 1:
                continue
            current, total = self._progress[0], self._progress[1]
            message = self._map[_MESSAGE : _MESSAGE + min(self._length[0], MAX_PROGRESS_MESSAGE_BYTES)]
            if self._version[0] == version:
                return ProgressSlot(version, current, total, message.decode(errors="replace"))
        return None
