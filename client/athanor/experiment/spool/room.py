"""Room: what an append may claim of it, and what is kept on the disk for the end of an attempt."""

import errno
import os
from enum import Enum, auto
from pathlib import Path

from athanor.experiment.spool.segment import SpoolError

RESERVE_NAME = "reserve"
RESERVE_BYTES = 256 << 10
# The least that lies between the limit of log entries and that of everything else, in bytes.
MARGIN_BYTES = 2 << 20

# What a write says when the disk is full.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


class SpoolFullError(SpoolError):
    """The spool has no room for a log entry. Nothing was recorded."""


class Claim(Enum):
    """What an append may claim of the room there is."""

    LOG = auto()  # up to the limit; SpoolFullError beyond it
    RECORD = auto()  # a margin more, so that log entries cannot starve it; it waits beyond that
    END = auto()  # whatever it takes, on a full disk the reserve, too


def hard_limit(limit_bytes: int) -> int:
    """How many bytes may be unacknowledged when log entries may be `limit_bytes`."""
    return limit_bytes + max(limit_bytes // 8, MARGIN_BYTES)


def keep_reserve(folder: Path) -> None:
    """Set room aside on the disk of a spool. Raises OSError when there is none."""
    descriptor = os.open(folder / RESERVE_NAME, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
    finally:
        os.close(descriptor)


def free_reserve(folder: Path) -> bool:
    """Give back the room that was set aside. Answers whether there was any."""
    try:
        (folder / RESERVE_NAME).unlink()
    except FileNotFoundError:
        return False
    return True
