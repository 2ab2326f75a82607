"""Processes for real: found wherever they hide, signalled without mistaking one for another, buried."""

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import ClassVar

import pytest
from athanor_runner.ports import Command, ProcessId
from athanor_runner.process import LEASE_MARKER, LinuxChild, LinuxProcesses, become_subreaper
from athanor_runner.process_table import ProcessRow, read_row

PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture
async def processes() -> AsyncIterator[LinuxProcesses]:
    """Whatever a test started through them is ended with it, also when it fails."""
    become_subreaper()
    used = LinuxProcesses()
    yield used
    for shell in Shell.started:
        await shell.end()
    Shell.started.clear()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


class Shell:
    """A shell script as an attempt's first process."""

    started: ClassVar[list["Shell"]] = []

    def __init__(self, processes: LinuxProcesses, folder: Path, script: str, **environment: str) -> None:
        self.lease = str(uuid.uuid4())
        self.rings = 0
        self.processes = processes
        self.out = folder / f"{self.lease}.out"
        command = Command(
            ("/bin/sh", "-c", script),
            {"PATH": os.environ["PATH"], LEASE_MARKER: self.lease, **environment},
            self.out,
            folder / f"{self.lease}.err",
        )
        self.child: LinuxChild = processes.start(command, self._rung)
        self.ended = False
        self.started.append(self)

    def _rung(self) -> None:
        self.rings += 1

    def living(self) -> list[ProcessId]:
        return self.processes.living(self.lease, self.child.id, True)

    async def until(self, count: int) -> list[ProcessId]:
        deadline = time.monotonic() + 10
        while len(found := self.living()) != count:
            assert time.monotonic() < deadline, found
            await asyncio.sleep(0.01)
        return found

    def release(self) -> None:
        self.child.release()
        self.ended = True

    async def end(self) -> None:
        if self.ended:
            return
        while left := self.living():
            for process in left:
                self.processes.signal(process, signal.SIGKILL)
            await asyncio.sleep(0.01)
        await self.child.wait()
        self.release()


async def test_its_exit_status_is_seen_and_it_keeps_its_id_until_it_is_released(
    processes: LinuxProcesses, tmp_path: Path
) -> None:
    shell = Shell(processes, tmp_path, "exit 7")
    assert await shell.child.wait() == 7
    assert await shell.child.wait() == 7
    processes.trace()  # buries orphans, not this one
    row = read_row(shell.child.id.pid)
    assert row is not None
    assert row.state == "Z"
    assert shell.living() == []
    shell.release()
    assert read_row(shell.child.id.pid) is None


async def test_a_signal_is_a_negative_status(processes: LinuxProcesses, tmp_path: Path) -> None:
    shell = Shell(processes, tmp_path, "kill -KILL $$")
    assert await shell.child.wait() == -9
    shell.release()


async def test_it_starts_in_a_session_of_its_own_with_nothing_to_read(
    processes: LinuxProcesses, tmp_path: Path
) -> None:
    shell = Shell(processes, tmp_path, f"{sys.executable} -c 'import os; print(os.getsid(0))'; cat; echo end")
    await shell.child.wait()
    shell.release()
    assert shell.out.read_text() == f"{shell.child.id.pid}\nend\n"


async def test_found_after_setsid_and_a_double_fork(processes: LinuxProcesses, tmp_path: Path) -> None:
    shell = Shell(processes, tmp_path, "(setsid sh -c 'setsid sleep 600 & exit' & exit); exit 0")
    await shell.child.wait()
    [sleeper] = await shell.until(1)
    assert sleeper.pid != shell.child.id.pid
    await shell.end()


async def test_found_without_marker_and_session_when_it_was_seen_before_its_parent_died(
    processes: LinuxProcesses, tmp_path: Path
) -> None:
    shell = Shell(processes, tmp_path, "env -i setsid sleep 600 & sleep 0.5")
    other = Shell(processes, tmp_path, "exec sleep 600")
    await asyncio.sleep(0.2)
    processes.trace()
    await shell.child.wait()
    assert len(await shell.until(1)) == 1
    assert len(other.living()) == 1
    await shell.end()
    assert len(other.living()) == 1
    await other.end()


async def test_an_orphan_that_nobody_saw_is_ended_with_the_last_that_it_may_be_of(
    processes: LinuxProcesses, tmp_path: Path
) -> None:
    """Without a mark, and seen only when its parent was gone: it may be either one's, and is not killed too early."""
    first = Shell(processes, tmp_path, "env -i setsid sleep 600 & exit")
    second = Shell(processes, tmp_path, "exec sleep 600")
    await first.child.wait()
    await asyncio.sleep(0.1)
    processes.trace()
    assert first.living() == []
    first.release()
    assert len(await second.until(2)) == 2
    await second.end()


async def test_an_orphan_of_the_only_one_is_its_own(processes: LinuxProcesses, tmp_path: Path) -> None:
    shell = Shell(processes, tmp_path, "env -i setsid sleep 600 & exit")
    await shell.child.wait()
    assert len(await shell.until(1)) == 1
    await shell.end()


async def test_dead_orphans_are_buried_and_others_children_are_not(processes: LinuxProcesses, tmp_path: Path) -> None:
    of_other_tests = {row.pid for row in own_children()}
    shell = Shell(processes, tmp_path, "sleep 0.1 & exit")
    other = Shell(processes, tmp_path, "exit 3")
    await shell.child.wait()
    await asyncio.sleep(0.3)
    processes.trace()
    dead = {row.pid for row in own_children() if row.state == "Z"}
    assert dead - of_other_tests <= {shell.child.id.pid, other.child.id.pid}
    shell.release()
    assert await other.child.wait() == 3
    other.release()


def own_children() -> list[ProcessRow]:
    return [
        row
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and (row := read_row(int(entry.name))) is not None and row.parent == os.getpid()
    ]


async def test_a_signal_goes_to_exactly_that_process(processes: LinuxProcesses, tmp_path: Path) -> None:
    shell = Shell(processes, tmp_path, "exec sleep 600")
    pid = shell.child.id.pid
    assert not processes.signal(ProcessId(pid, shell.child.id.start_ticks + 1), signal.SIGKILL)
    assert not processes.signal(ProcessId(2**22 - 1, 1), signal.SIGKILL)
    assert len(shell.living()) == 1
    await shell.end()


async def test_found_by_marker_alone_by_another_runner(processes: LinuxProcesses, tmp_path: Path) -> None:
    """As after a crash: nothing is known but the lease."""
    shell = Shell(processes, tmp_path, "setsid sleep 600 & exec sleep 600")
    await shell.until(2)
    assert len(LinuxProcesses().living(shell.lease, None, False)) >= 2
    assert LinuxProcesses().living(str(uuid.uuid4()), ProcessId(shell.child.id.pid, 1), False) == []
    await shell.end()


async def test_the_doorbell_rings_and_its_end_is_no_endless_ringing(processes: LinuxProcesses, tmp_path: Path) -> None:
    code = "import os, time; fd = int(os.environ['ATHANOR_DOORBELL_FD'])\n"
    code += "for _ in range(3): os.write(fd, b'x'); time.sleep(.1)"
    shell = Shell(processes, tmp_path, f'exec {sys.executable} -c "{code}"')
    await shell.child.wait()
    await asyncio.sleep(0.2)
    assert 3 <= shell.rings <= 5
    await shell.end()


async def test_what_is_not_there_cannot_be_started(processes: LinuxProcesses, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        processes.start(Command(("/no/such/program",), {}, tmp_path / "out", tmp_path / "err"), lambda: None)
    assert len(os.listdir("/proc/self/fd")) == before


async def test_processes_of_others_are_left_alone(processes: LinuxProcesses, tmp_path: Path) -> None:
    stranger = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        mine = LinuxProcesses()
        shell = Shell(mine, tmp_path, "exec sleep 600")
        assert [process.pid for process in shell.living()] == [shell.child.id.pid]
        await shell.end()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        with contextlib.suppress(ChildProcessError):
            stranger.wait()
