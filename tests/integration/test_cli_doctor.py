"""`athanor doctor` against real systems, cause by cause."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from athanor.v1 import run_pb2

from tests.support.reader import free_port
from tests.support.screen import draw
from tests.support.system import BIN, System, wait_until

EXPERIMENTS = """
import time
from athanor.experiment import RunContext, experiment


@experiment(name="sleeper")
def sleeper(ctx: RunContext) -> None:
    while True:
        ctx.raise_if_cancelled()
        time.sleep(0.05)


@experiment(name="failing", max_attempts=3)
def failing(ctx: RunContext) -> None:
    raise ValueError("never works")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with experiments, for --path."""
    folder = tmp_path / "experiments"
    folder.mkdir()
    (folder / "naps.py").write_text(EXPERIMENTS)
    return folder


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with System(tmp_path / "system") as system:
        system.start_orchestrator()
        yield system


def doctor(system: System, *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit status, and the findings by subject."""
    done = system.cli("doctor", *arguments, "--json", check=False)
    document = json.loads(done.stdout)
    assert document["ok"] is (done.returncode == 0)
    return done.returncode, {one["subject"]: one for one in document["findings"]}


def start(system: System, experiment: str, *options: str) -> str:
    """Start a run, whether or not somebody can take it."""
    return system.cli_json("run", experiment, "--detach", *options)["id"]


def test_all_is_well(system: System, folder: Path) -> None:
    system.start_runner("lab", "--path", str(folder))
    system.wait_for_experiment("sleeper")
    status, found = doctor(system)
    assert status == 0
    own = ["software", "extras", "default data folder"]
    assert list(found) == [*own, "orchestrator", "runner lab", "experiments", "runs"]
    assert {one["mark"] for one in found.values()} == {"ok"}
    assert "sleeper" in found["experiments"]["text"]
    assert f"{system.target} serves, and answers in " in found["orchestrator"]["text"]
    assert found["orchestrator"]["text"].endswith(" ms: version 0.1.0, on SQLite")

    told = system.cli("doctor")
    assert told.stderr == "All is well.\n"
    assert all(line.startswith("ok    ") for line in told.stdout.splitlines())
    run = start(system, "failing", "--attempts", "1")
    system.wait_for_end(run)
    status, found = doctor(system, run[:30])
    assert (status, found[f"run {run}"]["mark"]) == (0, "warn")
    assert "has ended, FAILED" in found[f"run {run}"]["text"]


@pytest.mark.parametrize("columns", [80, 120])
def test_a_terminal_has_marks_in_colour_and_what_helps_below(tmp_path: Path, columns: int) -> None:
    with System(tmp_path) as system:
        screen = draw(
            [str(BIN / "athanor"), "doctor", "--target", "127.0.0.1:9"], columns=columns, cwd=tmp_path, env=system.env
        )
    assert screen.status == 1
    assert all(len(line) <= columns for line in screen.lines)
    assert "\x1b[1;31mfail\x1b[0m" in screen.raw
    assert "\x1b[32mok  \x1b[0m" in screen.raw
    assert [line.strip() for line in screen.lines[-2:]] == ["→ athanor up --listen 127.0.0.1:9", "1 fail."]


def test_nobody_is_there(tmp_path: Path) -> None:
    with System(tmp_path) as system:
        system.use("127.0.0.1:9")
        status, found = doctor(system)
        assert status == 1
        assert found["orchestrator"]["mark"] == "fail"
        assert found["orchestrator"]["command"] == "athanor up --listen 127.0.0.1:9"
        assert "runs" not in found
        told = system.cli("doctor", check=False)
        assert told.stdout.splitlines()[-1] == "      → athanor up --listen 127.0.0.1:9"
        assert told.stderr == "1 fail.\n"


def test_one_of_several_is_away(system: System) -> None:
    system.start_runner("lab")
    system.wait_for_experiment("hello")
    done = system.cli("doctor", "--target", f"127.0.0.1:9,{system.target}")
    lines = [line for line in done.stdout.splitlines() if "orchestrator" in line]
    assert [line.split()[0] for line in lines] == ["warn", "ok"]
    assert done.stderr == "1 warning.\n"


def test_somebody_else_is_there(tmp_path: Path) -> None:
    with System(tmp_path) as system, socket.create_server(("127.0.0.1", 0)) as other:
        # One that talks, and not HTTP/2.
        def answer() -> None:
            while True:
                try:
                    caller, _ = other.accept()
                except OSError:
                    return
                with caller:
                    caller.sendall(b"SSH-2.0-OpenSSH\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        system.use(f"127.0.0.1:{other.getsockname()[1]}")
        status, found = doctor(system)
        other.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        assert status == 1
        assert "Something listens there, and it is no orchestrator" in found["orchestrator"]["text"]
        assert found["orchestrator"]["command"] == "athanor up --listen 127.0.0.1:7401"


def test_no_runner_is_connected(system: System, folder: Path) -> None:
    status, found = doctor(system)
    assert (status, found["runners"]["mark"]) == (1, "fail")

    runner = system.start_runner("lab", "--path", str(folder))
    system.wait_for_experiment("sleeper")
    runner.stop()
    runs = [start(system, "sleeper") for _ in range(2)]
    status, found = doctor(system, runs[0])
    waiting = found[f"run {runs[0]}"]
    assert (status, waiting["mark"], waiting["command"]) == (1, "fail", "athanor up")
    assert "no runner is connected; lab has 'sleeper', and was last seen " in waiting["text"]
    assert found["runner lab"]["mark"] == "ok"

    _, found = doctor(system)
    assert found["2 runs of sleeper"]["text"] == waiting["text"] or "last seen" in found["2 runs of sleeper"]["text"]


def test_no_runner_has_the_experiment_or_its_module_is_broken(system: System, folder: Path) -> None:
    runner = system.start_runner("lab", "--path", str(folder))
    system.wait_for_experiment("sleeper")
    runner.stop()
    run = start(system, "sleeper")

    other = system.start_runner("other")
    system.wait_for_experiment("hello")
    status, found = doctor(system, run)
    waiting = found[f"run {run}"]
    assert (status, waiting["mark"], waiting["command"]) == (1, "fail", "athanor up --path FOLDER")
    assert "no connected runner has the experiment 'sleeper'; lab has 'sleeper', and was last seen" in waiting["text"]
    assert "(naps)" in waiting["text"]
    other.stop()

    (folder / "naps.py").write_text("def broken(:\n")
    system.start_runner("lab", "--path", str(folder))
    wait_until(lambda: system.cli_json("experiments", "list")["discovery_errors"], 20, "the module to be reported")
    status, found = doctor(system, run)
    waiting = found[f"run {run}"]
    assert (status, waiting["mark"], waiting["command"]) == (1, "fail", "athanor experiments list --json")
    assert "its module naps could not be loaded (SyntaxError:" in waiting["text"]
    assert found["module naps"]["mark"] == "warn"

    (folder / "naps.py").write_text(EXPERIMENTS)
    system.wait_for_state(run, run_pb2.RUN_STATE_RUNNING)
    system.cancel_run(run)
    system.wait_for_end(run)


def test_all_slots_are_taken_and_the_runner_drains(system: System, folder: Path) -> None:
    system.start_runner("lab", "--path", str(folder), "--slots", "1")
    system.wait_for_experiment("sleeper")
    first = start(system, "sleeper")
    system.wait_for_state(first, run_pb2.RUN_STATE_RUNNING)
    second = start(system, "sleeper")
    status, found = doctor(system, first)
    assert (status, found[f"run {first}"]["text"]) == (0, "is RUNNING")
    status, found = doctor(system)
    waiting = found[f"run {second}"]
    assert (status, waiting["mark"], waiting["command"]) == (0, "warn", "athanor runs list --state running")
    assert waiting["text"].startswith("waits for a slot: the runner lab with 'sleeper' executes 1 of 1 runs")

    [runner] = system.cli_json("runners", "list")["runners"]
    system.cli("runners", "drain", runner["id"])
    status, found = doctor(system)
    waiting = found[f"run {second}"]
    assert (status, waiting["mark"]) == (1, "fail")
    assert waiting["command"] == f"athanor runners undrain {runner['id']}"
    # The command that it names helps.
    system.cli(*waiting["command"].split()[1:])
    assert doctor(system)[0] == 0
    for run in (first, second):
        system.cancel_run(run)
        system.wait_for_end(run)


def test_a_run_waits_for_its_next_attempt(system: System, folder: Path) -> None:
    system.start_runner("lab", "--path", str(folder))
    system.wait_for_experiment("failing")
    run = start(system, "failing", "--backoff", "5m")
    wait_until(lambda: system.get_run(run).HasField("next_attempt_time"), 20, "the first attempt to fail")
    status, found = doctor(system)
    waiting = found[f"run {run}"]
    assert (status, waiting["mark"], waiting["command"]) == (0, "warn", f"athanor runs show {run}")
    assert "never works (exit status 1); the next one starts in " in waiting["text"]
    system.cancel_run(run)


def test_there_is_no_such_run(system: System) -> None:
    done = system.cli("doctor", "zz", check=False)
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr == (
        "athanor: there is no run and no experiment of the name 'zz'; "
        "`athanor runs list` and `athanor experiments list` show those there are\n"
    )


@pytest.mark.parametrize("text", ["last", "0198c5", "0198C5F1-0000-7", "019a0000-0000-7000-8000-00000000dead"])
def test_a_run_that_is_not_there_is_not_waited_for_as_an_experiment_that_may_come(system: System, text: str) -> None:
    system.start_runner("lab")
    system.wait_for_experiment("hello")
    began = time.monotonic()
    done = system.cli("doctor", text, "--wait", "30s", check=False)
    assert time.monotonic() - began < 15
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.startswith(f"athanor: there is no run and no experiment of the name '{text}'; ")
    assert "athanor up" not in done.stderr


def test_it_waits_until_the_orchestrator_is_there_and_a_runner_has_the_experiment(tmp_path: Path, folder: Path) -> None:
    with System(tmp_path / "system") as system:
        system.use(f"127.0.0.1:{free_port()}")
        waiting = threading.Thread(
            target=lambda: said.append(system.cli("doctor", "sleeper", "--wait", "60s", "--json", check=False))
        )
        said: list[Any] = []
        waiting.start()
        time.sleep(1.5)
        system.start_orchestrator()
        time.sleep(1.0)
        assert waiting.is_alive(), said
        system.start_runner("lab", "--path", str(folder))
        waiting.join(60)
        [done] = said
        assert (done.returncode, done.stderr) == (0, "")
        found = {one["subject"]: one for one in json.loads(done.stdout)["findings"]}
        assert found["experiment sleeper"]["mark"] == "ok"
        assert found["experiment sleeper"]["text"].startswith("the runner lab has it, and ")
        assert "runs" not in found, "what others wait for is not asked"

        # A run that waits for what nobody has keeps nobody waiting but who names it.
        system.runners["lab"].stop()
        run = start(system, "sleeper")
        system.start_runner("other")
        system.wait_for_experiment("hello")
        assert system.cli("doctor", "--wait", "30s").returncode == 0
        done = system.cli("doctor", run, "--wait", "1s", check=False)
        assert done.returncode == 1
        assert "waits: no connected runner has the experiment 'sleeper'" in done.stdout
        assert done.stderr.splitlines()[-1] == "athanor: not ready after 1.0s"


def test_it_does_not_wait_for_ever(tmp_path: Path) -> None:
    with System(tmp_path) as system:
        system.use("127.0.0.1:9")
        began = time.monotonic()
        done = system.cli("doctor", "--wait", "2s", check=False)
        assert 2 <= time.monotonic() - began < 15
        assert done.returncode == 1
        assert "127.0.0.1:9 is not available: connection refused" in done.stdout
        assert done.stderr == "1 fail.\nathanor: not ready after 2.0s\n"


def test_it_waits_for_an_experiment_that_was_never_there_and_says_what_is_broken(system: System, folder: Path) -> None:
    (folder / "broken.py").write_text("def broken(:\n")
    system.start_runner("lab", "--path", str(folder))
    system.wait_for_experiment("sleeper")
    status, found = doctor(system, "broken", "--wait", "1s")
    assert (status, found["experiment broken"]["mark"]) == (1, "fail")
    assert found["module broken"]["text"].startswith("could not be loaded: SyntaxError")
