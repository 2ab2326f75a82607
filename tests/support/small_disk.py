"""A disk of two megabytes, real enough to be full: a file system of its own under a runner's state folder.

Root mounts it. Who is not root starts the runner in a namespace of its own in which it is, and sees what is in there by
way of /proc. A machine that allows neither cannot run these tests, and they fail there and say so.
"""

import os
import subprocess
from pathlib import Path

_MOUNT = 'mount -t tmpfs -o size={size} none "{path}"'


class SmallDisk:
    """A disk at a path. `prefix` goes before the command of the one process that is to use it."""

    def __init__(self, path: Path, size: int, *, in_namespace: bool = False) -> None:
        self._path = path
        self._mounted = False
        self._pid = 0
        self.prefix: tuple[str, ...] = ()
        path.mkdir()
        mount = _MOUNT.format(size=size, path=path)
        if not in_namespace and subprocess.run(["sh", "-c", mount], capture_output=True).returncode == 0:
            self._mounted = True
            return
        self.prefix = ("unshare", "-Urm", "sh", "-c", f'{mount} && exec "$@"', "sh")
        tried = subprocess.run([*self.prefix, "true"], capture_output=True, text=True)
        assert tried.returncode == 0, f"neither mount nor a user namespace is allowed here: {tried.stderr}"

    def used_by(self, pid: int) -> None:
        """Tells which process was started with the prefix."""
        self._pid = pid

    @property
    def path(self) -> Path:
        """Where it is for this process."""
        return self._path if self._mounted else Path(f"/proc/{self._pid}/root{self._path}")

    @property
    def free(self) -> int:
        """Bytes that are free."""
        state = os.statvfs(self.path)
        return state.f_bavail * state.f_frsize

    def fill(self, leave: int = 0) -> None:
        """Takes all room but some bytes."""
        descriptor = os.open(self.path / "ballast", os.O_WRONLY | os.O_CREAT)
        try:
            size = os.fstat(descriptor).st_size
            if self.free > leave:
                os.posix_fallocate(descriptor, size, self.free - leave)
        finally:
            os.close(descriptor)

    def give_back(self) -> None:
        """Makes it as empty as it was before `fill`."""
        (self.path / "ballast").unlink()

    def close(self) -> None:
        """Takes it away."""
        if self._mounted:
            subprocess.run(["umount", "-l", str(self._path)], check=True)
