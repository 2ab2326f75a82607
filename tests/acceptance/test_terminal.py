"""What a person sees at a terminal of a system that runs: real processes from one end to the other."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.system import System
from tests.support.terminal import Terminal

EXPERIMENTS = Path(__file__).parent / "experiments"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with System(tmp_path_factory.mktemp("system"), paths=[EXPERIMENTS]) as system:
        system.start_orchestrator()
        system.start_runner("runner", "--slots", "2")
        system.wait_for_experiment("talking")
        yield system


@pytest.fixture
def terminal(system: System) -> Iterator[object]:
    opened: list[Terminal] = []

    def open_terminal(*arguments: str, columns: int = 80) -> Terminal:
        opened.append(Terminal(system.target, *arguments, columns=columns))
        return opened[-1]

    yield open_terminal
    for one in opened:
        one.close()


@pytest.mark.parametrize("columns", [80, 120])
def test_a_run_is_watched_live(terminal, columns):
    shown = terminal("run", "talking", columns=columns)
    shown.wait_for("[3-9]/10")
    assert shown.wait() == 0
    assert [int(n) for n in re.findall(r"step (\d+)", shown.text)] == list(range(10))
    assert "\x1b[33mwarn  step 2\x1b[0m" in shown.screen
    assert "\x1b[31merror step 3\x1b[0m" in shown.screen
    assert re.search("COMPLETED after .*: 10 results, 10 log lines", shown.text)


def test_several_runs_are_watched_live_and_the_worst_decides(terminal):
    shown = terminal(
        *("run", "talking", "--repeat", "3", "--seed", "7", "--set", "fail_with_seed=8", "--set", "pause=0.2")
    )
    shown.wait_for(r"#1 +RUNNING")
    shown.wait_for(r"#3 +PENDING")
    assert shown.wait() == 1
    assert "3 runs: 1 FAILED, 2 COMPLETED" in shown.text
    assert "EXCEPTION: ValueError: told to" in shown.text


def test_a_log_is_followed_from_its_newest_line(system, terminal):
    run = system.start_run("talking", {"steps": 60, "pause": 0.1})
    earlier = terminal("logs", "-f", run.id)
    earlier.wait_for("step 5")
    shown = terminal("logs", "-f", "--tail", "2", "--level", "info", run.id[:-1])
    assert shown.wait() == 0
    steps = [int(n) for n in re.findall(r"step (\d+)", shown.text)]
    assert steps[0] >= 3
    assert steps == [step for step in range(steps[0], 60) if step % 4]
    assert earlier.wait() == 0


def test_top_shows_what_runs_what_waits_and_why(system, terminal):
    shown = terminal("top", "--interval", "0.3", columns=120)
    runs = [system.start_run("talking", {"steps": 400, "pause": 0.05}) for _ in range(3)]
    shown.wait_for("2 running, 1 pending; 1 runner connected, 2 of 2 slots used")
    shown.wait_for("waits for a free slot")
    shown.wait_for(r"RUNNING +[\d.]+s +[1-9][\d.]* +\d+ +\S+ +\d+/400")
    for run in runs:
        system.cancel_run(run.id)
    shown.wait_for("CANCELLED")
    shown.type("\x03")
    assert shown.wait() == 130
