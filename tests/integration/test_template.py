"""Processes forked from a template, for real: as clean as those that start an interpreter, and as well looked after."""

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from athanor.experiment import template as served
from athanor.experiment.intent import Ended
from athanor_runner import template
from athanor_runner.ports import Command
from athanor_runner.process import LEASE_MARKER, LinuxChild, LinuxProcesses, become_subreaper
from athanor_runner.process_table import environment_of, read_row, read_table
from athanor_runner.settings import Launch

from tests.support.attempts import TIMEOUT, Attempt

EXPERIMENTS = Path(__file__).parent / "experiments_of_execute"
PR_SET_CHILD_SUBREAPER = 36


class Stage:
    """What a runner does with attempts, one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "ATHANOR_RUNNER_PID": str(os.getpid())}
        self.processes = LinuxProcesses(Launch.FORK)
        self.attempts: list[Attempt] = []
        self.living: dict[Attempt, LinuxChild] = {}
        self.rings = 0

    @property
    def template(self) -> int | None:
        """Id of the template's process."""
        held = self.processes._template
        return held.pid if held is not None else None

    def attempt(self, experiment: str, module: str = "surroundings", **changes: Any) -> tuple[Attempt, Command]:
        lease = str(uuid.uuid4())
        folder = self.folder / "attempts" / lease
        attempt = Attempt(folder, EXPERIMENTS / f"{module}.py", experiment, lease_id=lease, **changes)
        self.attempts.append(attempt)
        command = Command(
            (sys.executable, "-P", "-m", "athanor.experiment.execute", str(folder)),
            {**self.environment, LEASE_MARKER: lease},
            folder / "stdout",
            folder / "stderr",
        )
        return attempt, command

    async def begin(self, experiment: str, module: str = "surroundings", *, plain: bool = False) -> Attempt:
        attempt, command = self.attempt(experiment, module)
        held = self.processes._template
        if plain:
            self.processes._template = None
        await self.processes.prepare(command)
        self.living[attempt] = self.processes.start(command, self.rung)
        self.processes._template = held
        return attempt

    def rung(self) -> None:
        self.rings += 1

    def pid(self, attempt: Attempt) -> int:
        return self.living[attempt].id.pid

    def forked(self, attempt: Attempt) -> bool:
        """Whether it came from a template: its interpreter was started with other memory than it shows."""
        while (entries := environment_of(self.pid(attempt))) == [b""]:  # in the midst of an exec
            time.sleep(0.001)
        return b"ATHANOR_DOORBELL_FD" not in {entry.partition(b"=")[0] for entry in entries}

    async def end(self, attempt: Attempt) -> int:
        async with asyncio.timeout(TIMEOUT):
            status = await self.living[attempt].wait()
        self.living.pop(attempt).release()
        return status

    async def run(self, experiment: str, module: str = "surroundings", *, plain: bool = False) -> Attempt:
        attempt = await self.begin(experiment, module, plain=plain)
        assert await self.end(attempt) == 0, attempt.stderr
        return attempt

    async def close(self) -> None:
        for attempt in list(self.living):
            child = self.living[attempt]
            while left := self.processes.living(attempt.assignment.lease_id, child.id, True):
                for process in left:
                    self.processes.signal(process, signal.SIGKILL)
                await asyncio.sleep(0.01)
            await self.end(attempt)
        self.processes.close()
        for attempt in self.attempts:
            attempt.close()


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    become_subreaper()
    made = Stage(tmp_path)
    yield made
    await made.close()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def results(attempt: Attempt) -> dict[str, Any]:
    return {
        event.result.key: json.loads(event.result.value_json) for event in attempt.events() if event.HasField("result")
    }


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(TIMEOUT):
        while not condition():
            await asyncio.sleep(0.01)


async def test_its_surroundings_are_those_of_a_process_that_starts_an_interpreter(stage: Stage) -> None:
    first = await stage.begin("surroundings")
    assert stage.forked(first)
    assert await stage.end(first) == 0, first.stderr
    second = await stage.begin("surroundings", plain=True)
    assert not stage.forked(second)
    assert await stage.end(second) == 0, second.stderr

    forked, plain = (
        json.dumps(results(attempt)).replace(attempt.assignment.lease_id, "LEASE") for attempt in (first, second)
    )
    assert json.loads(forked) == json.loads(plain)
    found = results(first)
    assert found["parent"] == os.getpid()
    assert found["session"] == [True, True]
    assert found["shown marker"] == [f"ATHANOR_LEASE_ID={first.assignment.lease_id}"]
    assert found["threads"] == [1, 1]


async def test_it_has_nothing_of_an_author_nor_what_does_not_survive_a_fork(stage: Stage) -> None:
    attempt = await stage.run("modules")
    bare = "import sys; print(*sys.modules)"
    found = {name.partition(".")[0] for name in results(attempt)["modules"]}
    found -= set(subprocess.run([sys.executable, "-c", bare], capture_output=True, text=True).stdout.split())
    found -= set(sys.stdlib_module_names)
    found = {name for name in found if not name.startswith("_sysconfigdata")}  # it is named after the platform
    assert found - {"pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection"} == {
        "athanor",
        "surroundings",
    }
    again = await stage.run("says_where_it_is", "ways")
    assert results(again)["modules"] == []
    assert results(again)["inherited"] == [0, 1, 2, 3]  # and the folder that is listed


async def test_no_two_draw_the_same(stage: Stage) -> None:
    first, second = results(await stage.run("chance")), results(await stage.run("chance"))
    assert {name for name, value in first.items() if second[name] == value} == {"hash"}


async def test_the_hash_seed_is_the_templates_and_another_templates_is_another(stage: Stage) -> None:
    """It cannot be changed after the start of an interpreter; whoever needs one for each run has --launch exec."""
    first = results(await stage.run("chance"))["hash"]
    assert results(await stage.run("chance", plain=True))["hash"] != first
    stage.environment["PYTHONHASHSEED"] = "7"
    seeded = results(await stage.run("chance"))["hash"]
    assert results(await stage.run("chance", plain=True))["hash"] == seeded != first


@pytest.mark.parametrize(
    ("experiment", "status", "ended"),
    [
        ("completes", 0, Ended.COMPLETED),
        ("raises", 1, Ended.RAISED),
        ("exits_hard", 3, None),
        ("kills_itself", -9, None),
        ("segfaults", -11, None),
    ],
)
async def test_how_it_ends_is_seen(stage: Stage, experiment: str, status: int, ended: Ended | None) -> None:
    attempt = await stage.begin(experiment, "ways")
    async with asyncio.timeout(TIMEOUT):
        assert await stage.living[attempt].wait() == status
    stage.processes.trace()  # buries orphans, not this one
    row = read_row(stage.pid(attempt))
    assert row is not None
    assert row.state == "Z"
    assert (attempt.intent.ended if attempt.intent is not None else None) == ended
    await stage.end(attempt)
    if experiment == "segfaults":
        attempt.settle()
        assert "Fatal Python error: Segmentation fault" in attempt.messages("stderr")


async def test_output_and_pools_and_doorbell_work(stage: Stage) -> None:
    attempt, command = stage.attempt("returns", "ways")
    attempt.page.waiting = True
    await stage.processes.prepare(command)
    stage.living[attempt] = stage.processes.start(command, stage.rung)
    await stage.end(attempt)
    await asyncio.sleep(0)
    assert stage.rings >= 1
    attempt.settle()
    assert sorted(attempt.messages("stdout")) == sorted(
        ["printed while it was imported", "printed", "by descriptor", "by a subprocess", "no newline"]
    )
    spawning = await stage.run("spawns", "ways")
    assert results(spawning) == {"squares": [1, 4, 9]}
    forking = await stage.run("forks", "ways")
    forking.settle()
    assert forking.messages("stdout")[-2:] == ["from the child", "refused: ForkedChildError"]


async def test_what_it_forks_is_found_by_the_marker_alone(stage: Stage) -> None:
    """As after a crash of the runner: nothing is known but the lease, and nothing of it was ever executed anew."""
    attempt = await stage.begin("leaves_a_forked_child")
    async with asyncio.timeout(TIMEOUT):
        await stage.living[attempt].wait()
    lease = attempt.assignment.lease_id
    [left] = LinuxProcesses().living(lease, None, False)
    assert left.pid != stage.pid(attempt)
    assert [process.pid for process in stage.processes.living(lease, stage.living[attempt].id, True)] == [left.pid]
    assert LinuxProcesses().living(str(uuid.uuid4()), None, False) == []


async def test_it_outlives_its_template_and_the_next_has_another(stage: Stage) -> None:
    attempt = await stage.begin("waits")
    await until(lambda: ("", "waiting") in attempt.logs())
    first = stage.template
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: read_row(first) is None)
    attempt.cancel("enough")
    assert await stage.end(attempt) == 0

    following = await stage.begin("surroundings")
    assert stage.forked(following)
    assert stage.template not in (None, first)


async def test_one_that_is_killed_unnoticed_holds_up_nothing(stage: Stage) -> None:
    """It dies between the look at it and the order."""
    await stage.run("surroundings")
    attempt, command = stage.attempt("surroundings")
    await stage.processes.prepare(command)
    assert stage.template is not None
    os.kill(stage.template, signal.SIGKILL)
    stage.living[attempt] = stage.processes.start(command, stage.rung)
    assert not stage.forked(attempt)
    assert await stage.end(attempt) == 0


async def test_its_spare_is_nobodys_and_ends_with_it(stage: Stage) -> None:
    attempt = await stage.begin("waits")
    await until(lambda: ("", "waiting") in attempt.logs())
    made_for = stage.template
    assert made_for is not None
    await until(lambda: len(descendants(made_for)) == 2)
    spare = descendants(made_for)
    main = stage.living[attempt].id
    for _ in range(2):  # strays are what was seen before
        assert stage.processes.living(attempt.assignment.lease_id, main, True) == [main]
    for pid in spare:
        assert not any(entry.startswith(LEASE_MARKER.encode()) for entry in environment_of(pid))

    os.kill(made_for, signal.SIGKILL)
    await until(lambda: stage.processes.trace() or not any(alive(pid) for pid in spare))
    attempt.cancel("enough")
    assert await stage.end(attempt) == 0


async def test_a_spare_that_is_killed_holds_up_nothing(stage: Stage) -> None:
    await stage.run("surroundings")
    first = stage.template
    assert first is not None
    await until(lambda: len(descendants(first)) == 2)
    os.kill(descendants(first)[-1], signal.SIGKILL)
    begin = time.monotonic()
    attempt = await stage.begin("surroundings")
    assert await stage.end(attempt) == 0
    assert time.monotonic() - begin < TIMEOUT / 2
    following = await stage.begin("surroundings")
    assert stage.forked(following)
    assert await stage.end(following) == 0


def descendants(pid: int) -> list[int]:
    """Of a process, the nearest first."""
    children = [row.pid for row in read_table().values() if row.parent == pid]
    return [*children, *(found for child in children for found in descendants(child))]


async def test_one_that_hangs_is_waited_for_a_moment_and_nothing_is_executed_twice(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(template, "ANSWER_WITHIN", 0.2)
    await stage.run("surroundings")
    hanging = stage.template
    assert hanging is not None
    os.kill(hanging, signal.SIGSTOP)
    begin = time.monotonic()
    attempt = await stage.begin("completes", "ways")
    assert time.monotonic() - begin < 1
    assert not stage.forked(attempt)
    assert await stage.end(attempt) == 0
    assert read_row(hanging) is None
    started = [event for event in attempt.events() if event.HasField("attempt_started")]
    assert len(started) == 1
    assert stage.template is None  # for a while


async def test_one_that_never_gets_ready_is_given_up(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "READY_WITHIN", 0.05)  # no interpreter is as fast
    attempt = await stage.begin("surroundings")
    assert stage.template is None
    assert not stage.forked(attempt)
    assert await stage.end(attempt) == 0


async def test_what_is_not_let_begin_executes_nothing(stage: Stage) -> None:
    """The runner has given it up, and may have started another in its place."""
    attempt, command = stage.attempt("surroundings")
    await stage.processes.prepare(command)
    held = stage.processes._template
    assert held is not None
    with attempt.folder.joinpath("stdout").open("ab") as output:
        forked = held.fork(command, output.fileno(), output.fileno(), attempt._bell)
        assert forked is not None
        try:
            assert f"{LEASE_MARKER}={attempt.assignment.lease_id}".encode() in environment_of(forked.pid)
            await asyncio.sleep(0.1)
            assert not (attempt.folder / "spool").exists()
        finally:
            forked.close()
        assert os.waitstatus_to_exitcode(os.waitpid(forked.pid, 0)[1]) == 1
    assert not (attempt.folder / "spool").exists()


async def test_run_and_template_die_with_the_runner(stage: Stage, tmp_path: Path) -> None:
    attempt, command = stage.attempt("waits")
    code = (
        "import asyncio, os, sys\n"
        "from pathlib import Path\n"
        "from athanor_runner.process import LinuxProcesses, become_subreaper\n"
        "from athanor_runner.ports import Command\n"
        "from athanor_runner.settings import Launch\n"
        "async def main():\n"
        "    become_subreaper()\n"
        "    processes = LinuxProcesses(Launch.FORK)\n"
        "    environment = {**os.environ, 'ATHANOR_RUNNER_PID': str(os.getpid())}\n"
        "    folder = Path(sys.argv[-1])\n"
        "    command = Command(tuple(sys.argv[1:]), environment, folder / 'stdout', folder / 'stderr')\n"
        "    await processes.prepare(command)\n"
        "    child = processes.start(command, lambda: None)\n"
        "    print(child.id.pid, processes._template.pid, flush=True)\n"
        "    await child.wait()\n"
        "asyncio.run(main())\n"
    )
    runner = subprocess.Popen(
        [sys.executable, "-c", code, *command.arguments], env=command.environment, stdout=subprocess.PIPE
    )
    assert runner.stdout is not None
    pids = [int(pid) for pid in runner.stdout.readline().split()]
    assert len(pids) == 2
    await until(lambda: ("", "waiting") in attempt.logs())
    await until(lambda: len(descendants(pids[1])) == 2)
    pids += descendants(pids[1])  # its spare
    runner.stdout.close()
    runner.kill()
    runner.wait()
    await until(lambda: not any(alive(pid) for pid in pids))


def alive(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # as the subreaper this process is their parent now
    return read_row(pid) is not None


@pytest.mark.parametrize(
    "at_start",
    ["import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()", "import grpc"],
)
async def test_an_interpreter_in_which_a_fork_is_unsafe_starts_each_process(stage: Stage, at_start: str) -> None:
    (stage.folder / "site").mkdir()
    (stage.folder / "site" / "sitecustomize.py").write_text(at_start)
    (stage.folder / "site" / "grpc.py").touch()
    stage.environment["PYTHONPATH"] = str(stage.folder / "site")
    attempt = await stage.begin("completes", "ways")
    assert stage.template is None
    assert not stage.forked(attempt)
    assert await stage.end(attempt) == 0


async def test_what_was_changed_since_is_in_the_next_process(stage: Stage) -> None:
    """As when a package is upgraded beside a runner that goes on."""
    (stage.folder / "site").mkdir()
    installed = stage.folder / "site" / "sitecustomize.py"
    installed.write_text("import os\nos.environ['ATHANOR_TEST'] = 'old'")
    stage.environment["PYTHONPATH"] = str(stage.folder / "site")
    seen: list[tuple[bool, str]] = []
    for text in ("old", "newer", "newer"):
        installed.write_text(f"import os\nos.environ['ATHANOR_TEST'] = '{text}'")
        attempt = await stage.begin("surroundings")
        forked = stage.forked(attempt)
        await stage.end(attempt)
        seen.append((forked, dict(results(attempt)["environment"])["ATHANOR_TEST"]))
    assert [text for _, text in seen] == ["old", "newer", "newer"]
    assert not seen[1][0]


async def test_another_environment_is_another_templates(stage: Stage) -> None:
    await stage.run("surroundings")
    first = stage.template
    stage.environment["OTHER"] = "value"
    attempt = await stage.begin("surroundings")
    assert stage.forked(attempt)
    assert stage.template != first
    assert await stage.end(attempt) == 0
    assert ["OTHER", "value"] in results(attempt)["environment"]


@pytest.mark.parametrize("waited_for", [False, True])
def test_a_spare_rehearses_unless_it_is_waited_for(monkeypatch: pytest.MonkeyPatch, waited_for: bool) -> None:
    """It takes longer than it saves: that is worth it only while nobody waits."""
    runner, spares = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours, between = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    rehearsals: list[str] = []

    def order() -> None:
        socket.send_fds(runner, [json.dumps({"folder": "there", "lease_id": "lease"}).encode()], [0, 1, 2, 2])

    class Room:
        def fill(self, _: object) -> None:
            pass

    def rehearse() -> None:
        rehearsals.append("here")
        order()

    monkeypatch.setattr(os, "setsid", lambda: None)
    monkeypatch.setattr(served, "_rehearse", rehearse)
    with runner, spares, ours, between:
        if waited_for:
            order()
        made = served._Template(Room(), (), [], frozenset(), models=True)  # pyright: ignore[reportArgumentType]
        taken = served._wait(spares, between, made)
        for descriptor in taken[2:]:
            os.close(descriptor)
        assert taken.lease_id == "lease"
        assert rehearsals == ([] if waited_for else ["here"])
        assert (ours.recv(100), "pid" in json.loads(ours.recv(100))) == (b"wanted", True)


async def test_most_of_its_memory_is_shared(stage: Stage) -> None:
    forked, plain = await stage.begin("waits"), await stage.begin("waits", plain=True)
    for attempt in (forked, plain):
        await until(lambda attempt=attempt: ("", "waiting") in attempt.logs())
    assert private_kilobytes(stage.pid(forked)) < private_kilobytes(stage.pid(plain)) / 2


def private_kilobytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


@pytest.mark.parametrize(("experiment", "status"), [("leaves_much_to_the_end", 0), ("leaves_and_raises", 1)])
async def test_its_end_leaves_nothing_out(stage: Stage, experiment: str, status: int) -> None:
    """The template's memory is not taken apart at the end of a run; everything of the run is."""
    said: list[list[str]] = []
    for plain in (False, True):
        attempt = await stage.begin(experiment, "leaving", plain=plain)
        assert stage.forked(attempt) != plain
        assert await stage.end(attempt) == status
        assert "atexit" not in attempt.stderr  # of a function that failed there
        said.append((attempt.folder / "stdout").read_text().splitlines())
    assert (
        sorted(said[0])
        == sorted(said[1])
        == sorted(
            [
                *("a thread ends", "called at the end", "buffered by C", "buffered by a file"),
                *("finalized", "held back by a handler"),
                *("global taken apart", "circle taken apart", "made up taken apart"),
            ]
        )
    )
    for lines in said:
        assert lines.index("a thread ends") < lines.index("called at the end") < lines.index("global taken apart")
