"""A disk of two megabytes, real enough to be full: a file system of its own under a runner's state folder.

Root mounts it. Who is not root has it in a namespace in which it is, starts runners in there, and sees what is on it by
way of /proc. A machine that allows neither cannot run these tests, and they fail there and say so.
"""

import os
import subprocess
from pathlib import Path

_MOUNT = 'mount -t tmpfs -o size={size} none "{path}"'


class SmallDisk:
    """A disk at a path. `prefix` goes before the command of whatever is to use it."""

    def __init__(self, path: Path, size: int, *, in_namespace: bool = False) -> None:
        self._path = path
        self._holder: subprocess.Popen[str] | None = None
        self.prefix: tuple[str, ...] = ()
        path.mkdir()
        mount = _MOUNT.format(size=size, path=path)
        if not in_namespace and subprocess.run(["sh", "-c", mount], capture_output=True).returncode == 0:
            return
        self._holder = subprocess.Popen(
            ["unshare", "-Urm", "sh", "-c", f"{mount} && echo mounted && exec sleep infinity"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        said = self._holder.stdout.readline()
        assert said == "mounted\n", (
            "neither mount nor a user namespace is allowed here, and a disk has to be full for real"
        )
        self.prefix = ("nsenter", "-t", str(self._holder.pid), "-U", "-m", "--preserve-credentials")

    @property
    def path(self) -> Path:
        """Where it is for this process."""
        return self._path if self._holder is None else Path(f"/proc/{self._holder.pid}/root{self._path}")

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
        if self._holder is None:
            subprocess.run(["umount", "-l", str(self._path)], check=True)
        else:
            self._holder.kill()
            self._holder.communicate()
