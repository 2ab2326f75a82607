"""The runner protocol over real streams, on both databases."""

import asyncio
from dataclasses import replace
from typing import Any

import grpc
import pytest
from athanor.runner.v1 import dispatch_service_pb2 as pb
from athanor.v1 import run_event_pb2, run_pb2, run_service_pb2, runner_service_pb2
from athanor_orchestrator.engine.timings import Timings

from tests.support.api import Api, refused, serving
from tests.support.scripted_runner import ScriptedRunner

QUICK = Timings(
    heartbeat_interval=0.2,
    reaper_interval=0.2,
    poll=0.2,
    keep_alive=0.5,
    retry_first=0.05,
    reconnect_after=0.1,
)


@pytest.fixture
async def api(database_url: str):
    async with serving(database_url, timings=QUICK) as api:
        await api.define("demo", "{}")
        yield api


@pytest.fixture
async def runner(api: Api):
    async with ScriptedRunner(api.channel) as runner:
        yield runner


async def start(api: Api) -> str:
    instance = await api.create_instance("demo")
    return (await api.start_run(instance.id)).id


async def get(api: Api, run_id: str) -> run_pb2.Run:
    return (await api.runs.GetRun(run_service_pb2.GetRunRequest(id=run_id))).run


async def cancel(api: Api, run_id: str, reason: str = "enough") -> None:
    await api.runs.CancelRun(run_service_pb2.CancelRunRequest(id=run_id, reason=reason))


async def read(api: Api, run_id: str, after: int = 0) -> tuple[list[bytes], list[run_pb2.Run]]:
    """Watch a run to its end; returns its events' bytes and the pictures of the run."""
    events: list[bytes] = []
    pictures: list[run_pb2.Run] = []
    async for item in api.runs.WatchRun(run_service_pb2.WatchRunRequest(id=run_id, after_sequence=after)):
        events += [event.SerializeToString(deterministic=True) for event in item.batch.events]
        if item.HasField("run"):
            pictures.append(item.run)
    return events, pictures


async def test_the_whole_life_of_a_run(api: Api, runner: ScriptedRunner):
    welcome = (await runner.hello()).welcome
    assert welcome.protocol == 1
    assert welcome.heartbeat_interval.ToTimedelta().total_seconds() == QUICK.heartbeat_interval
    assert 2 * 1024**2 <= welcome.max_delivery_bytes <= 3.5 * 1024**2
    assert welcome.max_unacknowledged_bytes >= welcome.max_delivery_bytes
    await runner.define("demo")

    run_id = await start(api)
    assignment, script = await runner.take_up()
    assert (assignment.run_id, assignment.attempt, assignment.next_sequence) == (run_id, 1, 2)
    assert assignment.policy.cancel_grace_period.seconds == 10
    watching = asyncio.create_task(read(api, run_id))

    report = await runner.report()
    assert [(a.lease_id, a.committed_sequence) for a in runner.opening.acknowledgements] == [(script.lease_id, 1)]
    await report.send(script.batch(script.started(), script.log("one")))
    await report.acknowledged(script.lease_id, 3)
    assert (await get(api, run_id)).state == run_pb2.RUN_STATE_RUNNING
    await report.send(script.batch(script.result("k", "1.50"), script.ended()))
    await report.acknowledged(script.lease_id, 5)

    events, pictures = await watching
    assert events[1:-1] == script.written
    assert [run_event_pb2.RunEvent.FromString(event).sequence for event in events] == [1, 2, 3, 4, 5, 6]
    assert pictures[-1].state == run_pb2.RUN_STATE_COMPLETED
    assert pictures[-1].attempts[0].log_complete
    results = await api.runs.ListResults(run_service_pb2.ListResultsRequest(run_id=run_id))
    assert [(each.result.key, each.result.value_json) for each in results.results] == [("k", "1.50")]


async def test_an_acknowledged_event_is_in_the_database_when_the_acknowledgement_comes(
    api: Api, runner: ScriptedRunner
):
    await runner.hello()
    await runner.define("demo")
    run_id = await start(api)
    _, script = await runner.take_up()
    report = await runner.report()
    await report.send(script.batch(script.started()))
    for _ in range(30):
        await report.send(script.batch(*script.logs(10)))
        await report.acknowledged(script.lease_id, script.last)
        assert (await get(api, run_id)).last_sequence == script.last


async def test_a_large_delivery_of_many_small_events(api: Api, runner: ScriptedRunner):
    await runner.hello()
    await runner.define("demo")
    run_id = await start(api)
    _, script = await runner.take_up()
    report = await runner.report()
    await report.send(script.batch(script.started(), *script.logs(20_000, "x" * 60)))
    await report.send(script.batch(*script.logs(10_000, "y" * 60)))
    await report.send(script.batch(script.ended()))
    await report.acknowledged(script.lease_id, script.last)
    events, pictures = await read(api, run_id)
    assert events[1:-1] == script.written
    assert pictures[-1].state == run_pb2.RUN_STATE_COMPLETED
    assert pictures[-1].log_count == 30_000


async def test_a_gap_is_answered_with_a_rewind(api: Api, runner: ScriptedRunner):
    await runner.hello()
    await runner.define("demo")
    await start(api)
    _, script = await runner.take_up()
    report = await runner.report()
    begun, later = [script.started(), script.log()], [script.log()]
    await report.send(script.batch(*later))
    (answer,) = (await report.answer()).acknowledgements
    assert (answer.committed_sequence, answer.rewind) == (1, True)
    await report.send(script.batch(*begun, *later))
    await report.acknowledged(script.lease_id, 4)


async def test_a_report_reopened_at_any_time_goes_on_from_the_last_acknowledgement(api: Api, runner: ScriptedRunner):
    await runner.hello()
    await runner.define("demo")
    run_id = await start(api)
    _, script = await runner.take_up()
    events = [script.started(), *script.logs(50), script.ended()]
    for upto in (10, 25, 52):
        report = await runner.report()
        committed = runner.opening.acknowledgements[0].committed_sequence
        await report.send(script.batch(*events[committed - 1 : upto], first=committed + 1))
        if upto == 25:
            report.call.cancel()  # whether it arrived is not known
        else:
            await report.acknowledged(script.lease_id, upto + 1)
    stored, pictures = await read(api, run_id)
    assert stored[1:-1] == script.written
    assert pictures[-1].state == run_pb2.RUN_STATE_COMPLETED


async def test_a_newer_session_takes_over_and_the_older_streams_are_aborted(api: Api, runner: ScriptedRunner):
    await runner.hello()
    await runner.define("demo")
    run_id = await start(api)
    assignment, script = await runner.take_up()
    report = await runner.report()
    await report.send(script.batch(script.started()))
    await report.acknowledged(script.lease_id, 2)

    async with ScriptedRunner(api.channel, runner.runner_id) as newer:
        held = pb.HeldAttempt(run_id=run_id, lease_id=assignment.lease_id, attempt=1, first_sequence=2, last_sequence=9)
        (verdict,) = (await newer.hello(2, held)).welcome.verdicts
        assert verdict.resume.next_sequence == 3

        for call in (runner.connect, report.call):
            refusal = await refused(call)
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "SESSION_SUPERSEDED")
        again = await runner.report(runner.session_id)
        assert (await refused(again.call)).reason == "SESSION_SUPERSEDED"

        fresh = await newer.report()
        await fresh.send(script.batch(script.log(), script.ended()))
        await fresh.acknowledged(script.lease_id, 4)
    assert (await get(api, run_id)).state == run_pb2.RUN_STATE_COMPLETED


async def test_refusals(api: Api):
    async with ScriptedRunner(api.channel) as runner:
        refusal = (await runner.hello(low=7, high=9)).refusal
        assert "speaks versions 1 to 1" in refusal.reason
        assert not refusal.HasField("retry_after")
    async with ScriptedRunner(api.channel) as runner:
        assert (await runner.hello(2)).HasField("welcome")
        async with ScriptedRunner(api.channel, runner.runner_id) as copy:
            assert "not newer" in (await copy.hello(2)).refusal.reason
        assert (await runner.beat()).nonce == 1


async def test_the_first_message_must_be_the_right_one(api: Api):
    async with ScriptedRunner(api.channel) as runner:
        await runner.say(heartbeat={})
        assert (await refused(runner.connect)).violations == {"hello": "must be the first message"}
        call = runner.stub.Report()
        await call.write(pb.ReportRequest(delivery={}))
        assert (await refused(call)).violations == {"open": "must be the first message"}


async def test_streams_that_say_nothing_end_quietly(api: Api):
    async with ScriptedRunner(api.channel) as runner:
        for call in (runner.stub.Connect(), runner.stub.Report()):
            await call.done_writing()
            assert [item async for item in call] == []
            assert await call.code() == grpc.StatusCode.OK


async def test_messages_of_a_newer_runner_are_ignored(api: Api, runner: ScriptedRunner):
    await runner.hello()
    await runner.connect.write(pb.ConnectRequest())
    await runner.say(definition={})
    assert (await runner.beat(nonce=5)).nonce == 5


async def test_a_cancellation_reaches_the_runner_at_once_and_its_heartbeats(api: Api, runner: ScriptedRunner):
    await runner.hello()
    await runner.define("demo")
    run_id = await start(api)
    assignment, script = await runner.take_up()
    await cancel(api, run_id)
    assert await runner.hear("cancel") == pb.Cancel(lease_id=assignment.lease_id, reason="enough")
    assert [each.reason for each in (await runner.beat(assignment.lease_id)).cancels] == ["enough"]

    report = await runner.report()
    await report.send(script.batch(script.started(), script.ended(run_pb2.ATTEMPT_OUTCOME_CANCELLED)))
    await report.acknowledged(script.lease_id, 3)
    assert (await get(api, run_id)).state == run_pb2.RUN_STATE_CANCELLED


async def test_a_declined_run_waits_for_another_runner(api: Api, runner: ScriptedRunner):
    await runner.hello()
    await runner.define("demo")
    run_id = await start(api)
    assignment, _ = await runner.take_up()
    await runner.say(decline=pb.Decline(lease_id=assignment.lease_id, reason=pb.DECLINE_REASON_NO_ROOM))
    async with ScriptedRunner(api.channel) as other:
        await other.hello()
        await other.define("demo")
        again, _ = await other.take_up()
        assert (again.run_id, again.attempt) == (run_id, 1)


async def test_goodbye_ends_the_session_and_gives_back_what_was_not_taken_up(api: Api, runner: ScriptedRunner):
    await runner.hello()
    await runner.define("demo")
    run_id = await start(api)
    await runner.take_up()
    await runner.say(goodbye={"reason": "stopped"})
    async with asyncio.timeout(5):
        assert await runner.connect.code() == grpc.StatusCode.OK
    shown = await api.runners.GetRunner(runner_service_pb2.GetRunnerRequest(id=runner.runner_id))
    assert not shown.runner.connected
    assert list(shown.runner.run_ids) == []
    assert (await get(api, run_id)).state == run_pb2.RUN_STATE_PENDING


async def test_silence_is_a_flag_and_a_hung_up_stream_is_not(database_url: str):
    timings = replace(QUICK, unreachable_after=2.0)
    async with serving(database_url, timings=timings) as api, ScriptedRunner(api.channel) as runner:
        await api.define("demo", "{}")
        run_id = await start(api)
        await runner.hello()
        await runner.define("demo")
        assignment, _ = await runner.take_up()
        await runner.beat(assignment.lease_id)
        runner.connect.cancel()

        asked = runner_service_pb2.GetRunnerRequest(id=runner.runner_id)
        shown = (await api.runners.GetRunner(asked)).runner
        assert shown.connected
        assert list(shown.run_ids) == [run_id]

        async with asyncio.timeout(20):
            while not (await get(api, run_id)).HasField("unreachable_since"):
                await asyncio.sleep(0.05)
            while (await api.runners.GetRunner(asked)).runner.connected:
                await asyncio.sleep(0.05)

        async with ScriptedRunner(api.channel, runner.runner_id) as newer:
            await newer.hello(2, pb.HeldAttempt(run_id=run_id, lease_id=assignment.lease_id, attempt=1))
            assert not (await get(api, run_id)).HasField("unreachable_since")


async def test_what_is_not_an_event_ends_the_attempt_and_harms_no_other(api: Api, runner: ScriptedRunner):
    await runner.hello()
    await runner.define("demo")
    run_ids = [await start(api), await start(api)]
    scripts = {}
    for _ in run_ids:
        assignment, script = await runner.take_up()
        scripts[assignment.run_id] = script
    good, bad = (scripts[run_id] for run_id in run_ids)
    report = await runner.report()
    await report.send(
        good.batch(good.started(), good.log()),
        bad.batch(bad.started(), b"\xff\xff", first=2),
    )
    acknowledged, fenced = [], []
    while not (acknowledged and fenced):
        answer = await report.answer()
        acknowledged += [each.lease_id for each in answer.acknowledgements]
        fenced += [each.lease_id for each in answer.fences]
    assert (acknowledged, fenced) == ([good.lease_id], [bad.lease_id])
    run = await get(api, run_ids[1])
    assert (run.state, run.failure.kind) == (run_pb2.RUN_STATE_FAILED, run_pb2.Failure.KIND_STORAGE)
    assert (await runner.beat(good.lease_id, bad.lease_id)).fences[0].lease_id == bad.lease_id


async def test_text_that_a_database_refuses_is_stored_in_the_event_all_the_same(api: Api, runner: ScriptedRunner):
    await runner.hello()
    await runner.define("demo")
    run_id = await start(api)
    _, script = await runner.take_up()
    report = await runner.report()
    await report.send(
        script.batch(
            script.started(),
            script.log("nul \0 here"),
            script.result("k\0", '"not\\u0000json"'),
            script.result("k", "NaN"),
            script.ended(run_pb2.ATTEMPT_OUTCOME_FAILED, run_pb2.Failure.KIND_EXCEPTION, "bro\0ken"),
        )
    )
    await report.acknowledged(script.lease_id, script.last)
    events, pictures = await read(api, run_id)
    assert events[1:-1] == script.written
    assert pictures[-1].failure.message == "bro\N{REPLACEMENT CHARACTER}ken"


async def test_progress_reaches_a_watcher_without_an_event(api: Api, runner: ScriptedRunner):
    await runner.hello()
    await runner.define("demo")
    run_id = await start(api)
    _, script = await runner.take_up()
    report = await runner.report()
    watch = api.runs.WatchRun(run_service_pb2.WatchRunRequest(id=run_id))
    progress = pb.ProgressReport(lease_id=script.lease_id, progress={"current": 3, "total": 9, "message": "m"})
    await report.send(progress=[progress])
    async with asyncio.timeout(5):
        async for item in watch:
            if item.HasField("progress"):
                assert (item.progress.current, item.progress.total, item.progress.message) == (3, 9, "m")
                break
    async with asyncio.timeout(5):
        while (await get(api, run_id)).progress.current != 3:
            await asyncio.sleep(0.05)


async def test_a_runner_that_does_not_read_its_answers_is_served_all_the_same(api: Api, runner: ScriptedRunner):
    await runner.hello()
    await runner.define("demo")
    run_id = await start(api)
    _, script = await runner.take_up()
    report = await runner.report()
    await report.send(script.batch(script.started()))
    for nonce in range(60):
        await report.send(script.batch(*script.logs(5)))
        await runner.say(heartbeat={"nonce": nonce, "lease_ids": [script.lease_id]})
    async with asyncio.timeout(20):
        while (await get(api, run_id)).last_sequence < script.last:
            await asyncio.sleep(0.05)
    await report.acknowledged(script.lease_id, script.last)


async def test_a_message_that_is_none_is_the_runner_s_fault_and_ends_its_stream_alone(
    api: Api, runner: ScriptedRunner, caplog: pytest.LogCaptureFixture
):
    await runner.hello()
    method = "/athanor.runner.v1.DispatchService/"
    opening = pb.ReportRequest(open=pb.Open(session_id=runner.session_id)).SerializeToString()
    for name, good in (("Connect", ()), ("Report", ()), ("Report", (opening,))):
        call: Any = api.channel.stream_stream(method + name)()
        for message in (*good, b"\xff\xff\xff garbage"):
            await call.write(message)
        told = await refused(call)
        assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert "incident" not in caplog.text
    await runner.beat()


async def test_stopping_tells_the_runner_to_come_back_and_ends_its_streams(database_url: str):
    async with serving(database_url, timings=QUICK) as api:
        await api.define("demo", "{}")
        async with ScriptedRunner(api.channel) as runner:
            await runner.hello()
            await runner.define("demo")
            run_id = await start(api)
            runner_id = runner.runner_id
            assignment, script = await runner.take_up()
            report = await runner.report()
            await report.send(script.batch(script.started()))
            await report.acknowledged(script.lease_id, 2)

            stopping = asyncio.create_task(api.orchestrator.stop())
            drain = await runner.hear("drain")
            assert drain.reconnect
            assert drain.reconnect_after.ToTimedelta().total_seconds() == QUICK.reconnect_after
            assert (await refused(runner.connect)).code == grpc.StatusCode.UNAVAILABLE
            assert (await refused(report.call)).code == grpc.StatusCode.UNAVAILABLE
            await stopping

    async with serving(database_url, timings=QUICK) as api, ScriptedRunner(api.channel, runner_id) as runner:
        held = pb.HeldAttempt(run_id=run_id, lease_id=assignment.lease_id, attempt=1, first_sequence=2, last_sequence=2)
        (verdict,) = (await runner.hello(2, held)).welcome.verdicts
        assert verdict.resume.next_sequence == 3
        report = await runner.report()
        await report.send(script.batch(script.ended()))
        await report.acknowledged(script.lease_id, 3)
        assert (await get(api, run_id)).state == run_pb2.RUN_STATE_COMPLETED
