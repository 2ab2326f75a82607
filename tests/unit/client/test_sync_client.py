"""The client that blocks, on gRPC's testing channel: what it asks, and what it makes of the answers."""

import queue
from collections.abc import Iterator

import grpc
import pytest
from athanor.client import (
    ConfigurationInvalidError,
    DeadlineExceededError,
    Instance,
    LogLevel,
    NotFoundError,
    Run,
    RunnerConnectedError,
    RunState,
    UnavailableError,
    WaitTimeoutError,
    _backoff,
)
from athanor.client._sync import watch as watch_module
from athanor.v1 import (
    experiment_pb2,
    experiment_service_pb2,
    instance_pb2,
    instance_service_pb2,
    run_event_pb2,
    run_pb2,
    run_service_pb2,
    runner_pb2,
    runner_service_pb2,
)

from tests.support.fake_orchestrator import Refusal, not_found
from tests.support.testing_channel import Stage, ended
from tests.support.watch_calls import batch_item, run_item

AWAY = grpc.StatusCode.UNAVAILABLE
COMPLETED = run_pb2.RUN_STATE_COMPLETED
RUN = run_pb2.Run(id="r", instance_id="i", experiment="hello", state=run_pb2.RUN_STATE_RUNNING)
INSTANCE = instance_pb2.Instance(id="i", experiment="hello", name="mine", configuration_json='{"n":1}', etag="1")


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr(_backoff, "delay", lambda failures: 0.0)
    stage = Stage(monkeypatch)
    yield stage
    stage.close()


def get_run(stage: Stage) -> Run:
    run = stage.do(lambda: stage.client.runs.get("r"))
    assert stage.answer("GetRun", run_service_pb2.GetRunResponse(run=RUN)).id == "r"
    return run.result(10)


def get_instance(stage: Stage) -> Instance:
    instance = stage.do(lambda: stage.client.instances.get("i"))
    stage.answer("GetInstance", instance_service_pb2.GetInstanceResponse(instance=INSTANCE))
    return instance.result(10)


def test_a_run_is_got_and_brought_up_to_date(stage):
    run = get_run(stage)
    assert (run.id, run.state) == ("r", RunState.RUNNING)
    again = stage.do(run.refresh)
    stage.answer("GetRun", run_service_pb2.GetRunResponse(run=run_pb2.Run(id="r", state=COMPLETED)))
    assert again.result(10) is run
    assert run.state is RunState.COMPLETED


def test_an_answer_that_says_no_is_the_exception_for_it(stage):
    run = stage.do(lambda: stage.client.runs.get("nope"))
    status = not_found("run", "nope").status()
    stage.refuse("GetRun", grpc.StatusCode.NOT_FOUND, status.details, status.trailing_metadata)
    with pytest.raises(NotFoundError, match="there is no run 'nope'") as caught:
        run.result(10)
    assert (caught.value.resource, caught.value.id) == ("run", "nope")


def test_every_violation_of_a_configuration_arrives(stage):
    made = stage.do(lambda: stage.client.instances.create("hello", {"n": 0}))
    status = Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "1 violation",
        "CONFIGURATION_INVALID",
        violations=(("instance.configuration_json/n", "is 0"),),
    ).status()
    stage.refuse("CreateInstance", grpc.StatusCode.INVALID_ARGUMENT, status.details, status.trailing_metadata)
    with pytest.raises(ConfigurationInvalidError) as caught:
        made.result(10)
    assert [(violation.pointer, violation.description) for violation in caught.value.violations] == [("/n", "is 0")]


def test_a_call_without_an_answer_in_time_says_how_long_that_was(stage):
    run = stage.do(lambda: stage.client.runs.get("r", timeout=2))
    stage.refuse("GetRun", grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
    with pytest.raises(DeadlineExceededError, match="did not answer within 2 s"):
        run.result(10)


def test_what_reads_is_asked_again_and_what_must_not_be_repeated_is_not(monkeypatch):
    monkeypatch.setattr(_backoff, "delay", lambda failures: 0.0)
    stage = Stage(monkeypatch, retry_for=10.0)
    run = stage.do(lambda: stage.client.runs.get("r"))
    stage.refuse("GetRun", AWAY, "Connection refused")
    stage.answer("GetRun", run_service_pb2.GetRunResponse(run=RUN))
    assert run.result(10).id == "r"
    deletion = stage.do(lambda: stage.client.runs.delete("r"))
    stage.refuse("DeleteRun", AWAY, "Connection refused")
    with pytest.raises(UnavailableError, match="nothing listens there"):
        deletion.result(10)
    stage.close()


def test_an_instance_is_made_of_an_experiment_and_started(stage):
    experiment = stage.do(lambda: stage.client.experiments.get("hello"))
    stage.answer(
        "GetExperiment",
        experiment_service_pb2.GetExperimentResponse(experiment=experiment_pb2.Experiment(name="hello")),
    )
    made = stage.do(lambda: experiment.result(10).create_instance({"n": 2**70}, labels={"k": "v"}))
    asked = stage.answer("CreateInstance", instance_service_pb2.CreateInstanceResponse(instance=INSTANCE))
    assert (asked.instance.experiment, asked.instance.name) == ("hello", "hello")
    assert asked.instance.configuration_json == f'{{"n":{2**70}}}'
    run = stage.do(lambda: made.result(10).start(seed=7))
    asked = stage.answer("StartRun", run_service_pb2.StartRunResponse(run=RUN))
    assert (asked.instance_id, asked.seed, len(asked.request_id)) == ("i", 7, 32)
    assert run.result(10).id == "r"


def test_an_instance_is_changed_in_place(stage):
    instance = get_instance(stage)
    changed = stage.do(lambda: instance.update(name="other", etag=instance.etag))
    after = instance_pb2.Instance(id="i", experiment="hello", name="other", etag="2")
    asked = stage.answer("UpdateInstance", instance_service_pb2.UpdateInstanceResponse(instance=after))
    assert (list(asked.update_mask.paths), asked.instance.etag) == (["name"], "1")
    assert changed.result(10) is instance
    assert (instance.name, instance.etag) == ("other", "2")


def test_the_runs_of_an_instance_are_listed_page_by_page(stage):
    instance = get_instance(stage)
    runs = stage.do(lambda: instance.runs(states=[RunState.RUNNING]).all())
    asked = stage.answer("ListRuns", run_service_pb2.ListRunsResponse(runs=[RUN], next_page_token="2"))
    assert (asked.instance_id, list(asked.states)) == ("i", [run_pb2.RUN_STATE_RUNNING])
    asked = stage.answer("ListRuns", run_service_pb2.ListRunsResponse(runs=[run_pb2.Run(id="s", state=COMPLETED)]))
    assert asked.page_token == "2"
    assert [run.id for run in runs.result(10)] == ["r", "s"]


def test_the_instance_of_a_run_is_asked_for(stage):
    run = get_run(stage)
    instance = stage.do(run.instance)
    assert stage.answer("GetInstance", instance_service_pb2.GetInstanceResponse(instance=INSTANCE)).id == "i"
    assert instance.result(10).name == "mine"


def test_cancelling_returns_at_once_or_when_the_run_has_ended(stage):
    run = get_run(stage)
    cancelled = stage.do(lambda: run.cancel("enough"))
    requested = run_pb2.Run(id="r", state=run_pb2.RUN_STATE_RUNNING, cancel_reason="enough")
    asked = stage.answer("CancelRun", run_service_pb2.CancelRunResponse(run=requested))
    assert (asked.id, asked.reason) == ("r", "enough")
    assert cancelled.result(10) is run
    assert (run.ended, run.cancel_reason) == (False, "enough")

    cancelled = stage.do(lambda: run.cancel(wait=True))
    stage.answer("CancelRun", run_service_pb2.CancelRunResponse(run=RUN))
    _, rpc = stage.stream("WatchRun", run_item(), run_item(run_pb2.RUN_STATE_CANCELLED))
    ended(rpc)
    assert cancelled.result(10) is run
    assert run.state is RunState.CANCELLED


def test_waiting_for_a_run_that_has_ended_asks_nobody(stage):
    run = stage.do(lambda: stage.client.runs.get("r"))
    stage.answer("GetRun", run_service_pb2.GetRunResponse(run=run_pb2.Run(id="r", state=COMPLETED)))
    assert run.result(10).wait().ended


def test_waiting_no_longer_than_that_leaves_the_run_alone(stage):
    run = get_run(stage)
    waiting = stage.do(lambda: run.wait(0.05))
    _, rpc = stage.stream("WatchRun", run_item())
    stage.answer("GetRun", run_service_pb2.GetRunResponse(run=RUN))
    with pytest.raises(WaitTimeoutError, match=r"run r has not ended within 0\.05 s; it goes on"):
        waiting.result(10)
    rpc.cancelled()  # blocks until it is


def test_a_silent_stream_is_given_up_for_another(stage, monkeypatch):
    monkeypatch.setattr(watch_module, "SILENCE", 0.05)
    run = get_run(stage)
    watched = stage.do(lambda: [type(item).__name__ for item in run.watch()])
    _, silent = stage.stream("WatchRun", run_item(), batch_item(1))
    silent.cancelled()  # blocks until it is
    asked, rpc = stage.stream("WatchRun", run_item(), batch_item(2), run_item(COMPLETED, 2))
    ended(rpc)
    assert asked.after_sequence == 1
    assert watched.result(10) == ["RunUpdated", "LogEntry", "LogEntry", "RunUpdated"]


def test_a_cut_watch_goes_on_behind_the_last_event_and_brings_the_run_up_to_date(stage):
    run = get_run(stage)
    seen = queue.SimpleQueue[str]()

    def watch() -> None:
        for item in run.watch():
            seen.put(type(item).__name__)

    watched = stage.do(watch)
    _, rpc = stage.stream("WatchRun", run_item(), batch_item(1, 2))
    assert [seen.get(timeout=10) for _ in range(3)] == ["RunUpdated", "LogEntry", "LogEntry"]
    ended(rpc, AWAY, "Socket closed")
    asked, rpc = stage.stream("WatchRun", run_item(), batch_item(3), run_item(COMPLETED, 3))
    ended(rpc)
    assert asked.after_sequence == 2
    watched.result(10)
    assert [seen.get(timeout=10) for _ in range(2)] == ["LogEntry", "RunUpdated"]
    assert run.state is RunState.COMPLETED


def test_logs_are_followed_by_the_name_of_a_level(stage):
    run = get_run(stage)
    messages = stage.do(lambda: [entry.message for entry in run.logs(level="warn", text="m", follow=True)])
    asked, rpc = stage.stream("WatchRun", run_item(), batch_item(2), run_item(COMPLETED, 3))
    ended(rpc)
    assert messages.result(10) == ["m2"]
    assert asked.filter.minimum_level == run_event_pb2.LOG_LEVEL_WARN
    assert list(asked.filter.kinds) == [run_service_pb2.RUN_EVENT_KIND_LOG]
    assert asked.filter.text == "m"


def test_logs_that_are_there_are_listed(stage):
    run = get_run(stage)
    newest = stage.do(lambda: run.logs(level=LogLevel.ERROR, descending=True, limit=2).all())
    asked = stage.answer("ListRunEvents", run_service_pb2.ListRunEventsResponse(events=batch_item(2, 1).batch.events))
    assert (asked.run_id, asked.descending, asked.page_size) == ("r", True, 2)
    assert [entry.message for entry in newest.result(10)] == ["m2", "m1"]


def test_a_followed_log_has_no_newest_entries_and_no_level_of_another_name(stage):
    run = get_run(stage)
    with pytest.raises(ValueError, match="in their order and without a limit"):
        run.logs(follow=True, limit=3)
    with pytest.raises(ValueError, match="there is no log level 'loud': it is debug, info, warn or error"):
        run.logs(level="loud")


def test_results_are_those_that_stand_unless_all_are_asked_for(stage):
    run = get_run(stage)
    response = run_service_pb2.ListResultsResponse()
    response.results.add(sequence=4, attempt=1, result=run_event_pb2.Result(key="score", value_json="0.5"))
    results = stage.do(lambda: run.results(key="score"))
    asked = stage.answer("ListResults", response)
    assert (asked.run_id, asked.key, asked.include_superseded) == ("r", "score", False)
    assert dict(results.result(10)) == {"score": [0.5]}

    old = run_event_pb2.Result(key="score", value_json="0.1")
    response.results.add(sequence=2, attempt=1, result=old, superseded=True)
    results = stage.do(lambda: run.results(include_superseded=True))
    asked = stage.answer("ListResults", response)
    assert asked.include_superseded
    assert dict(results.result(10)) == {"score": [0.5, 0.1]}


def test_a_runner_is_drained_and_given_up(stage):
    runner = stage.do(lambda: stage.client.runners.get("x"))
    there = runner_pb2.Runner(id="x", connected=True)
    stage.answer("GetRunner", runner_service_pb2.GetRunnerResponse(runner=there))
    drained = stage.do(lambda: runner.result(10).drain())
    after = runner_pb2.Runner(id="x", connected=True, draining=True)
    assert stage.answer("DrainRunner", runner_service_pb2.DrainRunnerResponse(runner=after)).id == "x"
    assert drained.result(10) is runner.result(10)
    assert drained.result(10).draining
    forgotten = stage.do(lambda: runner.result(10).forget())
    status = Refusal(grpc.StatusCode.FAILED_PRECONDITION, "it is connected", "RUNNER_CONNECTED").status()
    stage.refuse("ForgetRunner", grpc.StatusCode.FAILED_PRECONDITION, status.details, status.trailing_metadata)
    with pytest.raises(RunnerConnectedError):
        forgotten.result(10)


def test_a_closed_client_says_so(stage):
    run = get_run(stage)
    stage.client.close()
    with pytest.raises(RuntimeError, match="this client has been closed"):
        run.refresh()
    with pytest.raises(RuntimeError, match="this client has been closed"):
        next(iter(run.watch()))


@pytest.mark.parametrize("given", [{"timeout": "1h"}, {"give_up_after": "1h"}])
def test_waiting_takes_seconds(stage, given):
    with pytest.raises(TypeError, match=f"^{next(iter(given))} is a number of seconds"):
        stage.client.runs.wait("r", **given)
