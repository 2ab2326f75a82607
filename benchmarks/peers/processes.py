"""Processes of peers: started, listened to, weighed, ended by their ids."""

import json
import os
import queue
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

MARKER = "ATHANOR_PEERS"  # in the environment of every process of one server


@dataclass(frozen=True)
class Process:
    """A process that cannot be mistaken for a later one of the same id."""

    pid: int
    start_time: str  # field 22 of /proc/PID/stat

    @classmethod
    def of(cls, pid: int) -> "Process | None":
        """None when there is none, or nothing left of it but its exit status."""
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else cls(pid, fields[19])

    @property
    def alive(self) -> bool:
        return Process.of(self.pid) == self

    @property
    def command(self) -> str:
        """Its command line; empty when it is gone."""
        try:
            return Path(f"/proc/{self.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""

    def kill(self) -> None:
        """SIGKILL, if it is still that process."""
        if self.alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


def tree(roots: Iterable[int], marker: str = "") -> list[Process]:
    """The roots and all their descendants, and every process with the marker in its environment.

    The marker finds what has left the tree; the tree finds what has overwritten its environment to give itself a title.
    """
    children: dict[int, list[int]] = {}
    found: set[int] = set(roots)
    wanted = f"{MARKER}={marker}".encode()
    for path in Path("/proc").iterdir():
        if not path.name.isdigit():
            continue
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            marked = marker and wanted in (path / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        children.setdefault(parent, []).append(int(path.name))
        if marked:
            found.add(int(path.name))
    waiting = list(found)
    while waiting:
        for child in children.get(waiting.pop(), []):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return [process for pid in sorted(found) if (process := Process.of(pid)) is not None]


def proportional_set_size(processes: Iterable[Process]) -> float:
    """Together, in MB: pages that are shared count once."""
    total = 0
    for process in processes:
        with suppress(OSError):
            total += pss_of(Path(f"/proc/{process.pid}/smaps_rollup").read_text())
    return total / 1e6


def pss_of(rollup: str) -> int:
    """Bytes, from the text of a smaps_rollup. ValueError when it says nothing of it."""
    for line in rollup.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise ValueError("no line Pss:")


def free_port() -> int:
    """A port of this machine that nobody has at the moment."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def wait_for_url(url: str, process: subprocess.Popen[bytes], seconds: float = 90) -> None:
    """Return once it answers. RuntimeError when the process ends or the time is over."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with suppress(OSError):
            opener.open(url, timeout=2).close()
            return
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        time.sleep(0.1)
    raise RuntimeError(f"{url} did not answer within {seconds} s")


class Program:
    """A program of `work/` in a peer's environment, and what it says."""

    def __init__(self, command: Sequence[str | Path], *, env: Mapping[str, str], folder: Path, log: Path) -> None:
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._log = log
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=dict(env), cwd=folder
            )
        threading.Thread(target=self._read, name="reader of a program", daemon=True).start()

    def hear(self, key: str, seconds: float) -> dict[str, Any]:
        """The next thing it says that has the key. RuntimeError when it ends before, TimeoutError when it is silent."""
        until = time.monotonic() + seconds
        while True:
            try:
                said = self._lines.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                raise TimeoutError(f"nothing about {key} within {seconds:.0f} s; see {self._log}") from None
            if said is None:
                raise RuntimeError(f"{self.process.args!r} ended without {key}:\n{self._log.read_text()[-3000:]}")
            if key in said:
                return said

    def end(self, seconds: float = 20) -> None:
        """Wait for it, or ask it to end, or end it."""
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            if number is not None:
                self.process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
                return
            seconds = 5

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            for line in stream:
                # Libraries print as they like; what is said here is JSON.
                with suppress(ValueError):
                    said = json.loads(line)
                    if isinstance(said, dict):
                        self._lines.put(said)
        self._lines.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(0.1 if error is not None else 20)
