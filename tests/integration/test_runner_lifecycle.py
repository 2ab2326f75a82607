"""How a runner starts and stops."""

import asyncio
import json
import signal
from pathlib import Path

from athanor.runner.v1 import dispatch_service_pb2 as pb
from athanor.v1 import run_pb2

from tests.support.runner import Orchestrator, processes_of
from tests.support.runner_stage import Start, logging_run

COMPLETED = run_pb2.ATTEMPT_OUTCOME_COMPLETED
FAILED = run_pb2.ATTEMPT_OUTCOME_FAILED
Kind = run_pb2.Failure


class TestStopping:
    """SIGTERM and SIGINT."""

    async def test_with_nothing_to_do_it_says_goodbye_and_goes(self, orchestrator: Orchestrator, start: Start) -> None:
        runner = await start()
        await orchestrator.connected()
        runner.signal()
        assert await runner.wait(5) == 0
        assert [goodbye.reason for goodbye in orchestrator.goodbyes] == ["the runner was stopped"]
        # With nothing to wait for the goodbye may overtake the heartbeat that would have said so.
        assert all(beat.draining for beat in orchestrator.heartbeats[-1:])

    async def test_a_run_may_end_within_the_grace(
        self, orchestrator: Orchestrator, start: Start, tmp_path: Path
    ) -> None:
        runner = await start("--stop-grace", "20")
        lease = await orchestrator.give("waits_for_go", configuration=json.dumps({"folder": str(tmp_path)}))
        await orchestrator.until(lambda: "ready" in lease.lines)
        runner.signal(signal.SIGINT)
        await orchestrator.until(lambda: orchestrator.heartbeats[-1].draining)
        late = await orchestrator.give("returns")
        await orchestrator.until(lambda: late.declined)
        assert late.declined.reason == pb.DECLINE_REASON_DRAINING
        (tmp_path / "go").touch()
        assert await runner.wait() == 0
        await orchestrator.end_of(lease)
        assert lease.ended.outcome == COMPLETED
        assert orchestrator.goodbyes

    async def test_after_the_grace_runs_are_stopped(self, orchestrator: Orchestrator, start: Start) -> None:
        runner = await start("--stop-grace", "0.5")
        lease = await orchestrator.give("sleeps")
        await orchestrator.until(lambda: lease.lines)
        runner.signal()
        assert await runner.wait() == 0
        await orchestrator.end_of(lease)
        assert (lease.ended.outcome, lease.ended.failure.kind) == (FAILED, Kind.KIND_RUNNER_STOPPED)
        assert [step.action for step in lease.ended.stop_steps] == ["SIGTERM to 1 process", "all gone"]
        assert processes_of(lease.lease_id) == []
        assert orchestrator.goodbyes

    async def test_a_second_signal_does_it_at_once(self, orchestrator: Orchestrator, start: Start) -> None:
        runner = await start("--stop-grace", "600")
        lease = await orchestrator.give("sleeps")
        await orchestrator.until(lambda: lease.lines)
        runner.signal()
        await orchestrator.until(lambda: orchestrator.heartbeats[-1].draining)
        assert processes_of(lease.lease_id)
        runner.signal()
        assert await runner.wait() == 0
        await orchestrator.end_of(lease)
        assert lease.ended.failure.kind == Kind.KIND_RUNNER_STOPPED

    async def test_with_the_orchestrator_away_the_rest_is_shipped_at_the_next_start(
        self, orchestrator: Orchestrator, start: Start
    ) -> None:
        runner = await start("--stop-grace", "0.1", ATHANOR_RUNNER_SHIP="0.5")
        lease = await logging_run(orchestrator, 100_000, 0.001)
        await orchestrator.stop()
        runner.signal()
        assert await runner.wait(10) == 0
        assert processes_of(lease.lease_id) == []
        assert not orchestrator.goodbyes
        await orchestrator.start()
        await start()
        await orchestrator.end_of(lease)
        assert lease.ended.failure.kind == Kind.KIND_RUNNER_STOPPED


class TestStarting:
    """What a runner needs, and what it says when that is not there."""

    async def test_a_second_runner_on_the_same_folder(self, orchestrator: Orchestrator, start: Start) -> None:
        await start()
        await orchestrator.connected()
        second = await start()
        assert await second.wait() == 1
        [line] = [line for line in second.log.splitlines() if "another runner" in line]
        assert line == f"athanor-runner: another runner uses the state folder {second.state}"
        assert "Traceback" not in line
        await asyncio.sleep(0.3)
        assert len(orchestrator.hellos) == 1

    async def test_an_environment_without_athanor(
        self, orchestrator: Orchestrator, start: Start, tmp_path: Path
    ) -> None:
        bare = tmp_path / "python"
        bare.write_text('#!/bin/sh\nexec /usr/bin/env python3 -S -E "$@"\n')
        bare.chmod(0o755)
        runner = await start("--python", str(bare))
        assert await runner.wait() == 1
        assert f"athanor-runner: {bare} has no package `athanor`: install it there" in runner.log

    async def test_an_interpreter_that_does_not_exist(self, orchestrator: Orchestrator, start: Start) -> None:
        runner = await start("--python", "/no/such/python")
        assert await runner.wait() == 1
        assert "athanor-runner: /no/such/python cannot be started: No such file or directory" in runner.log

    async def test_a_refusal_for_good(self, orchestrator: Orchestrator, start: Start) -> None:
        orchestrator.refusal = pb.Refusal(reason="too old a runner")
        runner = await start()
        assert await runner.wait() == 1
        assert f"the orchestrator at {orchestrator.target} refused this runner: too old a runner" in runner.log

    async def test_a_refusal_for_now(self, orchestrator: Orchestrator, start: Start) -> None:
        orchestrator.refusal = pb.Refusal(reason="busy")
        orchestrator.refusal.retry_after.FromMilliseconds(200)
        runner = await start()
        await orchestrator.until(lambda: len(orchestrator.hellos) >= 2)
        orchestrator.refusal = None
        assert (await orchestrator.run("returns")).ended.outcome == COMPLETED
        assert "refused: busy; to be tried again in 0.2 s" in runner.log
