"""What the runner does with a spool beside reading it: look at it, keep it flushed, let acknowledged segments go."""

import os
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from athanor.experiment.spool import segment
from athanor.experiment.spool.segment import Position


class SpoolScan(NamedTuple):
    """What a spool holds, as found."""

    first_sequence: int  # of the first event still in it; 0 when there is none
    last_sequence: int  # of its last whole event; 0 when there is none
    end: Position | None  # its end; None when it has no whole segment


def scan(folder: Path) -> SpoolScan:
    """Look at a spool without changing it. It takes no lock: while it is written, what is found may be old."""
    heads = segment.read_chain(folder).heads
    if not heads:
        return SpoolScan(0, 0, None)
    end, _ = segment.read_end(folder, heads[-1])
    first = heads[0].last_sequence + 1
    return SpoolScan(first, end.last_sequence, end) if end.last_sequence >= first else SpoolScan(0, 0, end)


def remove_acknowledged(folder: Path, committed_sequence: int) -> int:
    """Delete the segments all of whose events are acknowledged, but never the newest; answer how many were deleted."""
    removed = 0
    for first, following in pairwise(segment.first_sequences(folder)):
        if following - 1 > committed_sequence or segment.read_head(folder, following) is None:
            break
        segment.path_of(folder, first).unlink(missing_ok=True)
        removed += 1
    return removed


class SpoolFlusher:
    """Flushes a spool that another process writes.

    The newest segment is enough: a segment is begun when those before it are on the disk.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = -1
        self._first = 0
        self._flushed_bytes = 0

    def flush(self) -> bool:
        """Flush what was written since the last call. Answers whether there was anything."""
        firsts = segment.first_sequences(self._folder)
        if not firsts:
            return False
        if firsts[-1] != self._first:
            self.close()
            self._file = os.open(segment.path_of(self._folder, firsts[-1]), os.O_RDONLY | os.O_CLOEXEC)
            self._first, self._flushed_bytes = firsts[-1], 0
        size = os.fstat(self._file).st_size
        if size == self._flushed_bytes:
            return False
        os.fdatasync(self._file)
        self._flushed_bytes = size
        return True

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1
