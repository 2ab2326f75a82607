"""The file that an export writes to until it is whole."""

import errno
import fcntl
import os
import stat
from contextlib import closing
from pathlib import Path
from typing import IO


class Partial:
    """A file beside the one that it becomes. It is locked for as long as this is open: another export would empty it.

    Where a file system has no locks it goes without. What only some may read stays so: it has the permissions of the
    file that it replaces, and its owner may write as long as it is under way.
    """

    def __init__(self, path: Path, target: Path, asked: str) -> None:
        """Open `path`, which is to become `target`; what is in it stays until somebody writes.

        Raises BlockingIOError, which names the file as `asked` for, when another export to it is under way.
        """
        self.path = path
        self._target = target
        self._locked = _locked(path, asked)
        try:
            self._permit(stat.S_IWUSR)
        except BaseException:
            self._locked.close()
            raise

    def writable(self) -> IO[bytes]:
        """Return the file to write to, to be closed by the caller; the lock stays."""
        return open(os.dup(self._locked.fileno()), "wb")

    def complete(self) -> None:
        """Give it the name of the file that it becomes. What was written to it is closed by now."""
        with closing(self._locked):
            self._permit()
            os.fsync(self._locked.fileno())  # a power cut must not leave an empty file under the name of a whole one
            os.replace(self.path, self._target)

    def leave(self) -> None:
        """Let it be under its own name; it goes when it is empty."""
        with closing(self._locked):
            if not os.fstat(self._locked.fileno()).st_size:
                self.path.unlink(missing_ok=True)

    def _permit(self, further: int = 0) -> None:
        try:
            mode = stat.S_IMODE(self._target.stat().st_mode) | further
        except FileNotFoundError:
            return
        if stat.S_IMODE(os.fstat(self._locked.fileno()).st_mode) != mode:
            os.fchmod(self._locked.fileno(), mode)


def _locked(path: Path, asked: str) -> IO[bytes]:
    while True:
        file = open(path, "wb", buffering=0, opener=_keeping)  # noqa: SIM115 - its owner closes it
        try:
            _lock(file, asked)
            if _is_at(file, path):
                return file
        except BaseException:
            file.close()
            raise
        file.close()  # an export that ended meanwhile has renamed it, or removed it


def _lock(file: IO[bytes], asked: str) -> None:
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BlockingIOError(errno.EWOULDBLOCK, "another export to it is under way", asked) from None
    except OSError:
        pass  # a file system without locks


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _keeping(path: str, flags: int) -> int:
    """Open a file as it is; it is emptied when there is something to write."""
    return os.open(path, flags & ~os.O_TRUNC, 0o666)
