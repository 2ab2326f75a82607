"""The `athanor` command at a terminal: what is drawn, and what Ctrl-C does."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from athanor.v1 import run_pb2, run_service_pb2

from tests.support.fake_thread import FakeThread

ATHANOR = Path(sys.executable).parent / "athanor"

# Opening a terminal without having one makes it the controlling one: then Ctrl-C is typed, not sent.
SHIM = "import os, sys; os.open(os.ttyname(0), os.O_RDWR); os.execv(sys.argv[1], sys.argv[1:])"


class Terminal:
    """A command with a terminal of its own."""

    def __init__(self, target: str, *arguments: str, **env: str) -> None:
        self.screen = ""
        self._master, slave = pty.openpty()
        environment = {**os.environ, "TERM": "xterm-256color", "ATHANOR_TARGET": target, "COLUMNS": "100", **env}
        self.process = subprocess.Popen(
            [sys.executable, "-c", SHIM, str(ATHANOR), *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            start_new_session=True,
        )
        os.close(slave)

    def wait_for(self, pattern: str, timeout: float = 20.0) -> None:
        deadline = time.monotonic() + timeout
        while not re.search(pattern, self.screen):
            assert time.monotonic() < deadline, f"no {pattern!r} in {self.screen!r}"
            assert self._read(0.1) or self.process.poll() is None, f"no {pattern!r} in {self.screen!r}"

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def wait(self) -> int:
        deadline = time.monotonic() + 20
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.screen
            self._read(0.05)
        while self._read(0.05):
            pass
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)

    def _read(self, seconds: float) -> bool:
        if not select.select([self._master], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # the other side is closed
            return False
        self.screen += data.decode(errors="replace")
        return bool(data)


@pytest.fixture
def server() -> Iterator[FakeThread]:
    with FakeThread() as server:
        server.do(server.fake.add_experiment, "hello")
        yield server


@pytest.fixture
def terminal(server: FakeThread) -> Iterator[object]:
    opened: list[Terminal] = []

    def open_terminal(*arguments: str, **env: str) -> Terminal:
        opened.append(Terminal(server.target, *arguments, **env))
        return opened[-1]

    yield open_terminal
    for one in opened:
        one.close()


def started(server: FakeThread):
    deadline = time.monotonic() + 20
    while not server.fake.called("WatchRun"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return next(iter(server.fake.runs.values()))


def test_a_run_is_followed_live(server, terminal):
    shown = terminal("run", "hello")
    run = started(server)
    server.do(server.fake.begin, run)
    server.do(server.fake.log, run, "fitting \x1b[31m[bold]")
    run.progress = run_pb2.Progress(current=73, total=100, message="almost")
    server.do(server.fake.touch, run)
    shown.wait_for("73/100")
    shown.wait_for("almost")
    server.do(server.fake.result, run, "score", "0.50")
    server.do(server.fake.end, run)
    assert shown.wait() == 0
    assert "fitting \\x1b[31m[bold]" in shown.screen
    assert "score = 0.50" in shown.screen
    assert "COMPLETED" in shown.screen
    assert "\x1b[?25h" in shown.screen, "the cursor is back"


def test_ctrl_c_at_the_terminal_detaches(server, terminal):
    shown = terminal("run", "hello")
    run = started(server)
    server.do(server.fake.begin, run)
    shown.wait_for("RUNNING")
    shown.type("\x03")
    assert shown.wait() == 130
    assert f"athanor runs cancel {run.run.id}" in shown.screen
    assert "Traceback" not in shown.screen
    assert "\x1b[?25h" in shown.screen, "the cursor is back"
    assert server.fake.called("CancelRun") == []


def test_no_color_is_respected(server, terminal):
    def make() -> str:
        run = server.fake.add_run()
        server.fake.log(run, "red", 40)
        server.fake.end(run)
        return run.run.id

    id = server.do(make)
    coloured = terminal("logs", id)
    assert coloured.wait() == 0
    assert "\x1b[31m" in coloured.screen
    plain = terminal("logs", id, NO_COLOR="1")
    assert plain.wait() == 0
    assert "red" in plain.screen
    assert "\x1b[31m" not in plain.screen


def test_results_are_tables(server, terminal):
    def make() -> str:
        run = server.fake.add_run()
        for n in range(3):
            server.fake.result(run, f"fit/{n}", f'{{"accuracy": 0.9{n}, "matrix": [1, 2, 3, 4, 5], "model": "svm"}}')
        server.fake.result(run, "mean", "0.91")
        server.fake.end(run)
        return run.run.id

    shown = terminal("results", server.do(make), NO_COLOR="1")
    assert shown.wait() == 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.screen)
    assert [row.split() for row in text.splitlines()] == [
        ["RESULT", "accuracy", "model"],
        ["fit/0", "0.9", "svm"],
        ["fit/1", "0.91", "svm"],
        ["fit/2", "0.92", "svm"],
        [],
        ["RESULT", "VALUE"],
        ["mean", "0.91"],
    ]


def test_a_deletion_is_asked_about(server, terminal):
    run = server.do(server.fake.add_run)
    shown = terminal("runs", "delete", run.run.id)
    shown.wait_for("y/N")
    shown.type("n\n")
    assert shown.wait() == 5
    assert server.fake.called("DeleteRun") == []
    sure = terminal("runs", "delete", run.run.id)
    sure.wait_for("y/N")
    sure.type("y\n")
    assert sure.wait() == 0
    assert len(server.fake.called("DeleteRun")) == 1


def test_a_verification_that_takes_its_time_shows_that_it_goes_on(server, terminal):
    run = server.do(server.fake.add_run)
    shown = terminal("runs", "verify", run.run.id)
    shown.wait_for(f"verifying run {run.run.id}")
    server.fake.certificates[run.run.id] = run_service_pb2.VerifyRunResponse(verdict=1, last_sequence=1, event_count=1)
    assert shown.wait() == 0
    assert "complete: 1 event, all that was recorded, unaltered" in shown.screen


def test_a_verification_can_be_given_up(server, terminal):
    run = server.do(server.fake.add_run)
    shown = terminal("runs", "verify", run.run.id)
    shown.wait_for("verifying run")
    shown.type("\x03")
    assert shown.wait() == 130
    assert "Traceback" not in shown.screen
