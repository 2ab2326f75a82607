"""Run processes on Linux: started plainly, found wherever they hide, signalled without mistaking one for another."""

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from athanor.experiment.assignment import DOORBELL_VARIABLE as DOORBELL
from athanor.experiment.assignment import LEASE_VARIABLE as LEASE_MARKER

from athanor_runner.ports import Command, ProcessId
from athanor_runner.process_table import (
    ProcessRow,
    count_memory_kills,
    environment_of,
    is_in,
    members,
    read_row,
    read_table,
)
from athanor_runner.settings import Launch
from athanor_runner.template import Template

_PR_SET_CHILD_SUBREAPER = 36
_MARKER_ENTRY = f"{LEASE_MARKER}=".encode()


def become_subreaper() -> None:
    """Makes orphans among the descendants children of this process, so that they stay in its tree and can be buried."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot become the parent of orphans: {os.strerror(number)}")


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

    def __init__(self, id: ProcessId, on_release: Callable[[], None]) -> None:
        """`on_release` is called when it has ended, and buries it."""
        self._id = id
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
        self._on_release()


_Made = tuple[int, Callable[[], object]]  # a process's id, and how it is buried


@dataclass
class _Family:
    """The processes of one attempt that runs."""

    main: ProcessId
    known: set[ProcessId]


class LinuxProcesses:
    """Processes by /proc, pidfds and the marker in their environment. May be used by several threads."""

    def __init__(self, launch: Launch = Launch.EXEC) -> None:
        self._lock = threading.Lock()
        self._children: set[int] = set()  # made here and not released: nobody else may bury them
        self._families: dict[str, _Family] = {}  # by lease: those started here and not released
        self._strays: dict[ProcessId, set[str]] = {}  # orphans without any mark, with the leases that they may be of
        self._marks: dict[ProcessId, frozenset[bytes]] = {}  # what the environments say that were looked at
        # Children that were there before are nobody's orphans.
        self._foreign = {row.id for row in read_table().values() if row.parent == os.getpid()}
        self._template = Template(self._lock, self._children) if launch is Launch.FORK else None

    async def prepare(self, command: Command) -> None:
        """Makes a template of such processes ready, if there is to be one."""
        if self._template is not None:
            await self._template.prepare(command)

    def start(self, command: Command, on_ring: Callable[[], None] | None = None) -> LinuxChild:
        """Starts a process in a session of its own, with nothing on standard input. Raises OSError."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        with contextlib.ExitStack() as opened:
            stdout = _open(opened, command.stdout, flags)
            stderr = _open(opened, command.stderr, flags)
            writing = -1
            bell: Doorbell | None = None
            if on_ring is not None:
                reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
                opened.callback(os.close, writing)
                bell = Doorbell(reading, on_ring)
            try:
                pid, bury = self._fork(command, stdout, stderr, writing) or self._spawn(
                    command, stdout, stderr, writing
                )
            except BaseException:
                if bell is not None:
                    bell.close()
                raise

        row = read_row(pid)
        assert row is not None  # it is not buried before it is released
        lease_id = command.environment.get(LEASE_MARKER, "")
        with self._lock:
            self._families[lease_id] = _Family(row.id, {row.id})

        def released() -> None:
            bury()
            with self._lock:
                self._children.discard(pid)
                del self._families[lease_id]
                for owners in self._strays.values():
                    owners.discard(lease_id)
            if bell is not None:
                bell.close()

        return LinuxChild(row.id, released)

    def _fork(self, command: Command, stdout: int, stderr: int, bell: int) -> _Made | None:
        """Has the template make a process; None when it cannot."""
        if self._template is None or bell < 0:
            return None
        forked = self._template.fork(command, stdout, stderr, bell)
        if forked is None:
            return None
        forked.go()
        return forked.pid, lambda: os.waitpid(forked.pid, 0)

    def _spawn(self, command: Command, stdout: int, stderr: int, bell: int) -> _Made:
        environment = dict(command.environment)
        if bell >= 0:
            environment[DOORBELL] = str(bell)
        with self._lock:  # so that a thread does not take the child for an orphan
            # Without preexec_fn CPython runs no fork handlers, so gRPC's threads are no danger to the child.
            process = subprocess.Popen(
                command.arguments,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                pass_fds=[bell] if bell >= 0 else [],
                start_new_session=True,
            )
            self._children.add(process.pid)
        return process.pid, process.wait

    def close(self) -> None:
        """Ends the template, if there is one."""
        if self._template is not None:
            self._template.close()

    def living(self, lease_id: str, main: ProcessId | None, owned: bool) -> list[ProcessId]:
        """All living processes of an attempt, the oldest first."""
        with self._lock:
            found: set[ProcessId] = set()
            marker = f"{LEASE_MARKER}={lease_id}".encode()
            family = self._families.get(lease_id)
            # Twice before it is said that nothing is left: the table is not read in one moment, and what forks
            # meanwhile, and is gone itself, can leave behind a child on a line that was read already.
            for _ in range(2):
                table = read_table()
                self._note(table)
                known = {stray for stray, owners in self._strays.items() if owners <= {lease_id}}
                known |= family.known if family is not None else set()
                found = members(table, main, owned, known, lambda row: marker in self._marks_of(row))
                found = {process for process in found if process.pid != os.getpid()}
                if found:
                    break
            if family is not None:
                family.known = set(found)
        return sorted(found, key=lambda process: (process.start_ticks, process.pid))

    def trace(self) -> None:
        """Notes the descendants of every attempt, and buries dead orphans."""
        with self._lock:
            self._note(read_table())

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

    def _note(self, table: Mapping[int, ProcessRow]) -> None:
        for family in self._families.values():
            family.known = members(table, family.main, True, family.known, lambda _: False)
        claimed = {process for family in self._families.values() for process in family.known}
        self._marks = {process: marks for process, marks in self._marks.items() if is_in(table, process)}
        self._strays = {stray: owners for stray, owners in self._strays.items() if is_in(table, stray)}

        own = os.getpid()
        for row in table.values():
            if row.parent != own or row.pid in self._children or row.id in self._foreign:
                continue
            if row.state == "Z":
                with contextlib.suppress(ChildProcessError):
                    os.waitid(os.P_PID, row.pid, os.WEXITED | os.WNOHANG)
            elif row.id not in claimed and row.id not in self._strays:
                # An orphan that left its session before anybody looked. Without a mark it may be of any that run now.
                marks = self._marks_of(row)
                owner = next((lease for lease in self._families if f"{LEASE_MARKER}={lease}".encode() in marks), None)
                if owner is not None:
                    self._families[owner].known.add(row.id)
                else:
                    self._strays[row.id] = set(self._families)

    def _marks_of(self, row: ProcessRow) -> frozenset[bytes]:
        """The markers that a process was started with.

        Looked at once, for all leases: a process is marked before its id can be seen, and what it executes later makes
        it nobody else's.
        """
        known = self._marks.get(row.id)
        if known is not None:
            return known
        if row.pid == os.getpid():
            return frozenset()
        variables = environment_of(row.pid)
        marks = frozenset(entry for entry in variables if entry.startswith(_MARKER_ENTRY))
        if variables != [b""]:  # empty in the midst of an exec: to be asked again
            self._marks[row.id] = marks
        return marks


def _open(opened: contextlib.ExitStack, path: Path, flags: int) -> int:
    descriptor = os.open(path, flags, 0o644)
    opened.callback(os.close, descriptor)
    return descriptor


def _peek(pid: int) -> os.waitid_result:
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert ended is not None  # only with WNOHANG can it be
    return ended


async def readable(descriptor: int) -> None:
    """Waits until a descriptor can be read."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
