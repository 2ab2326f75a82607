"""A run of several attempts through a real server, on both databases: what is sent, stored and listed."""

import json

import pytest
from athanor.client import AsyncClient, AttemptStarted, Result, RunState
from athanor.v1 import run_pb2, run_policy_pb2, run_service_pb2
from athanor_orchestrator.engine.timings import Timings
from google.protobuf.duration_pb2 import Duration

from tests.support.api import Api, serving
from tests.support.runner_script import Script
from tests.support.scripted_runner import ReportCall, ScriptedRunner

R = run_service_pb2
FAILED = run_pb2.ATTEMPT_OUTCOME_FAILED
LARGEST_CHECKPOINT = json.dumps("x" * (512 * 1024 - 2))
LARGE_CONFIGURATION = {"text": "x" * (250 * 1024)}


@pytest.fixture
async def api(database_url: str):
    async with serving(database_url, timings=Timings(poll=60)) as api:  # nothing here waits for a poll
        await api.define("demo", "{}")
        yield api


async def start(api: Api, attempts: int, configuration: object = None) -> run_pb2.Run:
    instance = await api.create_instance("demo", configuration=json.dumps(configuration or {}))
    policy = run_policy_pb2.RunPolicy(max_attempts=attempts, retry_backoff=Duration(nanos=300_000_000))
    return (await api.runs.StartRun(R.StartRunRequest(instance_id=instance.id, policy=policy))).run


async def get(api: Api, run_id: str) -> run_pb2.Run:
    return (await api.runs.GetRun(R.GetRunRequest(id=run_id))).run


async def results(api: Api, run_id: str, *, superseded: bool = False) -> list[tuple[str, int, bool]]:
    request = R.ListResultsRequest(run_id=run_id, include_superseded=superseded)
    return [(one.result.key, one.attempt, one.superseded) for one in (await api.runs.ListResults(request)).results]


async def fail(report: ReportCall, script: Script, *before: bytes) -> None:
    await report.send(script.batch(*before, script.ended(FAILED, run_pb2.Failure.KIND_EXCEPTION)))
    await report.acknowledged(script.lease_id, script.last)


async def test_the_largest_checkpoint_travels_with_a_large_configuration(api: Api) -> None:
    assert len(LARGEST_CHECKPOINT) == 512 * 1024
    run = await start(api, 2, LARGE_CONFIGURATION)
    async with ScriptedRunner(api.channel) as runner:
        await runner.hello()
        await runner.define("demo")
        _, script = await runner.take_up()
        report = await runner.report()
        await fail(report, script, script.started(), script.checkpoint(LARGEST_CHECKPOINT))

        assignment, script = await runner.take_up()
        assert (assignment.run_id, assignment.attempt, assignment.next_sequence) == (run.id, 2, 6)
        assert (assignment.checkpoint.sequence, assignment.checkpoint.state_json) == (3, LARGEST_CHECKPOINT)
        assert assignment.checkpoint.time.seconds > 0
        assert json.loads(assignment.configuration_json) == LARGE_CONFIGURATION


async def test_superseded_results_are_left_out_everywhere_and_shown_when_asked_for(api: Api, database_url: str) -> None:
    run = await start(api, 3)
    assert run.policy.lost_after.seconds == 600
    async with ScriptedRunner(api.channel) as runner:
        await runner.hello()
        await runner.define("demo")
        _, script = await runner.take_up()
        report = await runner.report()
        await fail(
            report, script, script.started(), script.result("a"), script.checkpoint("1"), script.result("b", '"first"')
        )
        between = await get(api, run.id)
        assert between.state == run_pb2.RUN_STATE_PENDING
        assert between.HasField("next_attempt_time")
        assert between.policy.lost_after.seconds == 600

        _, script = await runner.take_up()
        await fail(report, script, script.started(4), script.result("b", '"second"'))
        assert (await get(api, run.id)).policy.lost_after.seconds == 24 * 3600, "of the last attempt"
        assignment, script = await runner.take_up()
        assert assignment.policy.lost_after.seconds == 24 * 3600
        await report.send(script.batch(script.started(4), script.result("b", '"third"'), script.ended()))
        await report.acknowledged(script.lease_id, script.last)

    assert await results(api, run.id) == [("a", 1, False), ("b", 3, False)]
    assert await results(api, run.id, superseded=True) == [
        ("a", 1, False),
        ("b", 1, True),
        ("b", 2, True),
        ("b", 3, False),
    ]
    assert (await get(api, run.id)).result_count == 2

    # A client that folds the log itself comes to the same.
    async with AsyncClient(f"127.0.0.1:{api.orchestrator.port}") as client:
        folded: list[Result] = []
        async for item in client.runs.watch(run.id):
            match item:
                case AttemptStarted():
                    folded = [result for result in folded if not item.supersedes(result)]
                case Result():
                    folded.append(item)
        assert [(one.key, one.value) for one in folded] == [("a", 0.5), ("b", "third")]
        listed = await client.runs.results(run.id).all()
        assert [one.sequence for one in folded] == [one.sequence for one in listed]
        assert (await client.runs.get(run.id)).state is RunState.COMPLETED
