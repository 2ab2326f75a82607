"""An attempt's processes under supervision, in virtual time: what is done to them, when, and what is said of it."""

import asyncio
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from athanor.experiment.control import ControlPage
from athanor_runner.ending import StopCause
from athanor_runner.settings import Timings
from athanor_runner.supervision import ProcessEnd, Requests, Supervision, Tools

from tests.support.runner_fakes import Clock, Disk, Processes
from tests.support.virtual_time import virtual_time

TERM, KILL = signal.SIGTERM, signal.SIGKILL
START = 1000.0


class Stage:
    """One supervision with everything around it."""

    def __init__(self, folder: Path, *, timeout: float | None = None, deadline: float | None = None) -> None:
        self.folder = folder
        self.clock, self.processes, self.requests = Clock(), Processes(), Requests()
        self.control = ControlPage.create(folder / "control")
        self.deadline = deadline
        tools = Tools(self.clock, Disk(), self.processes, Timings(), "/python", {"HOME": "/home"})
        self.supervision = Supervision(
            "lease",
            folder,
            tools,
            self.requests,
            self.control,
            timeout=timeout,
            cancel_grace=10,
            lease_deadline=lambda: self.deadline,
            on_ring=lambda: None,
        )

    @property
    def child(self) -> Any:
        return self.processes.children[0]

    def at(self, seconds: float, action: Callable[..., Any], *arguments: Any) -> None:
        asyncio.get_running_loop().call_at(START + seconds, action, *arguments)

    async def run(self) -> ProcessEnd:
        try:
            end = await self.supervision.run()
        finally:
            self.control.close()
        assert not self.processes.children or self.child.released
        return end

    @property
    def sent(self) -> list[tuple[float, int, str]]:
        return [(moment - START, pid, name) for moment, pid, name in self.processes.sent]


def said(end: ProcessEnd) -> list[str]:
    return [step.action for step in end.steps]


@virtual_time
async def test_one_that_ends_by_itself_is_left_alone(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.at(5, lambda: stage.child.end(3))
    end = await stage.run()
    assert (end.exit_status, said(end), stage.sent) == (3, [], [])
    assert asyncio.get_running_loop().time() == START + 5  # noticed at once, not at the next look

    command = stage.processes.commands[0]
    assert command.arguments == ("/python", "-P", "-m", "athanor.experiment.execute", str(tmp_path))
    assert command.environment == {"HOME": "/home", "ATHANOR_LEASE_ID": "lease"}
    written = json.loads((tmp_path / "process.json").read_text())
    assert (written["pid"], written["start_ticks"]) == (100, 100)


@virtual_time
async def test_one_that_is_cancelled_while_a_template_is_made_ready_is_never_started(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    async def prepare(_: object) -> None:
        await asyncio.sleep(5)

    stage.processes.prepare = prepare  # pyright: ignore[reportAttributeAccessIssue]
    stage.at(2, stage.requests.cancel, "enough")
    end = await stage.run()
    assert (stage.processes.commands, end.cancel_delivered, end.exit_status) == ([], True, None)


@virtual_time
async def test_cancel_waits_the_grace_then_terminates_then_kills(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.processes.main_dies_of = {KILL}
    stage.at(2, stage.requests.cancel, "enough")
    stage.at(3, lambda: stage.processes.spawn(7, KILL))
    end = await stage.run()
    assert json.loads((tmp_path / "cancel.json").read_text())["reason"] == "enough"
    assert stage.sent[:2] == [(12, 100, "SIGTERM"), (12, 7, "SIGTERM")]
    assert {pid for moment, pid, name in stage.sent if name == "SIGKILL" and 17 <= moment <= 17.1} == {100, 7}
    assert said(end) == ["cancel requested", "SIGTERM to 2 processes", "SIGKILL to 2 processes", "all gone"]
    assert (end.cancel_delivered, end.killed, end.exit_status) == (True, True, -9)


@virtual_time
async def test_on_a_full_disk_it_is_started_and_cancelled_all_the_same(tmp_path: Path) -> None:
    """It was once killed at the cancellation, and its end recorded by nobody."""
    stage = Stage(tmp_path)
    for name in ("process.json", "cancel.json"):
        (tmp_path / f"{name}.tmp").mkdir()  # nothing can be written there
    stage.at(2, stage.requests.cancel, "enough")
    stage.at(5, lambda: stage.child.end(0))
    end = await stage.run()
    assert stage.processes.sent == []
    assert (end.cancel_delivered, end.exit_status, said(end)) == (True, 0, ["cancel requested"])


@virtual_time
async def test_one_that_heeds_the_cancellation_gets_no_signal(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.at(2, stage.requests.cancel, "enough")

    def heed() -> None:
        assert stage.control.cancelled
        stage.child.end(0)

    stage.at(4, heed)
    end = await stage.run()
    assert (said(end), stage.sent, end.cancel_delivered) == (["cancel requested"], [], True)


@virtual_time
async def test_a_timeout_has_no_grace(tmp_path: Path) -> None:
    stage = Stage(tmp_path, timeout=30)
    end = await stage.run()
    assert stage.sent == [(30, 100, "SIGTERM")]
    assert (end.stopped_for, said(end)) == (StopCause.TIMEOUT, ["SIGTERM to 1 process", "all gone"])


@virtual_time
async def test_suspend_does_not_count_against_the_timeout_but_against_the_lease(tmp_path: Path) -> None:
    stage = Stage(tmp_path, timeout=100, deadline=START + 540)
    stage.at(20, setattr, stage.clock, "suspended", 3600.0)
    end = await stage.run()
    assert end.stopped_for is StopCause.RUNNER_LOST
    assert 20 <= stage.sent[0][0] <= 21


@virtual_time
async def test_the_runner_stops_an_attempt_by_itself_exactly_when_it_has_to(tmp_path: Path) -> None:
    """At nine tenths of the shortest `lost_after`: SIGKILL, 5 s later, still comes before the lease can be over."""
    stage = Stage(tmp_path, deadline=START + 54.4)
    stage.processes.main_dies_of = {KILL}
    end = await stage.run()
    (terminated, _, first), (killed, _, second) = stage.sent[:2]
    assert (round(terminated, 3), first, second) == (54.4, "SIGTERM", "SIGKILL")
    assert 59.4 <= killed < 59.5
    assert (end.stopped_for, end.killed) == (StopCause.RUNNER_LOST, True)
    assert said(end) == ["SIGTERM to 1 process", "SIGKILL to 1 process", "all gone"]


@virtual_time
async def test_a_lease_that_is_renewed_lets_it_go_on(tmp_path: Path) -> None:
    stage = Stage(tmp_path, deadline=START + 50)
    stage.at(40, setattr, stage, "deadline", START + 500)
    stage.at(400, lambda: stage.child.end(0))
    end = await stage.run()
    assert (end.stopped_for, stage.sent) == (None, [])


@virtual_time
async def test_what_it_leaves_behind_is_ended(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.at(1, lambda: stage.processes.spawn(7, TERM))
    stage.at(1, lambda: stage.processes.spawn(8, KILL))
    stage.at(2, lambda: stage.child.end(0))
    end = await stage.run()
    assert stage.sent[:2] == [(2, 7, "SIGTERM"), (2, 8, "SIGTERM")]
    assert stage.sent[2][1:] == (8, "SIGKILL")
    assert 7 <= stage.sent[2][0] <= 7.1
    assert said(end) == ["SIGTERM to 2 processes", "SIGKILL to 1 process", "all gone"]
    assert (end.exit_status, end.stopped_for, end.cancel_delivered) == (0, None, False)


@virtual_time
async def test_what_it_leaves_behind_is_ended_at_once_also_when_its_code_was_seen_to_end_first(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.at(1, lambda: stage.processes.spawn(7, TERM))
    stage.at(1, (tmp_path / "intent.json").write_text, "{}")
    stage.at(1, lambda: stage.requests.changed.set())
    stage.at(2, lambda: stage.child.end(0))
    end = await stage.run()
    assert stage.sent == [(2, 7, "SIGTERM")]
    assert said(end) == ["SIGTERM to 1 process", "all gone"]


@virtual_time
async def test_one_that_is_born_while_the_others_are_killed_is_killed_too(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.processes.main_dies_of = {KILL}
    stage.at(1, stage.requests.stop, StopCause.RUNNER_STOPPED)
    stage.at(6, lambda: stage.processes.spawn(7, KILL))
    await stage.run()
    assert stage.processes.others == {}


@virtual_time
async def test_a_fence_kills_at_once(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.at(3, stage.requests.end_lease)
    await stage.run()
    assert stage.sent == [(3, 100, "SIGKILL")]


@virtual_time
async def test_a_cancellation_after_the_experiment_has_ended_was_not_delivered(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.at(1, (tmp_path / "intent.json").write_text, "{}")
    stage.at(1.5, stage.requests.cancel, "too late")
    stage.at(2, lambda: stage.child.end(0))
    end = await stage.run()
    assert (end.cancel_delivered, said(end)) == (False, [])


@virtual_time
async def test_a_timeout_after_the_experiment_has_ended_is_not_the_cause(tmp_path: Path) -> None:
    stage = Stage(tmp_path, timeout=2)
    stage.at(1, (tmp_path / "intent.json").write_text, "{}")
    end = await stage.run()
    assert end.stopped_for is None
    assert said(end) == ["SIGTERM to 1 process", "all gone"]


@virtual_time
async def test_a_process_that_hangs_after_its_experiment_has_ended_is_ended(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.at(10.5, (tmp_path / "intent.json").write_text, "{}")
    end = await stage.run()
    assert 15 <= stage.sent[0][0] <= 17
    assert (end.stopped_for, end.exit_status) == (None, -15)


@virtual_time
async def test_cancelled_before_it_was_started_it_is_not_started(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.requests.cancel("enough")
    end = await stage.run()
    assert stage.processes.commands == []
    assert (end.cancel_delivered, end.exit_status, said(end)) == (True, None, [])


@virtual_time
async def test_an_interpreter_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.processes.error = FileNotFoundError(2, "No such file or directory")
    end = await stage.run()
    assert end.launch_error == "/python could not be started: No such file or directory"


@virtual_time
async def test_the_kernel_killing_something_is_noticed(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.at(1, setattr, stage.processes, "kills", 1)
    stage.at(2, lambda: stage.child.end(-9))
    end = await stage.run()
    assert (end.memory_kill, end.killed) == (True, False)
