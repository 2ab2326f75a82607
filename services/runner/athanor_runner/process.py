"""Run processes on Linux: started plainly, found wherever they hide, signalled without mistaking one for another."""

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from athanor_runner.ports import Command, ProcessId

DOORBELL = "ATHANOR_DOORBELL_FD"  # in the environment: a descriptor to which the process writes a byte when it has news
LEASE_MARKER = (
    "ATHANOR_LEASE_ID"  # in the environment of an attempt's first process, and so of all that descend from it
)

_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class ProcessRow:
    """A line of the process table."""

    pid: int
    state: str  # one letter; Z is dead and not yet buried
    parent: int
    session: int
    start_ticks: int

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

    found = {
        row.pid
        for row in table.values()
        if row.pid == leader or row.session == leader or row.id in known or (row.state not in "ZX" and marked(row))
    }
    children: dict[int, list[int]] = {}
    for row in table.values():
        children.setdefault(row.parent, []).append(row.pid)
    waiting = list(found)
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return {table[pid].id for pid in found if table[pid].state not in "ZX"}


def parse_stat(text: str) -> ProcessRow:
    """Reads /proc/PID/stat. The name in parentheses may hold anything, parentheses and blanks too."""
    opening, closing = text.index("("), text.rindex(")")
    rest = text[closing + 2 :].split()
    return ProcessRow(int(text[:opening]), rest[0], int(rest[1]), int(rest[3]), int(rest[19]))


def read_table(proc: Path = Path("/proc")) -> dict[int, ProcessRow]:
    """The process table as it stands."""
    table: dict[int, ProcessRow] = {}
    for entry in os.listdir(proc):
        if entry.isdigit() and (row := read_row(int(entry), proc)) is not None:
            table[row.pid] = row
    return table


def read_row(pid: int, proc: Path = Path("/proc")) -> ProcessRow | None:
    """One line of the process table, or None when there is no such process."""
    try:
        return parse_stat((proc / str(pid) / "stat").read_text("utf-8", "replace"))
    except (OSError, ValueError, IndexError):
        return None


def become_subreaper() -> None:
    """Makes orphans among the descendants children of this process, so that they stay in its tree and can be buried."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot become the parent of orphans: {os.strerror(number)}")


def count_memory_kills(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int:
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


class Doorbell:
    """The runner's end of a pipe that a run's process writes to when it has recorded something."""

    def __init__(self, descriptor: int, on_ring: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._on_ring = on_ring
        asyncio.get_running_loop().add_reader(descriptor, self._rung)

    def close(self) -> None:
        """Listens no more."""
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _rung(self) -> None:
        try:
            data = os.read(self._descriptor, 4096)
        except BlockingIOError:
            return
        if not data:  # nobody is left who could ring
            self.close()
        self._on_ring()


class LinuxChild:
    """A process that the runner started, not buried before `release`."""

    def __init__(self, process: "subprocess.Popen[bytes]", start_ticks: int, on_release: Callable[[], None]) -> None:
        self._process = process
        self._id = ProcessId(process.pid, start_ticks)
        self._on_release = on_release
        self._exit_status: int | None = None

    @property
    def id(self) -> ProcessId:
        """Which process it is."""
        return self._id

    async def wait(self) -> int:
        """Waits for its end, and returns 0 to 255 or the negated number of a signal."""
        if self._exit_status is None:
            descriptor = os.pidfd_open(self._id.pid)
            try:
                await readable(descriptor)
            finally:
                os.close(descriptor)
            # Seen, but not buried: until the rest of its session is gone its id must not be given to another process.
            ended = _peek(self._id.pid)
            self._exit_status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        return self._exit_status

    def release(self) -> None:
        """Lets the system forget it."""
        self._process.wait()
        self._on_release()


class LinuxProcesses:
    """Processes by /proc, pidfds and the marker in their environment."""

    def __init__(self) -> None:
        self._children: set[int] = set()  # started here and not released: nobody else may bury them
        self._unmarked: dict[str, set[ProcessId]] = {}  # looked at for a lease and found without its marker

    def start(self, command: Command, on_ring: Callable[[], None] | None = None) -> LinuxChild:
        """Starts a process in a session of its own, with nothing on standard input. Raises OSError."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        environment = dict(command.environment)
        with contextlib.ExitStack() as opened:
            stdout = _open(opened, command.stdout, flags)
            stderr = _open(opened, command.stderr, flags)
            passed: list[int] = []
            bell: Doorbell | None = None
            if on_ring is not None:
                reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
                opened.callback(os.close, writing)
                bell = Doorbell(reading, on_ring)
                passed.append(writing)
                environment[DOORBELL] = str(writing)
            try:
                # Without preexec_fn CPython runs no fork handlers, so gRPC's threads are no danger to the child.
                process = subprocess.Popen(
                    command.arguments,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=stdout,
                    stderr=stderr,
                    pass_fds=passed,
                    start_new_session=True,
                )
            except BaseException:
                if bell is not None:
                    bell.close()
                raise
        self._children.add(process.pid)
        row = read_row(process.pid)
        assert row is not None  # it is not buried before it is released

        def released() -> None:
            self._children.discard(process.pid)
            if bell is not None:
                bell.close()

        return LinuxChild(process, row.start_ticks, released)

    def living(
        self, lease_id: str, main: ProcessId | None, owned: bool, known: frozenset[ProcessId]
    ) -> list[ProcessId]:
        """All living processes of an attempt, the oldest first."""
        found: set[ProcessId] = set()
        unmarked = self._unmarked.setdefault(lease_id, set())
        marker = f"{LEASE_MARKER}={lease_id}".encode()

        def marked(row: ProcessRow) -> bool:
            if row.pid == os.getpid() or row.id in unmarked:
                return False
            variables = environment_of(row.pid)
            if marker in variables:
                return True
            if variables != [b""]:  # empty in the midst of an exec: to be asked again
                unmarked.add(row.id)
            return False

        # Twice before it is said that nothing is left: the table is not read in one moment, and what forks meanwhile,
        # and is gone itself, can leave behind a child on a line that was read already.
        for _ in range(2):
            table = read_table()
            self._bury(table.values())
            found = {id for id in members(table, main, owned, known, marked) if id.pid != os.getpid()}
            unmarked.intersection_update(row.id for row in table.values())
            if found:
                break
        else:
            del self._unmarked[lease_id]
        return sorted(found, key=lambda process: (process.start_ticks, process.pid))

    def trace(self, families: Mapping[str, frozenset[ProcessId]]) -> dict[str, frozenset[ProcessId]]:
        """Adds to the known processes of each attempt, by lease, their living descendants."""
        table = read_table()
        self._bury(table.values())
        return {
            lease_id: frozenset(members(table, None, False, known, lambda _: False))
            for lease_id, known in families.items()
        }

    def signal(self, process: ProcessId, number: int) -> bool:
        """Sends a signal to exactly this process."""
        try:
            descriptor = os.pidfd_open(process.pid)
        except OSError:
            return False
        try:
            # The pidfd is held, so the id cannot change hands between this look and the signal.
            row = read_row(process.pid)
            if row is None or row.id != process:
                return False
            signal.pidfd_send_signal(descriptor, number)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True

    def memory_kills(self) -> int:
        """How often the kernel has killed a process for want of memory."""
        return count_memory_kills()

    def _bury(self, table: Iterable[ProcessRow]) -> None:
        for row in table:
            if row.state == "Z" and row.parent == os.getpid() and row.pid not in self._children:
                with contextlib.suppress(ChildProcessError):
                    os.waitid(os.P_PID, row.pid, os.WEXITED | os.WNOHANG)


def _open(opened: contextlib.ExitStack, path: Path, flags: int) -> int:
    descriptor = os.open(path, flags, 0o644)
    opened.callback(os.close, descriptor)
    return descriptor


def _peek(pid: int) -> os.waitid_result:
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert ended is not None  # only with WNOHANG can it be
    return ended


def environment_of(pid: int, proc: Path = Path("/proc")) -> list[bytes]:
    """The environment that a process was started with, each entry `NAME=value`; only `b""` when it cannot be read."""
    try:
        return (proc / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return [b""]


async def readable(descriptor: int) -> None:
    """Waits until a descriptor can be read."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
