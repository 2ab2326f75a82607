"""The page of memory that a run's process and its runner share: latest values, never a queue.

    offset  type  written by  meaning
         0  4 B   runner      magic, `ATHC`
         4  u32   runner      version, 1
         8  u8    runner      1 once cancellation was requested
         9  u8    both        1 while the runner sleeps and wants the doorbell rung; the process clears it
        16  u64   runner      bytes of spool records of this attempt that are acknowledged
        64  u32   process     counts the writes of the progress slot; odd while one is under way
        72  i64   process     progress: units done
        80  i64   process     progress: units in all, 0 when unknown
        88  u16   process     length of the message in bytes
        90  ...   process     progress: message, UTF-8, at most 1000 bytes

Numbers are in the machine's own order, which both sides share, and each is read and written as one aligned word, so
that none is ever seen half written.
"""

import mmap
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

FILE_NAME = "control"
SIZE = 4096
MAGIC = b"ATHC"
VERSION = 1

MAX_PROGRESS_MESSAGE_BYTES = 1000

_CANCELLED, _WAITING, _ACKNOWLEDGED = 8, 9, 16
_PROGRESS, _LENGTH, _MESSAGE = 64, 88, 90
_UNTORN_TRIES = 10


class ProgressSlot(NamedTuple):
    """What the progress slot holds. `version` differs whenever it was written in between."""

    version: int
    current: int
    total: int
    message: str


class ControlPage:
    """Both sides' view of the page of one attempt. Raises ValueError for a file that is not one."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            if os.fstat(descriptor).st_size < SIZE:
                raise ValueError(f"{path} is no control page")
            self._map = mmap.mmap(descriptor, SIZE)
        finally:
            os.close(descriptor)
        if self._map[:8] != MAGIC + struct.pack("=I", VERSION):
            self._map.close()
            raise ValueError(f"{path} is no control page of version {VERSION}")

        view = memoryview(self._map)
        self._acknowledged = view[_ACKNOWLEDGED : _ACKNOWLEDGED + 8].cast("Q")
        self._version = view[_PROGRESS : _PROGRESS + 4].cast("I")
        self._progress = view[_PROGRESS + 8 : _PROGRESS + 24].cast("q")
        self._length = view[_LENGTH : _LENGTH + 2].cast("H")
        self._views = (self._acknowledged, self._version, self._progress, self._length, view)

    @classmethod
    def create(cls, path: Path) -> "ControlPage":
        """Make the page of a new attempt: nothing requested, nothing acknowledged. For the runner."""
        path.write_bytes((MAGIC + struct.pack("=I", VERSION)).ljust(SIZE, b"\0"))
        return cls(path)

    def close(self) -> None:
        """Let go of the memory."""
        for view in self._views:
            view.release()
        self._map.close()

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
        return self._map[_WAITING] != 0

    @waiting.setter
    def waiting(self, value: bool) -> None:
        self._map[_WAITING] = value

    def ring_if_waited_for(self, ring: Callable[[], None]) -> None:
        """Call `ring` when the runner waits. The flag is cleared first, so that a new wait is answered, too."""
        if self._map[_WAITING]:
            self._map[_WAITING] = 0
            ring()

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
