"""`athanor runs watch`, a process of its own as in a pipe, against an orchestrator that does what the test tells it."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from athanor.v1 import run_pb2, run_service_pb2

from tests.support.fake_thread import FakeThread
from tests.support.system import BIN, Child, clean_environment

RUNNING, COMPLETED = run_pb2.RUN_STATE_RUNNING, run_pb2.RUN_STATE_COMPLETED
SYNCED = run_service_pb2.WatchRunsResponse(synced={})


def run(id: str, state: int = RUNNING, **fields: Any) -> run_service_pb2.WatchRunsResponse:
    return run_service_pb2.WatchRunsResponse(run=run_pb2.Run(id=id, experiment="hello", state=state, **fields))


def gone(id: str) -> run_service_pb2.WatchRunsResponse:
    return run_service_pb2.WatchRunsResponse(deleted={"id": id})


@pytest.fixture
def server() -> Iterator[FakeThread]:
    with FakeThread() as server:
        yield server


@pytest.fixture
def watching(server: FakeThread, tmp_path: Path) -> Iterator[Callable[..., Child]]:
    started: list[Child] = []

    def start(*options: str) -> Child:
        env = clean_environment() | {"ATHANOR_TARGET": server.target, "GRPC_VERBOSITY": "NONE"}
        started.append(Child("watch", [str(BIN / "athanor"), "runs", "watch", *options], folder=tmp_path, env=env))
        return started[-1]

    yield start
    for child in started:
        if child.alive:
            child.kill()


def test_a_line_for_each_that_stands_changes_or_is_deleted_until_ctrl_c(server, watching):
    server.do(server.fake.send, "WatchRuns", run("a"), run("b"), SYNCED)
    child = watching("--experiment", "hello", "--label", "k=v")
    child.wait_for_line("^b  hello  RUNNING$")
    failure = run_pb2.Failure(kind=1, message="ValueError: boom")
    changed = [run("b", COMPLETED, result_count=3), run("a", run_pb2.RUN_STATE_FAILED, failure=failure), gone("b")]
    server.do(server.fake.send, "WatchRuns", *changed, gone("never seen"))
    child.wait_for_line("^b  deleted$")
    child.send(signal.SIGINT)
    assert child.wait() == 130
    assert child.lines == [
        "a  hello  RUNNING",
        "b  hello  RUNNING",
        "b  hello  COMPLETED  3 results",
        "a  hello  FAILED  0 results: EXCEPTION: ValueError: boom",
        "b  deleted",
    ]
    (request,) = server.do(server.fake.called, "WatchRuns")
    assert (request.experiment, dict(request.labels), request.active_only) == ("hello", {"k": "v"}, True)


def test_json_lines_say_all_of_it(server, watching):
    server.do(server.fake.send, "WatchRuns", run("a", configuration_json='{"n": 1}'), SYNCED, gone("a"))
    child = watching("--json", "--all")
    child.wait_for_line("deleted")
    child.send(signal.SIGINT)
    assert child.wait() == 130
    lines = [json.loads(line) for line in child.lines]
    assert [list(line) for line in lines] == [["begun"], ["run"], ["synced"], ["deleted"]]
    assert lines[1]["run"]["configuration"] == {"n": 1}
    (request,) = server.do(server.fake.called, "WatchRuns")
    assert (request.active_only, request.view) == (False, run_service_pb2.RUN_VIEW_FULL)


def test_what_happened_while_the_orchestrator_was_away_is_said_and_nothing_twice(server, watching):
    fake = server.fake
    ended = server.do(fake.add_run, "hello")
    ids = [ended.run.id, "b", "0" * 36]
    server.do(fake.send, "WatchRuns", *(run(id) for id in ids), SYNCED)
    child = watching()
    child.wait_for_line(f"^{ids[2]}  hello  RUNNING$")
    server.do(fake.kill)
    # One ends, one is deleted: neither is told of by a watch that leaves out what had ended when it began.
    server.do(fake.begin, ended)
    server.do(fake.end, ended)
    fake.watched["WatchRuns"] = [run("b"), SYNCED, run("c")]
    server.do(fake.start)
    child.wait_for_line("^c  hello  RUNNING$")
    assert child.lines[3:] == [f"{ids[2]}  deleted", *child.lines[4:5], "c  hello  RUNNING"]
    assert child.lines[4].startswith(f"{ids[0]}  hello  COMPLETED")
    assert "waiting for it, runs go on" in child.log
    child.send(signal.SIGINT)
    assert child.wait() == 130


def test_an_orchestrator_that_is_not_there_is_exit_status_4(watching, server):
    server.do(server.fake.kill)
    server.fake.server = None
    child = watching()
    assert child.wait() == 4
    assert "is not available" in child.log
