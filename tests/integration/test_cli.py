"""The `athanor` command over a real connection, against an orchestrator that does what the test tells it to."""

import io
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from athanor.cli import session, words
from athanor.cli.__main__ import main
from athanor.v1 import (
    experiment_pb2,
    experiment_service_pb2,
    instance_pb2,
    run_event_pb2,
    run_pb2,
    run_policy_pb2,
    run_service_pb2,
    runner_pb2,
    verification_pb2,
)

from tests.support.fake_orchestrator import FakeRun, Refusal
from tests.support.fake_thread import FakeThread

V = verification_pb2.Verdict

SCHEMA = (
    '{"type":"object","properties":{"times":{"type":"integer","default":3,"title":"How often"},"a":{"type":"object"}}}'
)


@dataclass
class Done:
    """What a command ended with."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def server() -> Iterator[FakeThread]:
    with FakeThread() as server:
        server.do(server.fake.add_experiment, "hello", description="Says hello.", configuration_schema_json=SCHEMA)
        yield server


@pytest.fixture
def athanor(server: FakeThread, monkeypatch, capsys) -> Callable[..., Done]:
    """Call the command in this process, as in a pipe."""
    monkeypatch.setenv("ATHANOR_TARGET", server.target)
    monkeypatch.setenv("GRPC_VERBOSITY", "NONE")
    monkeypatch.setattr(session, "given", session.Globals())

    def call(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["athanor", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return Done(int(ended.value.code or 0), said.out, said.err)

    return call


def make_run(server: FakeThread, state: int | None = run_pb2.RUN_STATE_COMPLETED, id: str | None = None) -> FakeRun:
    """A run with a log and a result, ended unless `state` is None."""

    def make() -> FakeRun:
        run = server.fake.add_run("hello", id)
        server.fake.begin(run)
        server.fake.log(run, "one", 10)
        server.fake.log(run, "two", 30, metadata_json='{"i": 2.50}', source="stdout")
        server.fake.result(run, "score", '{"accuracy": 0.9750, "n": 12345678901234567890}')
        if state is not None:
            failure = run_pb2.Failure(kind=1, message="ValueError: boom", detail="Traceback of the experiment")
            server.fake.end(run, state, failure if state == run_pb2.RUN_STATE_FAILED else None)
        return run

    return server.do(make)


def drive(server: FakeThread, state: int = run_pb2.RUN_STATE_COMPLETED, failure: Any = None) -> threading.Thread:
    """Play the runner: execute the first run that is started."""

    def work() -> None:
        deadline = time.monotonic() + 20
        while not server.fake.runs and time.monotonic() < deadline:
            time.sleep(0.01)
        run = next(iter(server.fake.runs.values()))
        server.do(server.fake.begin, run)
        server.do(server.fake.log, run, "working")
        server.do(server.fake.result, run, "answer", "42")
        server.do(server.fake.end, run, state, failure)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_experiments(athanor, server):
    traceback = 'Traceback:\n  File "/x/bad.py", line 7\nSyntaxError: no'
    broken = experiment_service_pb2.DiscoveryError(runner_id="x", module="bad.py", error=traceback)
    server.do(server.fake.discovery_errors.append, broken)
    listed = athanor("experiments", "list")
    assert listed.status == 0
    assert listed.out.splitlines()[0].split() == ["NAME", "RUNNERS", "TITLE", "DESCRIPTION"]
    assert "Says hello." in listed.out
    assert "could not load bad.py: SyntaxError: no (bad.py, line 7)" in listed.err
    document = athanor("experiments", "list", "--json").json
    assert [item["name"] for item in document["experiments"]] == ["hello"]
    assert document["experiments"][0]["configuration_schema"] == json.loads(SCHEMA)
    assert document["discovery_errors"][0]["module"] == "bad.py"
    shown = athanor("experiments", "show", "hello")
    assert "How often" in shown.out
    assert "attempts" not in shown.out
    assert athanor("experiments", "show", "hello", "--json").json["name"] == "hello"
    server.do(server.fake.add_experiment, "again", default_policy=run_policy_pb2.RunPolicy(max_attempts=3))
    assert "up to 3" in athanor("experiments", "show", "again").out


def test_instances_from_creation_to_deletion(athanor, server):
    made = athanor(
        "instances",
        "create",
        "hello",
        "--set",
        "times=5",
        "--set",
        "a.b=x",
        "--name",
        "mine",
        "--label",
        "k=v",
        "--json",
    ).json
    assert made["configuration"] == {"times": 5, "a": {"b": "x"}}
    assert (made["name"], made["labels"]) == ("mine", {"k": "v"})

    changed = athanor("instances", "update", made["id"], "--set", "a.b=y", "--description", "notes", "--json").json
    assert changed["configuration"] == {"times": 5, "a": {"b": "y"}}
    assert changed["description"] == "notes"
    [request] = server.fake.called("UpdateInstance")
    assert request.instance.etag == made["etag"]

    assert made["id"] in athanor("instances", "list").out
    assert [item["id"] for item in athanor("instances", "list", "--json").json["instances"]] == [made["id"]]
    shown = athanor("instances", "show", made["id"][:8]).out
    assert '"times": 5' in shown
    unsure = athanor("instances", "delete", made["id"])
    assert unsure.status == 2
    assert "add --yes" in unsure.err
    assert server.fake.called("DeleteInstance") == []
    assert athanor("instances", "delete", made["id"], "--yes", "--json").json == {"deleted": made["id"]}
    assert athanor("instances", "show", made["id"]).status == 5


def test_an_update_of_nothing_is_wrong_usage(athanor):
    done = athanor("instances", "update", "x")
    assert done.status == 2
    assert "nothing to change" in done.err


def test_a_run_is_followed_to_its_end(athanor, server):
    runner = drive(server)
    done = athanor(
        "run", "hello", "--set", "times=2", "--name", "n", "--label", "k=v", "--seed", "7", "--timeout", "5m"
    )
    runner.join()
    assert done.status == 0
    assert "info  working" in done.out
    assert "result answer = 42" in done.out
    assert "COMPLETED" in done.err
    [request] = server.fake.called("StartRun")
    assert (request.seed, dict(request.labels), request.policy.timeout.seconds) == (7, {"k": "v"}, 300)
    assert json.loads(next(iter(server.fake.instances.values())).configuration_json) == {"times": 2}


@pytest.mark.parametrize("command", ["run", "runs start"])
def test_how_often_a_run_is_tried_is_said_when_it_is_started(athanor, server, command):
    instance = athanor("instances", "create", "hello", "--json").json["id"]
    what = "hello" if command == "run" else instance
    options = ["--attempts", "3", "--backoff", "1m30s", "--lost-after", "2m", "--grace", "0", "--timeout", "250ms"]
    assert athanor(*command.split(), what, *options, "--detach").status == 0
    assert athanor(*command.split(), what, "--detach").status == 0
    said, unsaid = (request.policy for request in server.fake.called("StartRun"))
    assert said.max_attempts == 3
    assert (said.retry_backoff.seconds, said.lost_after.seconds) == (90, 120)
    assert (said.HasField("cancel_grace_period"), said.cancel_grace_period.seconds) == (True, 0)
    assert said.timeout.nanos == 250_000_000
    assert unsaid == run_policy_pb2.RunPolicy()


@pytest.mark.parametrize(
    ("state", "status"),
    [(run_pb2.RUN_STATE_COMPLETED, 0), (run_pb2.RUN_STATE_FAILED, 1), (run_pb2.RUN_STATE_CANCELLED, 3)],
)
def test_the_exit_status_tells_the_outcome(athanor, server, state, status):
    failure = run_pb2.Failure(kind=1, message="boom", detail="line 1\nline 2") if status == 1 else None
    runner = drive(server, state, failure)
    done = athanor("run", "hello")
    runner.join()
    assert done.status == status
    if status == 1:
        assert "EXCEPTION: boom" in done.err
        assert "line 2" in done.err


def test_a_run_that_is_followed_as_json_lines(athanor, server):
    runner = drive(server)
    done = athanor("run", "hello", "--json")
    runner.join()
    assert done.status == 0
    assert "run" in done.lines[0]
    assert [line["event"]["sequence"] for line in done.lines if "event" in line] == [1, 2, 3, 4, 5, 6]
    assert done.lines[-1]["run"]["state"] == "COMPLETED"
    assert done.err == ""


def test_a_detached_run_prints_its_id(athanor, server):
    done = athanor("run", "hello", "--detach")
    assert done.status == 0
    assert done.out.strip() in server.fake.runs
    assert athanor("run", "hello", "--detach", "--json").json["state"] == "PENDING"


def drive_all(server: FakeThread, count: int, states: dict[int, int]) -> threading.Thread:
    """Play the runner: execute so many runs, that of each seed to its state, else to COMPLETED."""

    def work() -> None:
        deadline = time.monotonic() + 20
        while len(server.fake.runs) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        for run in list(server.fake.runs.values()):
            server.do(server.fake.begin, run)
            server.do(server.fake.log, run, f"seed {run.run.seed}", 30)
            server.do(server.fake.result, run, "answer", "42")
            server.do(server.fake.end, run, states.get(run.run.seed, run_pb2.RUN_STATE_COMPLETED))

    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("states", "status"),
    [
        ({}, 0),
        ({8: run_pb2.RUN_STATE_CANCELLED}, 3),
        ({7: run_pb2.RUN_STATE_FAILED, 8: run_pb2.RUN_STATE_CANCELLED}, 1),
    ],
)
def test_several_runs_of_one_instance_are_followed_and_the_worst_is_the_exit_status(athanor, server, states, status):
    runner = drive_all(server, 3, states)
    done = athanor("run", "hello", "--repeat", "3", "--seed", "7")
    runner.join()
    assert done.status == status
    assert len(server.fake.instances) == 1
    assert [request.seed for request in server.fake.called("StartRun")] == [7, 8, 9]
    for number, seed in ((1, 7), (2, 8), (3, 9)):
        assert [
            line for line in done.out.splitlines() if line.startswith(f"#{number} ") and f"warn  seed {seed}" in line
        ]
    [id] = server.fake.instances
    assert f"athanor runs list --instance {id}" in done.err
    assert ("3 runs: 3 COMPLETED" in done.err) is (status == 0)


def test_several_runs_as_json_lines_each_with_its_id(athanor, server):
    runner = drive_all(server, 2, {})
    done = athanor("run", "hello", "--repeat", "2", "--json")
    runner.join()
    assert done.status == 0
    assert {line["run_id"] for line in done.lines} == set(server.fake.runs)
    last = {line["run_id"]: line["run"]["state"] for line in done.lines if "run" in line}
    assert set(last.values()) == {"COMPLETED"}


def test_several_detached_runs_print_their_ids(athanor, server):
    done = athanor("run", "hello", "--repeat", "3", "--detach")
    assert done.out.split() == list(server.fake.runs)
    assert len(athanor("run", "hello", "--repeat", "2", "--detach", "--json").json["runs"]) == 2


def test_what_was_started_before_the_orchestrator_said_no_is_said(athanor, server):
    enter_call = server.fake.enter

    async def enter(method: str, request: Any, context: Any) -> None:
        if method == "StartRun" and server.fake.runs:
            server.fake.refusals[method].append(Refusal(grpc.StatusCode.PERMISSION_DENIED, "no more", "X"))
        await enter_call(method, request, context)

    server.fake.enter = enter
    done = athanor("run", "hello", "--repeat", "3")
    assert done.status == 5
    assert f"1 of 3 runs were started: {next(iter(server.fake.runs))}" in done.err


def test_a_configuration_comes_from_yaml_or_from_standard_input(athanor, server, tmp_path, monkeypatch):
    file = tmp_path / "c.yaml"
    file.write_text("times: 4  # often\na:\n  b: no\n")
    made = athanor("instances", "create", "hello", "--config", str(file), "--set", "a.c=1e-3", "--json").json
    assert made["configuration"] == {"times": 4, "a": {"b": "no", "c": 0.001}}
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"times": 5}'))
    assert athanor("instances", "create", "hello", "--config", "-", "--json").json["configuration"] == {"times": 5}
    file.write_text("times: 4\ntimes: 5\n")
    wrong = athanor("run", "hello", "--config", str(file))
    assert wrong.status == 2
    assert f"{file}, line 2: the key 'times' is there already" in " ".join(wrong.err.split())


def test_a_listing_of_nothing_says_how_there_comes_something(athanor):
    for listing, advice in (
        ("runs list", "`athanor run EXPERIMENT` starts one"),
        ("runs list --state failed", "`athanor run EXPERIMENT` starts one"),
        ("instances list", "`athanor instances create EXPERIMENT` makes one"),
        ("runners list", "`athanor up` starts one"),
    ):
        done = athanor(*listing.split())
        assert done.status == 0
        assert advice in done.err
        assert len(done.out.splitlines()) == 1
    assert athanor("runs", "list", "--json").json == {"runs": []}


def test_top_in_a_pipe_says_once_what_there_is_and_why_a_run_waits(athanor, server):
    runner = runner_pb2.Runner(id="019a0000-0000-7000-8000-00000000000a", display_name="box", connected=True, slots=1)
    runner.experiments.append("hello")
    server.do(server.fake.runners.__setitem__, runner.id, runner)
    running = make_run(server, None, id="019a0001-0000-7000-8000-000000000001")
    running.run.progress.CopyFrom(run_pb2.Progress(current=3, total=9, message="fit"))
    runner.run_ids.append(running.run.id)
    server.do(server.fake.add_run, "hello", "019a0000-0000-7000-8000-000000000002")
    server.do(server.fake.add_run, "other", "019a0002-0000-7000-8000-000000000003")
    make_run(server)
    lines = athanor("top").out.splitlines()
    assert lines[0] == "1 running, 2 pending; 1 runner connected, 1 of 1 slot used"
    assert [line.split()[:3] for line in lines[3:6]] == [
        [running.run.id, "hello", "RUNNING"],
        ["019a0000-0000-7000-8000-000000000002", "hello", "PENDING"],
        ["019a0002-0000-7000-8000-000000000003", "other", "PENDING"],
    ]
    assert lines[3].endswith("box     3/9 fit")
    assert lines[4].endswith("waits for a free slot")
    assert lines[5].endswith("no connected runner has 'other'")
    assert lines[8].split()[1:4] == ["box", "connected", "1/1"]
    assert len(athanor("top", "--once", "--json").json["runs"]) == 3


def test_an_instance_is_run_again(athanor, server):
    made = athanor("instances", "create", "hello", "--json").json
    started = athanor("runs", "start", made["id"], "--detach", "--json").json
    assert started["instance_id"] == made["id"]
    assert len(server.fake.instances) == 1


def test_a_run_that_nobody_can_execute_is_said(athanor, server):
    server.fake.experiments["hello"].available_runner_count = 0
    runner = drive(server)
    done = athanor("run", "hello")
    runner.join()
    assert "no connected runner has 'hello'" in done.err


def test_the_end_of_a_run_says_what_it_found(athanor, server):
    runner = drive(server)
    done = athanor("run", "hello")
    runner.join()
    assert done.err.splitlines()[-1] == "  answer  42"


def test_the_end_of_a_run_in_json_is_json_alone(athanor, server):
    runner = drive(server)
    done = athanor("run", "hello", "--json")
    runner.join()
    assert "answer" not in done.err
    assert not server.fake.called("ListResults")


def test_a_run_whose_module_is_broken_says_what_is_to_be_mended(athanor, server):
    server.do(server.fake.add_experiment, "torn", code=experiment_pb2.CodeVersion(module="torn:main"))
    server.fake.experiments["torn"].available_runner_count = 0
    trace = 'Traceback\n  File "/lab/torn.py", line 3\n    def (\nSyntaxError: invalid syntax'
    error = experiment_service_pb2.DiscoveryError(runner_id="x", module="torn", error=trace)
    server.do(server.fake.discovery_errors.append, error)
    runner = drive(server)
    done = athanor("run", "torn")
    runner.join()
    [id] = server.fake.runs
    assert "no connected runner has 'torn': its module torn could not be loaded" in done.err
    assert "SyntaxError: invalid syntax (torn.py, line 3)" in done.err
    assert f"mend it and the run starts; `athanor runs cancel {id}` ends the waiting" in done.err
    assert "SyntaxError: invalid syntax (torn.py, line 3); mend it" in athanor("experiments", "show", "torn").out


def test_ctrl_c_ends_the_watching_and_never_the_run(athanor, server):
    def interrupt() -> None:
        while not server.fake.called("WatchRun"):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    done = athanor("run", "hello")
    thread.join()
    [id] = server.fake.runs
    assert done.status == 130
    assert f"athanor logs {id} -f" in done.err
    assert f"athanor runs cancel {id}" in done.err
    assert server.fake.called("CancelRun") == []


def test_following_survives_a_restart_of_the_orchestrator(athanor, server):
    def restart() -> None:
        while not server.fake.called("WatchRun"):
            time.sleep(0.01)
        run = next(iter(server.fake.runs.values()))
        server.do(server.fake.begin, run)
        server.do(server.fake.kill)
        server.do(server.fake.log, run, "while it was away")
        server.do(server.fake.start)
        server.do(server.fake.end, run)

    thread = threading.Thread(target=restart)
    thread.start()
    done = athanor("run", "hello", "--json")
    thread.join()
    assert done.status == 0
    assert [line["event"]["sequence"] for line in done.lines if "event" in line] == [1, 2, 3, 4, 5]
    assert "the run goes on" in done.err


def test_runs(athanor, server):
    first = make_run(server, id="019a0000-0000-7000-8000-000000000001").run
    failed = make_run(server, run_pb2.RUN_STATE_FAILED, id="019a0001-0000-7000-8000-000000000002").run
    listed = athanor("runs", "list").out.splitlines()
    assert [line.split()[0] for line in listed] == ["ID", failed.id, first.id]
    assert "ValueError: boom" in listed[1]
    assert listed[0].split() == ["ID", "EXPERIMENT", "INSTANCE", "STATE", "CREATED", "TOOK", "RESULTS", "PROGRESS"]
    assert [run["id"] for run in athanor("runs", "list", "--state", "failed", "--json").json["runs"]] == [failed.id]
    assert athanor("runs", "list", "--json").json["runs"][0]["configuration"] == {}
    shown = athanor("runs", "show", "019a0001")
    assert "EXCEPTION: ValueError: boom" in shown.out
    assert "Traceback of the experiment" in shown.out
    server.fake.instances["i"] = instance_pb2.Instance(id="i", experiment="hello", name="plain")
    server.fake.runs[failed.id].run.instance_id = "i"
    assert "\ninstance       i  plain\n" in athanor("runs", "show", failed.id).out
    assert athanor("runs", "show", first.id, "--json").json["state"] == "COMPLETED"
    ambiguous = athanor("runs", "show", "019a")
    assert ambiguous.status == 2
    assert first.id in ambiguous.err
    unsure = athanor("runs", "delete", first.id)
    assert unsure.status == 2
    assert "add --yes" in unsure.err
    assert athanor("runs", "delete", first.id, "--yes", "--json").json == {"deleted": first.id}
    assert athanor("runs", "delete", first.id, "--yes").status == 5


def test_runs_of_a_period(athanor, server):
    made = [server.do(server.fake.add_run, "hello", f"019a000{n}-0000-7000-8000-000000000000").run for n in range(3)]
    now = datetime.now(UTC)
    for run, days in zip(made, (3, 1, 0), strict=True):
        run.create_time.FromDatetime(now - timedelta(days=days))

    def listed(*options: str) -> list[int]:
        found = athanor("runs", "list", "--json", *options).json["runs"]
        return [[run.id for run in made].index(one["id"]) for one in found]

    assert listed("--since", "2d") == [2, 1]
    assert listed("--until", "2h") == [1, 0]
    assert listed("--since", "yesterday", "--until", "1h") == [1]
    assert listed("--since", (now - timedelta(days=2)).isoformat(), "--limit", "1") == [2]
    wrong = athanor("runs", "list", "--until", "soon")
    assert (wrong.status, "Invalid value for --until: write how long ago" in wrong.err) == (2, True)


def of_one_instance(server: FakeThread) -> None:
    """Give all runs an instance that there is: comparing asks for its name."""
    server.fake.instances["i"] = instance_pb2.Instance(id="i", experiment="hello")
    for fake in server.fake.runs.values():
        fake.run.instance_id = "i"


def test_runs_that_are_left_out_of_a_comparison_are_said_to_be(athanor, server):
    for n in range(3):
        make_run(server, id=f"019a000{n}-0000-7000-8000-000000000000")
    of_one_instance(server)
    assert "newest" not in athanor("compare", "--experiment", "hello", "-n", "3").err
    some = athanor("compare", "--experiment", "hello", "-n", "2", "--json")
    assert len(some.json["runs"]) == 2
    assert "the newest 2 runs of hello; older ones" in some.err


def test_the_last_run_is_the_one_that_was_created_last(athanor, server):
    make_run(server, id="019a0000-0000-7000-8000-000000000001")
    last = make_run(server, None, id="019a0001-0000-7000-8000-000000000002").run
    newest, instance = last.id, last.instance_id
    server.fake.instances[instance] = instance_pb2.Instance(id=instance, experiment="hello", configuration_json="{}")
    unasked = athanor("runs", "cancel", "last")
    assert (unasked.status, server.fake.called("CancelRun")) == (2, [])
    assert f"nobody can be asked 'cancel run {newest} of hello, created " in unasked.err
    assert "add --yes" in unasked.err
    for command in (["runs", "show", "last"], ["runs", "cancel", "last", "--yes"], ["doctor", "last"]):
        assert newest in athanor(*command).out
    assert athanor("results", "last", "--json").json["run_id"] == newest
    assert "two" in athanor("logs", "LAST").out
    assert newest in athanor("export", "last", "--what", "events", "--format", "csv").err
    of_one_instance(server)
    assert athanor("compare", "last", "019a0000", "--json").json["runs"][0]["id"] == newest
    refused = athanor("runs", "delete", "last", "--yes")
    assert refused.status == 2
    assert "to delete one give its id" in refused.err
    assert server.fake.called("DeleteRun") == []


def test_a_run_is_shown_with_how_each_of_its_attempts_ended(athanor, server):
    policy = run_policy_pb2.RunPolicy(max_attempts=3)
    policy.retry_backoff.seconds, policy.lost_after.seconds = 5, 86400
    timeout = run_pb2.Failure(kind=run_pb2.Failure.KIND_TIMEOUT, message="ran past its timeout", exit_status=-15)
    lost = run_pb2.Failure(kind=run_pb2.Failure.KIND_RUNNER_LOST, message="its runner was silent for 61 s")

    def make() -> FakeRun:
        run = server.fake.add_run("hello", policy=policy)
        steps = [run_event_pb2.StopStep(action=action) for action in ("SIGTERM to 2 processes", "all gone")]
        for step in steps:
            step.time.FromSeconds(1_700_000_000)
        ended = run_event_pb2.AttemptEnded(outcome=2, failure=timeout, stop_steps=steps)
        server.fake.append(run, attempt_ended=ended)
        first = run.run.attempts.add(number=1, runner_id="one", outcome=2, failure=timeout, log_complete=True)
        first.start_time.FromSeconds(1_700_000_000)
        first.end_time.FromSeconds(1_700_000_090)
        run.run.attempts.add(number=2, runner_id="two", outcome=2, failure=lost, last_sequence=17)
        run.run.next_attempt_time.FromSeconds(1_700_000_200)
        return run

    run = server.do(make).run
    shown = athanor("runs", "show", run.id).out
    from_clock, next_clock = words.clock(datetime.fromtimestamp(1_700_000_000, UTC)), "next attempt from"
    assert [" ".join(line.split()) for line in shown.splitlines() if line.startswith(("attempts", "  "))][:8] == [
        "attempts 1: FAILED on runner one after 1m 30s",
        "log: complete",
        "TIMEOUT: ran past its timeout (exit status -15)",
        f"{from_clock} SIGTERM to 2 processes",
        f"{from_clock} all gone",
        "2: FAILED on runner two",
        "log: NOT complete, it reaches to event 17",
        "RUNNER_LOST: its runner was silent for 61 s",
    ]
    assert f"PENDING ({next_clock} " in shown
    assert "3 attempts, the second 5.0s after the first; a silent runner is given up after 1d 0h" in shown
    assert [one["failure"]["kind"] for one in athanor("runs", "show", run.id, "--json").json["attempts"]] == [
        "TIMEOUT",
        "RUNNER_LOST",
    ]


def test_cancelling(athanor, server):
    live = make_run(server, None)
    done = athanor("runs", "cancel", live.run.id, "--reason", "enough")
    assert (done.status, "cancelling" in done.out) == (0, True)
    assert live.run.cancel_reason == "enough"

    timer = threading.Timer(0.2, server.do, (server.fake.end, live, run_pb2.RUN_STATE_CANCELLED))
    timer.start()
    waited = athanor("runs", "cancel", live.run.id, "--wait", "--json")
    timer.join()
    assert waited.status == 0
    assert waited.json["state"] == "CANCELLED"


def test_a_cancellation_that_comes_too_late_says_so(athanor, server):
    ended = make_run(server)
    refused = athanor("runs", "cancel", ended.run.id)
    assert refused.status == 5
    assert "COMPLETED" in refused.err

    live = make_run(server, None)
    timer = threading.Timer(0.2, server.do, (server.fake.end, live))
    timer.start()
    done = athanor("runs", "cancel", live.run.id, "--wait")
    timer.join()
    assert done.status == 5
    assert "too late: the run COMPLETED" in done.err


def test_logs(athanor, server):
    run = make_run(server)
    id = run.run.id
    assert [line[9:] for line in athanor("logs", id).out.splitlines()] == [
        "debug one",
        'warn  stdout: two  {"i": 2.50}',
    ]
    assert "one" not in athanor("logs", id, "--level", "warn").out
    assert "one" not in athanor("logs", id, "--tail", "1").out
    assert [line["message"] for line in athanor("logs", id, "--json").lines] == ["one", "two"]
    assert [line["message"] for line in athanor("logs", id, "-f", "--json", "--level", "info").lines] == ["two"]
    assert [line["message"] for line in athanor("logs", id, "--json", "--tail", "0").lines] == []
    assert [line["message"] for line in athanor("logs", id, "--json", "--attempt", "2").lines] == []


@pytest.mark.parametrize("options", [[], ["--level", "error"], ["-f"], ["--tail", "0"]])
def test_below_the_log_of_a_run_that_failed_is_why(athanor, server, options):
    id = make_run(server, run_pb2.RUN_STATE_FAILED).run.id
    why = f"athanor: run {id} FAILED: EXCEPTION: ValueError: boom; `athanor runs show {id}` has its traceback\n"
    assert (athanor("logs", id, *options).err, athanor("logs", id, *options).status) == (why, 0)
    assert athanor("logs", id, "--json", *options).err == ""
    assert athanor("logs", make_run(server).run.id, *options).err == ""


def test_logs_since_a_moment(athanor, server):
    id = make_run(server).run.id
    assert len(athanor("logs", id, "--json", "--since", "1h").lines) == 2
    assert len(athanor("logs", id, "-f", "--json", "--since", "2026-01-01").lines) == 2
    assert athanor("logs", id, "--json", "--since", "2999-01-01T00:00:00Z").lines == []
    assert athanor("logs", id, "-f", "--json", "--tail", "1", "--since", "2999-01-01").lines == []
    assert len(athanor("logs", id, "--json", "--since", "yesterday").lines) == 2
    wrong = athanor("logs", id, "--since", "tomorrow")
    assert wrong.status == 2
    assert "write how long ago, like 90s or 1h30m, `today`, `yesterday`, or a time like 2026-01-31" in wrong.err
    assert "not 'tomorrow'" in wrong.err


def test_whole_times_of_a_log(athanor, server):
    [first, _] = athanor("logs", make_run(server).run.id, "--timestamps").out.splitlines()
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z debug one$", first)


@pytest.mark.parametrize(
    ("tail", "messages"), [("0", ["three"]), ("1", ["two", "three"]), ("9", ["one", "two", "three"])]
)
def test_the_newest_of_a_log_and_then_what_comes(athanor, server, tail, messages):
    run = make_run(server, None)

    def go_on() -> None:
        while not server.fake.called("WatchRun"):
            time.sleep(0.01)
        server.do(server.fake.log, run, "three")
        server.do(server.fake.end, run)

    thread = threading.Thread(target=go_on)
    thread.start()
    done = athanor("logs", run.run.id, "-f", "--tail", tail, "--json")
    thread.join()
    assert [line["message"] for line in done.lines] == messages


def test_logs_are_followed_until_the_run_has_ended(athanor, server):
    run = make_run(server, None)

    def go_on() -> None:
        while not server.fake.called("WatchRun"):
            time.sleep(0.01)
        server.do(server.fake.log, run, "three")
        server.do(server.fake.end, run)

    thread = threading.Thread(target=go_on)
    thread.start()
    done = athanor("logs", run.run.id, "-f")
    thread.join()
    assert done.status == 0
    assert [line.split()[-1] for line in done.out.splitlines()] == ["one", "2.50}", "three"]


def test_a_run_is_verified(athanor, server):
    id = make_run(server).run.id
    attempt = verification_pb2.AttemptFinding(number=1, verdict=V.VERDICT_COMPLETE, event_count=5, log_complete=True)
    certificate = run_service_pb2.VerifyRunResponse(
        verdict=V.VERDICT_COMPLETE, last_sequence=7, event_count=7, attempts=[attempt]
    )
    server.fake.certificates[id] = certificate
    whole = athanor("runs", "verify", id)
    assert (whole.status, whole.err) == (0, "")
    assert whole.out.splitlines()[0].startswith("complete: 7 events")
    assert athanor("runs", "verify", id, "--json").json["verdict"] == "COMPLETE"

    certificate.verdict = certificate.attempts[0].verdict = V.VERDICT_DAMAGED
    certificate.faults.add(kind=verification_pb2.LogFault.KIND_MISSING, first_sequence=3, last_sequence=4)
    damaged = athanor("runs", "verify", id)
    assert damaged.status == 1
    assert "events 3 to 4 are missing" in damaged.out
    document = athanor("runs", "verify", id, "--json")
    assert document.status == 1
    assert document.json["faults"][0]["kind"] == "MISSING"


@pytest.mark.parametrize(
    ("verdict", "status"),
    [("COMPLETE", 0), ("UNDER_WAY", 0), ("INCOMPLETE", 1), ("DAMAGED", 1), ("UNSPECIFIED", 1)],
)
def test_the_exit_status_tells_the_verdict(athanor, server, verdict, status):
    id = make_run(server).run.id
    number = V.Value(f"VERDICT_{verdict}")
    server.fake.certificates[id] = run_service_pb2.VerifyRunResponse(verdict=number)
    assert athanor("runs", "verify", id).status == status


def test_a_run_whose_log_is_not_complete_looks_whole_nowhere(athanor, server):
    run = make_run(server, run_pb2.RUN_STATE_FAILED)
    id = run.run.id
    for command in (["runs", "list"], ["runs", "show", id], ["logs", id], ["logs", id, "-f"], ["results", id]):
        done = athanor(*command)
        assert "ot complete" not in (done.out + done.err).replace("NOT", "not")
    assert "log: complete" in athanor("runs", "show", id).out

    run.run.log_incomplete = True
    run.run.attempts[0].log_complete = False
    run.run.attempts[0].last_sequence = 6
    assert "FAILED (log not complete)" in athanor("runs", "list").out
    assert "log: NOT complete, it reaches to event 6" in athanor("runs", "show", id).out
    for command in (["logs", id], ["logs", id, "-f"], ["logs", id, "--tail", "1"], ["results", id]):
        assert "log of this run is NOT complete: attempt 1 reaches to event 6" in athanor(*command).err
    assert "NOT complete" not in athanor("logs", id, "--json").out, "data is data"
    assert athanor("runs", "show", id, "--json").json["log_incomplete"] is True


def test_results(athanor, server):
    id = make_run(server).run.id
    document = athanor("results", id, "--json")
    assert document.json["run_id"] == id
    assert document.json["results"][0]["value"] == {"accuracy": 0.975, "n": 12345678901234567890}
    assert '"accuracy": 0.9750' in document.out, "the number is the very text that was recorded"
    assert athanor("results", id).out == 'score\t{"accuracy": 0.9750, "n": 12345678901234567890}\n'


def test_a_key_that_no_result_has_is_refused_with_those_that_there_are(athanor, server):
    run = make_run(server, None)
    id = run.run.id
    for options in ([], ["--json"]):
        refused = athanor("results", id, "--key", "other", *options)
        assert (refused.status, refused.out) == (5, "")
        assert refused.err == "athanor: no result has the key 'other'; there are score\n"
    for number in range(12):
        server.do(server.fake.result, run, f"fit/{number}", "1")
    refused = athanor("results", id, "--key", "other")
    assert refused.err.endswith("there are score, fit/0, fit/1, fit/2, fit/3, fit/4, fit/5, fit/6 and more\n")
    nothing = server.do(server.fake.add_run, "hello", "019a0000-0000-7000-8000-000000000002").run.id
    assert athanor("results", nothing, "--key", "other").err.endswith("'other'; there are none\n")
    assert athanor("results", nothing).status == 0


def test_a_run_that_is_named_twice_is_exported_to_one_file(athanor, server, tmp_path):
    id = make_run(server).run.id
    file = str(tmp_path / "x.csv")
    done = athanor("export", "last", id, id[:13], "-o", file)
    assert (done.status, done.err) == (0, f"wrote 1 result of run {id} to {file}\n")
    other = make_run(server).run.id
    refused = athanor("export", id, other, "-o", file, "--force")
    assert refused.status == 2
    assert "each run goes to a file of its own: put {run} into the name" in refused.err


def test_superseded_results_are_shown_when_asked_for_and_marked(athanor, server):
    run = make_run(server)
    server.do(server.fake.result, run, "score", "2")
    run.superseded.add(5)
    assert athanor("results", run.run.id).out == "score\t2\n"
    assert athanor("results", run.run.id, "--superseded").out == (
        'score\t{"accuracy": 0.9750, "n": 12345678901234567890}\tsuperseded\nscore\t2\n'
    )
    shown = athanor("results", run.run.id, "--superseded", "--json").json["results"]
    assert [one["superseded"] for one in shown] == [True, False]


def test_runners(athanor, server):
    server.fake.runners["x"] = runner_pb2.Runner(id="x", display_name="box", slots=2, connected=True)
    assert athanor("runners", "list", "--json").json["runners"][0]["display_name"] == "box"
    assert "connected" in athanor("runners", "list").out


@pytest.fixture
def box(server) -> str:
    """Of three runners, two of which begin alike, the one that is connected."""
    ids = ["0a11aaaa-0000-4000-8000-000000000000", "0a12aaaa-0000-4000-8000-000000000000", "f" * 36]
    for id in ids:
        server.fake.runners[id] = runner_pb2.Runner(id=id, display_name="box", slots=2, run_ids=["r1", "r2"])
    server.fake.runners[ids[1]].connected = True
    return ids[1]


def test_a_runner_is_drained_and_undrained_by_the_beginning_of_its_id(athanor, server, box):
    done = athanor("runners", "drain", "0A12")
    assert (done.status, done.out) == (0, f"runner {box} takes no more runs; it holds 2 runs, which go on\n")
    assert "draining" in athanor("runners", "list").out
    assert athanor("runners", "drain", "f" * 36, "--json").json["draining"] is True
    assert [line for line in athanor("runners", "list").out.splitlines() if "away, draining" in line]
    assert athanor("runners", "undrain", box).out == f"runner {box} takes runs\n"
    assert athanor("runners", "undrain", "0a12", "--json").json["draining"] is False

    done = athanor("runners", "drain", "0a1")
    assert done.status == 2
    assert "2 runners begin with '0a1'" in done.err
    done = athanor("runners", "drain", "5")
    assert (done.status, "there is no runner whose id begins with '5'" in done.err) == (5, True)


def test_a_silent_runner_is_given_up_and_a_connected_one_is_not(athanor, server, box):
    done = athanor("runners", "forget", "0a12")
    assert (done.status, done.out) == (5, "")
    assert f"runner {box} is connected: it was heard from 3 s ago" in done.err
    done = athanor("runners", "forget", "0a11")
    assert done.status == 0
    assert done.out.splitlines()[0].endswith("; it held 2 runs")
    assert done.out.splitlines()[1:] == ["ended the attempt of run r1", "ended the attempt of run r2"]
    document = athanor("runners", "forget", "f" * 36, "--json").json
    assert document == {"forgotten": "f" * 36, "run_ids": ["r1", "r2"]}
    server.do(server.fake.runners["f" * 36].run_ids.__delitem__, slice(None))
    assert athanor("runners", "forget", "ffff").out == f"gave up runner {'f' * 36}; it held no run\n"


def test_every_violation_is_listed_with_its_path(athanor, server):
    server.fake.refusals["CreateInstance"] = [
        Refusal(
            grpc.StatusCode.INVALID_ARGUMENT,
            "2 violations",
            "CONFIGURATION_INVALID",
            {"experiment": "hello"},
            violations=(
                ("instance.configuration_json/times", "0 is too small"),
                ("instance.configuration_json/x", "no"),
            ),
        )
    ]
    done = athanor("run", "hello", "--set", "times=0")
    assert done.status == 2
    assert "/times: 0 is too small" in done.err
    assert "/x: no" in done.err
    assert done.out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["runs", "show", "019a0000-0000-7000-8000-00000000dead"],
        ["runs", "show", "dead"],
        ["logs", "019a0000-0000-7000-8000-00000000dead"],
        ["logs", "-f", "019a0000-0000-7000-8000-00000000dead"],
        ["results", "019a0000-0000-7000-8000-00000000dead"],
        ["runs", "verify", "019a0000-0000-7000-8000-00000000dead"],
        ["runs", "cancel", "019a0000-0000-7000-8000-00000000dead"],
        ["instances", "show", "019a0000-0000-7000-8000-00000000dead"],
        ["experiments", "show", "dead"],
        ["run", "dead"],
    ],
)
def test_what_is_not_there_is_said(athanor, arguments):
    done = athanor(*arguments)
    assert done.status == 5
    assert done.err.startswith("athanor: there is no ")
    assert "dead" in done.err


@pytest.mark.parametrize(
    "command",
    ["run", "experiments show", "instances create", "runs list --experiment", "instances list --json --experiment"],
)
def test_of_an_experiment_that_is_not_there_the_one_that_was_meant_is_named(athanor, command):
    misspelt = athanor(*command.split(), "helo")
    assert (misspelt.status, misspelt.out) == (5, "")
    assert misspelt.err.startswith("athanor: there is no experiment")
    assert "; did you mean 'hello'? `athanor experiments list` shows those there are\n" in misspelt.err
    other = athanor(*command.split(), "another")
    assert (other.status, other.out, "did you mean" in other.err) == (5, "", False)


@pytest.mark.parametrize("listing", ["runs", "instances"])
def test_an_experiment_of_which_there_is_nothing_yet_is_no_mistake(athanor, listing):
    assert athanor(listing, "list", "--json", "--experiment", "hello").json == {listing: []}


@pytest.mark.parametrize("arguments", [["runs", "list"], ["run", "hello"], ["logs", "x"], ["experiments", "list"]])
def test_an_orchestrator_that_is_away(athanor, server, arguments, monkeypatch):
    monkeypatch.setattr(session, "_RETRY_FOR", 0.2)
    server.do(server.fake.kill)
    done = athanor(*arguments)
    assert done.status == 4
    assert server.target in done.err
    assert "connection refused" in done.err
    assert "athanor up" in done.err
    assert "--target" in done.err


def test_a_target_is_taken_before_or_after_the_command(athanor, server, monkeypatch):
    monkeypatch.setenv("ATHANOR_TARGET", "127.0.0.1:1")
    assert athanor("--target", server.target, "runs", "list").status == 0
    assert athanor("runs", "list", "--target", server.target).status == 0
    wrong = athanor("runs", "list", "--target", "http://x")
    assert wrong.status == 2
    assert "HOST:PORT" in wrong.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "hello", "--set", "times"],
        ["run", "hello", "--config", "/nowhere.json"],
        ["run", "hello", "--timeout", "soon"],
        ["run", "hello", "--label", "x"],
        ["run", "hello", "--attempts", "0"],
        ["run", "hello", "--attempts", "1001"],
        ["run", "hello", "--backoff", "soon"],
        ["runs", "start", "x", "--lost-after", "never"],
        ["run", "hello", "--seed", "-1"],
        ["runs", "list", "--state", "odd"],
        ["logs", "x", "--level", "loud"],
        ["nothing"],
        ["run"],
    ],
)
def test_wrong_usage_does_nothing(athanor, server, arguments):
    done = athanor(*arguments)
    assert done.status == 2
    assert done.out == ""
    assert server.fake.calls == []


def test_an_argument_that_is_no_text(athanor):
    done = athanor("instances", "create", "hello", "--name", "\udcff")
    assert done.status == 2
    assert "not valid text" in done.err


def test_a_fault_of_the_command_itself_is_no_traceback(athanor, monkeypatch):
    def broken(*arguments: object, **options: object) -> None:
        raise RuntimeError("odd")

    monkeypatch.setattr("athanor.cli.output.table", broken)
    done = athanor("runners", "list")
    assert done.status == 70
    assert "RuntimeError: odd" in done.err
    assert "--debug" in done.err


def test_debug_shows_tracebacks(server, monkeypatch):
    monkeypatch.setattr(session, "given", session.Globals())
    monkeypatch.setattr(sys, "argv", ["athanor", "--debug", "--target", server.target, "runs", "show", "x" * 36])
    with pytest.raises(Exception, match="there is no run"):
        main()
