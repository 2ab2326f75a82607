"""The `athanor` command as a process in a pipe: colours when they are forced, a reader that goes away."""

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest
from athanor.v1 import run_service_pb2

from tests.support.fake_thread import FakeThread
from tests.support.system import BIN, clean_environment


@pytest.fixture
def server() -> Iterator[FakeThread]:
    with FakeThread() as server:
        yield server


def environment(server: FakeThread, **more: str) -> dict[str, str]:
    return clean_environment() | {"ATHANOR_TARGET": server.target, "GRPC_VERBOSITY": "NONE"} | more


def make_log(server: FakeThread, count: int) -> str:
    def make() -> str:
        run = server.fake.add_run()
        server.fake.batch_size = 1000
        for n in range(count):
            server.fake.log(run, f"line {n} of a long log, longer than what a pipe holds", 30)
        server.fake.end(run)
        return run.run.id

    return server.do(make)


@pytest.mark.parametrize("follow", [False, True])
def test_a_reader_that_goes_away_ends_it_without_a_word(server, follow):
    id = make_log(server, 20_000)
    command = [str(BIN / "athanor"), "logs", id, *(["-f"] if follow else [])]
    child = subprocess.Popen(
        command, env=environment(server), stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    assert child.stdout
    assert child.stderr
    assert b"line 0 of" in child.stdout.readline()
    child.stdout.close()
    assert child.wait(30) == 141
    assert child.stderr.read() == b""
    child.stderr.close()


@pytest.mark.parametrize("command", [["logs", "last", "-f"], ["runs", "watch"], ["runs", "watch", "--json"]])
def test_a_reader_that_goes_away_is_noticed_while_nothing_is_written(server, command):
    def make() -> None:
        run = server.fake.add_run()
        server.fake.begin(run)
        server.fake.log(run, "the only line")
        server.fake.send("WatchRuns", run_service_pb2.WatchRunsResponse(run=run.run))

    server.do(make)
    child = subprocess.Popen(
        [str(BIN / "athanor"), *command],
        env=environment(server),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )
    assert child.stdout
    assert child.stderr
    try:
        assert child.stdout.readline()
        child.stdout.close()
        assert child.wait(30) == 141
        assert child.stderr.read() == b""
    finally:
        child.kill()
        child.wait()
        child.stderr.close()


@pytest.mark.parametrize(
    ("more", "coloured"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ({"NO_COLOR": "1"}, False),
    ],
)
def test_colours_in_a_pipe_only_when_they_are_forced(server, more, coloured):
    id = make_log(server, 2)
    done = subprocess.run(
        [str(BIN / "athanor"), "logs", id], env=environment(server, **more), capture_output=True, text=True, timeout=30
    )
    assert ("\x1b[33mwarn  line 0" in done.stdout) is coloured
    assert ("\x1b" in done.stdout) is coloured


def test_what_a_run_logged_is_in_a_pipe_as_it_is_and_whole(server):
    def make() -> str:
        run = server.fake.add_run()
        server.fake.log(run, "x" * 5000 + "\x1b[31m")
        server.fake.result(run, "big", '"' + "y" * 5000 + '"')
        server.fake.end(run)
        return run.run.id

    id = server.do(make)
    done = subprocess.run(
        [str(BIN / "athanor"), "logs", id], env=environment(server, COLUMNS="40"), capture_output=True, timeout=30
    )
    assert b"x" * 5000 + b"\x1b[31m\n" in done.stdout
    shown = subprocess.run(
        [str(BIN / "athanor"), "results", id], env=environment(server, COLUMNS="40"), capture_output=True, timeout=30
    )
    assert b"y" * 5000 in shown.stdout


def test_ctrl_c_while_a_log_is_followed_is_130(server):
    run = server.do(server.fake.add_run)
    server.do(server.fake.log, run, "first")
    child = subprocess.Popen(
        [str(BIN / "athanor"), "logs", run.run.id, "-f"],
        env=environment(server),
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert child.stdout
    assert b"first" in child.stdout.readline()
    os.kill(child.pid, signal.SIGINT)
    assert child.wait(30) == 130
    child.stdout.close()
