"""Services as child processes: started again, stopped, and never left behind. With small services of the test's own."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from athanor.cli import supervise
from athanor.cli.supervise import Service, StartFailed

READY = re.compile(r"ready (?P<pid>\d+)$")

SERVICE = """
import os, signal, sys, time
print("ready", os.getpid(), flush=True)
print("hello from", sys.argv[1:], file=sys.stderr, flush=True)
while True:
    time.sleep(0.02)
"""


@pytest.fixture
def make(tmp_path: Path, monkeypatch):
    """A service of the given source, and what it said."""
    monkeypatch.setattr(supervise, "_BACKOFF_FIRST", 0.05)
    said: list[tuple[str, str]] = []

    def build(source: str = SERVICE, *arguments: str) -> Service:
        (tmp_path / "some_service.py").write_text(textwrap.dedent(source))
        env = os.environ | {"PYTHONPATH": str(tmp_path)}
        return Service(
            "service",
            "some_service",
            lambda: arguments,
            ready=READY,
            say=lambda name, line: said.append((name, line)),
            env=env,
        )

    return build, said


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


async def test_it_runs_until_it_is_stopped(make):
    build, said = make
    service = build(SERVICE, "--x", "1")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(service.run())
        await service.ready.wait()
        pid = service.pid
        assert pid is not None
        assert service.match is not None
        assert int(service.match["pid"]) == pid, "the wrapper has become the service"
        assert os.getsid(pid) == pid, "Ctrl-C at the terminal does not reach it"
        await until(lambda: said)
        service.stop()
    assert said == [("service", "hello from ['--x', '1']")]
    assert not alive(pid)


async def test_it_is_started_again_when_it_dies(make):
    build, said = make
    service = build()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(service.run())
        await service.ready.wait()
        for _ in range(3):
            pid = service.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await until(lambda: service.match and int(service.match["pid"]) != pid)  # noqa: B023
        service.stop()
    assert sum("killed by SIGKILL" in line for _, line in said) == 3


async def test_one_that_never_starts_is_not_started_for_ever(make):
    build, _ = make
    service = build("import sys; print('port taken', file=sys.stderr); sys.exit(2)")
    with pytest.raises(StartFailed, match="the service did not start") as caught:
        await service.run()
    assert caught.value.status == 2
    assert caught.value.lines == ["port taken"]


async def test_stopping_while_it_waits_to_be_started_again_is_at_once(make, monkeypatch):
    monkeypatch.setattr(supervise, "_BACKOFF_FIRST", 30.0)
    build, said = make
    service = build("import os; print('ready', os.getpid(), flush=True)")
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(service.run())
        await until(lambda: any("starting it again in 30 s" in line for _, line in said))
        service.stop()
        async with asyncio.timeout(5):
            await task


async def test_a_service_whose_supervisor_is_cancelled_ends(make):
    build, _ = make
    service = build()
    task = asyncio.create_task(service.run())
    await service.ready.wait()
    pid = service.pid
    assert pid is not None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not alive(pid)


async def test_lines_of_any_length_and_a_last_one_without_an_end_are_passed_on(make):
    build, said = make
    service = build(
        """
        import os, sys
        print("ready", os.getpid(), flush=True)
        sys.stderr.write("x" * 300_000 + "\\n\\xe4 last")
        sys.stderr.flush()
        import time; time.sleep(60)
        """
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(service.run())
        await until(lambda: said)
        service.stop()
    assert len(said[0][1]) == 300_000
    assert said[1][1] == "ä last"


async def test_a_descendant_that_holds_the_pipes_does_not_hold_up_the_restart(make):
    build, said = make
    service = build(
        """
        import os, subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
        print("ready", os.getpid(), flush=True)
        print("child", child.pid, flush=True)
        """
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(service.run())
        await until(lambda: any("starting it again" in line for _, line in said))
        service.stop()
    for _, line in said:
        if line.startswith("child "):
            os.kill(int(line.split()[1]), signal.SIGKILL)


def test_services_do_not_outlive_a_supervisor_that_is_killed(tmp_path):
    (tmp_path / "some_service.py").write_text(SERVICE)
    supervisor = f"""
import asyncio, re
from athanor.cli.supervise import Service
service = Service("s", "some_service", list, ready=re.compile({READY.pattern!r}), say=lambda name, line: None)
async def main():
    task = asyncio.create_task(service.run())
    await service.ready.wait()
    print(service.pid, flush=True)
    await task
asyncio.run(main())
"""
    process = subprocess.Popen(
        [sys.executable, "-c", supervisor],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        pid = int(process.stdout.readline())
        assert alive(pid)
        process.kill()
        process.wait()
        deadline = time.monotonic() + 10
        while alive(pid) and time.monotonic() < deadline:
            time.sleep(0.01)
    assert not alive(pid)
