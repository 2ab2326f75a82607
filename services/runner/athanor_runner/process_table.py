"""The process table of Linux, and which of its lines belong to an attempt."""

import contextlib
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from athanor_runner.ports import ProcessId

PROC = Path("/proc")

_PF_KTHREAD = 0x0020_0000


class ProcessRow(NamedTuple):
    """A line of the process table."""

    pid: int
    state: str  # one letter; Z is dead and not yet buried
    parent: int
    session: int
    start_ticks: int
    of_kernel: bool = False  # a thread of the kernel's: it has neither environment nor children of anybody's

    @property
    def id(self) -> ProcessId:
        """Which process it is."""
        return ProcessId(self.pid, self.start_ticks)


def members(
    table: Mapping[int, ProcessRow],
    main: ProcessId | None,
    owned: bool,
    known: Collection[ProcessId],
    marked: Callable[[ProcessRow], bool],
) -> set[ProcessId]:
    """Which living processes belong to an attempt.

    Those that carry its marker, those of its first process's session, those known from before, and all their
    descendants. The session's id is trusted only while the first process is not buried, because until then the id
    cannot be given to another: that holds when it is `owned`, or found alive with its own start time.
    """
    row = table.get(main.pid) if main is not None else None
    leader = main.pid if main is not None and (owned or (row is not None and row.id == main)) else None

    # Every line is looked at for every attempt, twice at each end: no more is done for it than telling it apart.
    found = {process.pid for process in known if is_in(table, process)}
    children: dict[int, list[int]] = {}
    for pid, row in table.items():
        if pid == leader or row.session == leader or (row.state not in "ZX" and marked(row)):
            found.add(pid)
        children.setdefault(row.parent, []).append(pid)
    waiting = list(found)
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return {table[pid].id for pid in found if table[pid].state not in "ZX"}


def is_in(table: Mapping[int, ProcessRow], process: ProcessId) -> bool:
    """Is exactly this process in the table, alive or not yet buried?"""
    row = table.get(process.pid)
    return row is not None and row.start_ticks == process.start_ticks


def parse_stat(text: str) -> ProcessRow:
    """Reads /proc/PID/stat. The name in parentheses may hold anything, parentheses and blanks too."""
    opening, closing = text.index("("), text.rindex(")")
    rest = text[closing + 2 :].split(None, 20)
    of_kernel = bool(int(rest[6]) & _PF_KTHREAD)
    return ProcessRow(int(text[:opening]), rest[0], int(rest[1]), int(rest[3]), int(rest[19]), of_kernel)


def read_table(proc: Path = PROC) -> dict[int, ProcessRow]:
    """The process table as it stands, without the kernel's threads, which are half of it and nobody's."""
    table: dict[int, ProcessRow] = {}
    for entry in os.listdir(proc):
        if entry.isdigit() and (row := read_row(int(entry), proc)) is not None and not row.of_kernel:
            table[row.pid] = row
    return table


def read_row(pid: int, proc: Path = PROC) -> ProcessRow | None:
    """One line of the process table, or None when there is no such process."""
    # This is read of every process of the machine at the end of every run: plain calls, a third of what a Path takes.
    try:
        descriptor = os.open(f"{proc}/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return parse_stat(os.read(descriptor, 4096).decode("utf-8", "replace"))
        finally:
            os.close(descriptor)
    except (OSError, ValueError, IndexError):
        return None


def environment_of(pid: int, proc: Path = PROC) -> list[bytes]:
    """The environment that a process was started with, each entry `NAME=value`; only `b""` when it cannot be read."""
    try:
        return (proc / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return [b""]


def count_memory_kills(proc: Path = PROC, groups: Path = Path("/sys/fs/cgroup")) -> int:
    """The kernel's count of processes killed for want of memory: the machine's, or the control group's if higher."""
    highest = 0
    for file, name in (
        (proc / "vmstat", "oom_kill"),
        (groups / _own_group(proc) / "memory.events", "oom_kill"),
        (groups / "memory.events", "oom_kill"),
    ):
        with contextlib.suppress(OSError, ValueError):
            for line in file.read_text().splitlines():
                key, _, value = line.partition(" ")
                if key == name:
                    highest = max(highest, int(value))
    return highest


def _own_group(proc: Path) -> str:
    with contextlib.suppress(OSError):
        for line in (proc / "self" / "cgroup").read_text().splitlines():
            if line.startswith("0::"):
                return line[3:].strip().lstrip("/")
    return ""
