"""Every command that prints JSON, called against an orchestrator that has something of everything to show."""

import asyncio
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from athanor.v1 import (
    experiment_service_pb2,
    instance_pb2,
    run_event_pb2,
    run_pb2,
    run_service_pb2,
    runner_pb2,
    verification_pb2,
    watch_pb2,
)

from tests.support.fake_orchestrator import FakeRun, Refusal, now
from tests.support.fake_thread import FakeThread

SCHEMA = '{"type":"object","properties":{"times":{"type":"integer","default":3}}}'
FAILURE = run_pb2.Failure(
    kind=run_pb2.Failure.KIND_EXCEPTION, message="ValueError: boom", detail="Traceback", exit_status=1
)


@dataclass
class Said:
    """What a command ended with."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        """Its output as JSON Lines; one document is one line."""
        assert self.out, self.err
        return [json.loads(line) for line in self.out.splitlines()]


AWAY = "127.0.0.1:1"
WRONG = (
    "run hello --set tmies=3",  # the first to create an instance: it gets the one refusal
    "run nothing",
    "run hello --set times",
    "run hello --set times.x=1 --set times=1 --set times.x=1",
    "run hello --config missing.yaml",
    "run hello --label x",
    "run hello --timeout soon",
    "run hello --seed -1",
    "run hello --attempts 0",
    "run hello --repeat 0",
    "run",
    "runs start 0",
    "instances update 0",
    "instances show 0",
    "experiments show nothing",
    "runs show 0",
    "runs show 019a",
    "runs cancel 019a0000",
    "runs list --state gone",
    "runners forget 019a0000-0000-7000-8000-00000000000a",
    "runners drain 0",
    "logs 019a0000 --since tomorrow",
    "runs list --since 1h --until 2h",
    "logs 019a0000 --level loud",
    "results 0",
    "nothing",
    "logs --nothing",
    "compare",
    "compare 0",
    "compare 019a0000 --confidence 2",
    "compare 019a0000 --result nothing",
    "instances diff 0",
    "instances diff 0 1",
    "runs delete 019a0000",
    "export 019a0000 -o results.txt",
    "export 019a0000 -o missing/results.csv",
    "export 019a --what nothing",
    "new json",
    "new a-b",
    "new",
    "doctor 0",
    "doctor nothing",
    "doctor --wait soon",
    f"doctor --target {AWAY}",
    f"runs list --target {AWAY}",
    f"top --target {AWAY}",
    "runs list --target :0",
)


def wrong_calls(call: Callable[..., Said]) -> dict[str, Said]:
    """What is said, beside what is printed, to command lines that are wrong or come at a wrong time."""
    with FakeThread() as server, _target(server.target):
        server.do(_furnish, server)
        server.do(server.fake.add_run, "hello", "019a0001-0000-7000-8000-000000000002")
        said = "is not a field of this configuration; did you mean 'times'?"
        misspelt = Refusal(
            grpc.StatusCode.INVALID_ARGUMENT,
            reason="CONFIGURATION_INVALID",
            metadata={"experiment": "hello"},
            violations=(("instance.configuration_json/tmies", said),),
        )
        server.fake.refusals["CreateInstance"] = [misspelt]
        return {line: call(*line.split()) for line in WRONG}


def json_documents(call: Callable[..., Said]) -> dict[str, list[Any]]:
    """What each command that takes --json prints with it, by the words of the command."""
    with FakeThread() as server, _target(server.target):
        return _called(server, call)


def _called(server: FakeThread, call: Callable[..., Said]) -> dict[str, list[Any]]:
    run = server.do(_furnish, server)
    found = dict[str, list[Any]]()

    def put(command: str, *arguments: str) -> list[Any]:
        lines = call(*command.split(), *arguments, "--json").lines
        found.setdefault(command, []).extend(lines)
        return lines

    put("experiments list")
    put("experiments show", "hello")
    instance = put("instances create", "hello", "--set", "times=2", "--label", "k=v")[0]["id"]
    put("instances list")
    put("instances show", instance)
    put("instances update", instance, "--description", "x")
    put("runs list")
    put("runs show", run.run.id)
    put("results", run.run.id)
    put("logs", run.run.id)
    put("runs verify", run.run.id)
    put("runners list")
    live = server.do(_begun, server)
    put("top")
    put("doctor")
    repeats = [server.do(_repeat, server) for _ in range(2)]
    put("compare", run.run.id, *repeats)
    other = put("instances create", "hello", "--set", "times=4")[0]["id"]
    put("instances diff", instance, other)
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        put("export", run.run.id, "-o", "results.csv")
        put("new", "coin_toss")
    runner = "019a0000-0000-7000-8000-00000000000a"
    put("runners drain", runner)
    put("runners undrain", runner)
    put("runners forget", "019a0000-0000-7000-8000-00000000000b")
    for command, what in (("run", "hello"), ("runs start", instance)):
        put(command, what, "--detach")
        put(command, what, "--detach", "--repeat", "2")
        for repeat in ("1", "2"):
            runner_side = _execute(server)
            put(command, what, "--repeat", repeat)
            runner_side.join()
    put("runs cancel", live.run.id)
    found["runs watch"] = _watched(server, call, run.run)
    put("runs delete", run.run.id, "--yes")
    put("instances delete", instance, "--yes")
    return found


@contextmanager
def _target(address: str) -> Generator[None]:
    before = os.environ.get("ATHANOR_TARGET")
    os.environ["ATHANOR_TARGET"] = address
    try:
        yield
    finally:
        os.environ.pop("ATHANOR_TARGET")
        if before is not None:
            os.environ["ATHANOR_TARGET"] = before


def _furnish(server: FakeThread) -> FakeRun:
    fake = server.fake
    fake.add_experiment("hello", title="Hello", description="Says it.", configuration_schema_json=SCHEMA)
    hello = fake.experiments["hello"]
    hello.default_policy.timeout.seconds = 90
    hello.code.digest = "d"
    hello.other_versions.add(digest="e")
    hello.create_time.FromSeconds(1)
    hello.update_time.FromSeconds(1)
    error = experiment_service_pb2.DiscoveryError(runner_id="x", module="bad.py", error="SyntaxError")
    fake.discovery_errors.append(error)
    runner = runner_pb2.Runner(
        id="019a0000-0000-7000-8000-00000000000a", connected=True, slots=2, run_ids=["r"], experiments=["hello"]
    )
    runner.last_seen_time.FromSeconds(1)
    fake.runners[runner.id] = runner
    silent = runner_pb2.Runner(id="019a0000-0000-7000-8000-00000000000b", run_ids=["r"])
    fake.runners[silent.id] = silent
    made = fake.instances["i"] = instance_pb2.Instance(id="i", experiment="hello", configuration_json="{}")
    made.create_time.FromSeconds(1)
    made.update_time.FromSeconds(1)
    run = fake.add_run("hello", "019a0000-0000-7000-8000-000000000001", labels={"k": "v"}, instance_id="i", seed=7)
    _play(server, run, fail=True)
    found = verification_pb2.Verdict
    run_found = run_service_pb2.VerifyRunResponse(verdict=found.VERDICT_DAMAGED, last_sequence=9, event_count=8)
    run_found.attempts.add(number=1, verdict=found.VERDICT_DAMAGED, event_count=8, first_sequence=2, last_sequence=9)
    run_found.faults.add(kind=1, first_sequence=3, last_sequence=3, attempt=1, detail="x")
    fake.certificates[run.run.id] = run_found
    return run


def _play(server: FakeThread, run: FakeRun, *, fail: bool = False) -> None:
    """Let a run say something of everything, and end."""
    fake = server.fake
    fake.begin(run)
    fake.log(run, "one", 30, metadata_json='{"i": 1}', source="stdout")
    fake.log(run, "two")
    fake.result(run, "score", "0.5")
    fake.append(run, checkpoint=run_event_pb2.CheckpointSaved(state_json="{}"))
    run.progress = run_pb2.Progress(current=1, total=2, message="m")
    run.run.progress.CopyFrom(run.progress)
    run.run.policy.timeout.seconds = 90
    state, failure = (run_pb2.RUN_STATE_FAILED, FAILURE) if fail else (run_pb2.RUN_STATE_COMPLETED, None)
    fake.end(run, state, failure, [run_event_pb2.StopStep(action="all gone", time=now())])
    if fail:
        run.run.attempts[0].failure.CopyFrom(FAILURE)
        run.run.attempts[0].end_time.CopyFrom(run.run.end_time)


def _begun(server: FakeThread) -> FakeRun:
    """A run that goes on."""
    run = server.fake.add_run()
    server.fake.begin(run)
    return run


def _repeat(server: FakeThread) -> str:
    """A run that has completed, one of those of an instance with another configuration, and its id."""
    configuration = '{"times": 4}'
    server.fake.instances["repeated"] = instance_pb2.Instance(
        id="repeated", experiment="hello", configuration_json=configuration
    )
    run = server.fake.add_run("hello", instance_id="repeated")
    run.run.configuration_json = configuration
    _play(server, run)
    return run.run.id


def _execute(server: FakeThread) -> threading.Thread:
    """Play the runner for what is being watched, until every run of the fake has ended."""
    before = len(server.do(server.fake.called, "WatchRun"))

    def work() -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            watched = server.do(server.fake.called, "WatchRun")[before:]
            live = [run for run in server.fake.runs.values() if run.run.state == run_pb2.RUN_STATE_PENDING]
            mine = [run for run in live if run.run.id in {request.id for request in watched}]
            if watched and not mine:
                return
            for run in mine:
                server.do(_play, server, run)
            time.sleep(0.02)

    thread = threading.Thread(target=work, name="runner of the scenario")
    thread.start()
    return thread


def _watched(server: FakeThread, call: Callable[..., Said], run: run_pb2.Run) -> list[Any]:
    """What `runs watch` prints of everything that its stream can send, until the orchestrator refuses to go on."""
    pb = run_service_pb2
    server.do(
        server.fake.send,
        "WatchRuns",
        pb.WatchRunsResponse(run=run),
        pb.WatchRunsResponse(synced=watch_pb2.Synced()),
        pb.WatchRunsResponse(deleted=watch_pb2.Deleted(id="x")),
    )

    def refuse() -> None:
        server.fake.refusals["WatchRuns.middle"].append(Refusal(grpc.StatusCode.PERMISSION_DENIED, reason="X"))
        server.fake.watched_more.set()

    server.do(lambda: asyncio.get_running_loop().call_later(0.5, refuse) and None)
    return call("runs", "watch", "--json").lines
