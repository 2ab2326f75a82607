"""The disks of a world: real files in memory, with a record of what has been flushed, and what a power cut leaves.

Flushing is what `os.fsync` and `os.fdatasync` are called for. A power cut keeps what was flushed. Of the rest it takes
what chance says: a file's tail is gone, or is zeros; a file or folder whose name was never flushed is not there.
"""

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.simulation.decisions import Decisions
from tests.simulation.loop import Process

T = TypeVar("T")


class Platter:
    """What of all files of a world is safe from a power cut."""

    def __init__(self) -> None:
        self.flushed: dict[int, int] = {}  # by inode, the length that was flushed
        self.named: dict[int, set[str]] = {}  # by inode of a folder, the names that were flushed

    def flush(self, descriptor: int) -> None:
        """What `os.fsync` does."""
        status = os.fstat(descriptor)
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if path.is_dir():
            self.named[status.st_ino] = set(os.listdir(path))
        else:
            self.flushed[status.st_ino] = status.st_size

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Meanwhile flushing is recorded here, and does nothing else."""
        fsync, fdatasync = os.fsync, os.fdatasync
        os.fsync = os.fdatasync = self.flush  # type: ignore[assignment]
        try:
            yield
        finally:
            os.fsync, os.fdatasync = fsync, fdatasync

    def power_cut(self, folder: Path, name: str, decisions: Decisions) -> None:
        """Take from a folder what a power cut takes."""
        known = self.named.get(folder.stat().st_ino, set())
        for entry in sorted(folder.iterdir()):
            if entry.name not in known and decisions.pick(f"power takes name {name}", 2) == 0:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            elif entry.is_dir():
                self.power_cut(entry, name, decisions)
            else:
                self._cut_tail(entry, name, decisions)

    def _cut_tail(self, path: Path, name: str, decisions: Decisions) -> None:
        status = path.stat()
        flushed = self.flushed.get(status.st_ino, 0)
        if flushed >= status.st_size:
            return
        match decisions.pick(f"power cuts tail {name}", 4):
            case 0:
                os.truncate(path, flushed)
            case 1:  # the length was written, the content was not
                os.truncate(path, flushed)
                os.truncate(path, status.st_size)
            case 2:
                os.truncate(path, flushed + decisions.pick(f"power keeps bytes {name}", status.st_size - flushed))
            case _:
                pass  # all of it had been written by itself


class Disk:
    """Implements `athanor_runner.ports.Disk`: work takes its time, and the runner can die before it and behind it."""

    def __init__(self, decisions: Decisions, process: Process, faults: Callable[[], bool]) -> None:
        self._decisions = decisions
        self._process = process
        self._faults = faults
        self.on_answer: Callable[[object], None] = lambda answer: None

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        name = self._process.name
        try:
            await asyncio.sleep(self._delay(f"disk begin {name}"))
        except asyncio.CancelledError:
            await self._carry_out(work, arguments)  # it had been begun, and is finished
            raise
        answer = await self._carry_out(work, arguments)
        await asyncio.sleep(self._delay(f"disk answer {name}"))
        return answer

    async def _carry_out(self, work: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        await self._may_die("before")
        answer = work(*arguments)
        self.on_answer(answer)
        await self._may_die("behind")
        return answer

    async def _may_die(self, when: str) -> None:
        name = self._process.name
        if self._faults() and self._decisions.happens(f"crash {when} disk {name}", 0.0005):
            self._process.kill()
            await asyncio.get_running_loop().create_future()  # nobody is left who would go on

    def _delay(self, name: str) -> float:
        return self._decisions.delay(name, 0.0005, 0.2) if self._faults() else 0.0005
