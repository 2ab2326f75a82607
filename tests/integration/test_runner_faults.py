"""The runner when it is killed, or fails, and comes back: real processes, a scripted orchestrator."""

import asyncio
import json
import os
import signal
from pathlib import Path

from athanor.experiment.spool import SpoolReader
from athanor.runner.v1 import dispatch_service_pb2 as pb
from athanor.v1 import run_event_pb2, run_pb2

from tests.support.runner import Orchestrator, processes_of
from tests.support.runner_stage import Start, another_boot, logging_run, numbers

COMPLETED = run_pb2.ATTEMPT_OUTCOME_COMPLETED
FAILED = run_pb2.ATTEMPT_OUTCOME_FAILED
Kind = run_pb2.Failure


async def test_runner_killed_and_started_again(orchestrator: Orchestrator, start: Start) -> None:
    runner = await start()
    lease = await logging_run(orchestrator, 100_000, 0.001)
    orchestrator.acknowledging = False
    await asyncio.sleep(0.3)
    before = processes_of(lease.lease_id)
    assert len(before) == 1
    runner.kill()
    await runner.wait()
    orchestrator.acknowledging = True

    await start()
    await orchestrator.end_of(lease)
    end = lease.ended
    assert (end.outcome, end.failure.kind) == (FAILED, Kind.KIND_RUNNER_RESTARTED)
    assert not end.failure.HasField("exit_status")
    assert processes_of(lease.lease_id) == []
    assert numbers(lease) == list(range(len(numbers(lease))))
    first, second = orchestrator.hellos
    assert (first.session_number, second.session_number) == (1, 2)
    assert first.runner_id == second.runner_id
    [held] = second.held_attempts
    assert (held.lease_id, held.attempt, held.first_sequence) == (lease.lease_id, 1, 2)
    # The folder was found as it was left: nothing had been numbered before the verdict.
    assert held.last_sequence == lease.last_sequence - 1


async def test_what_outlives_the_runner_is_killed_at_the_next_start(orchestrator: Orchestrator, start: Start) -> None:
    """A grandchild in a session of its own does not die with the runner: only the first process does."""
    runner = await start()
    lease = await orchestrator.give("deaf")
    await orchestrator.until(lambda: "deaf" in lease.lines)
    runner.kill()
    await runner.wait()
    assert processes_of(lease.lease_id)
    await start()
    await orchestrator.end_of(lease)
    assert processes_of(lease.lease_id) == []


async def test_what_outlives_the_runner_is_killed_though_its_assignment_cannot_be_read(
    orchestrator: Orchestrator, start: Start
) -> None:
    runner = await start()
    lease = await orchestrator.give("deaf")
    await orchestrator.until(lambda: "deaf" in lease.lines)
    runner.kill()
    await runner.wait()
    assert processes_of(lease.lease_id)
    assignment = runner.state / "attempts" / lease.lease_id / "assignment.json"
    document = json.loads(assignment.read_text())
    assignment.write_text(json.dumps({**document, "code": {"of a later version": 1}}))
    orchestrator.verdicts[lease.lease_id] = pb.Verdict(lease_id=lease.lease_id, keep=pb.Keep())
    second = await start()
    await orchestrator.connected(2)
    assert processes_of(lease.lease_id) == []
    assert list(orchestrator.hellos[1].held_attempts) == [pb.HeldAttempt(lease_id=lease.lease_id, unreadable=True)]
    assert assignment.exists()
    assert "cannot be gone on with, and the orchestrator will be told so" in second.log


async def test_one_that_had_ended_before_the_runner_was_killed(
    orchestrator: Orchestrator, start: Start, tmp_path: Path
) -> None:
    """Its intent is of this boot: it counts, whoever is killed afterwards."""
    runner = await start()
    lease = await orchestrator.give("waits_for_go", configuration=json.dumps({"folder": str(tmp_path)}))
    await orchestrator.until(lambda: "ready" in lease.lines)
    [pid] = processes_of(lease.lease_id)
    os.kill(runner.process.pid, signal.SIGSTOP)
    (tmp_path / "go").touch()
    intent = runner.state / "attempts" / lease.lease_id / "intent.json"
    await orchestrator.until(intent.exists)
    runner.kill()
    await runner.wait()
    await start()
    await orchestrator.end_of(lease)
    assert lease.ended.outcome == COMPLETED
    assert lease.lines == ["ready", "gone"]
    assert pid not in processes_of(lease.lease_id)


async def test_an_intent_of_another_boot_does_not_count(
    orchestrator: Orchestrator, start: Start, tmp_path: Path
) -> None:
    runner = await start()
    lease = await orchestrator.give("waits_for_go", configuration=json.dumps({"folder": str(tmp_path)}))
    await orchestrator.until(lambda: "ready" in lease.lines)
    os.kill(runner.process.pid, signal.SIGSTOP)
    (tmp_path / "go").touch()
    intent = runner.state / "attempts" / lease.lease_id / "intent.json"
    await orchestrator.until(intent.exists)
    runner.kill()
    await runner.wait()
    another_boot(intent.parent)
    await start()
    await orchestrator.until(lambda: lease.ended)
    assert (lease.ended.outcome, lease.ended.failure.kind) == (FAILED, Kind.KIND_RUNNER_RESTARTED)
    assert lease.ended.digest == b""  # a power cut may have taken a tail that nobody has seen


async def test_killed_after_the_end_was_recorded_it_is_not_recorded_twice(
    orchestrator: Orchestrator, start: Start
) -> None:
    runner = await start()
    await orchestrator.knows("returns")
    orchestrator.break_reports()
    lease = await orchestrator.give("returns")
    orchestrator.acknowledging = False
    await orchestrator.until(lambda: lease.ended)
    await asyncio.sleep(0.1)
    runner.kill()
    await runner.wait()
    kept = lease.events[2:]
    del lease.events[2:]  # as if the commit had not happened
    orchestrator.acknowledging = True
    again = await start()
    await orchestrator.end_of(lease)
    assert lease.events[2:] == kept
    folder = again.state / "attempts" / lease.lease_id
    await orchestrator.until(lambda: not folder.exists())


async def test_what_the_runner_gave_up_after_a_fault_of_its_own_is_told_as_that(
    orchestrator: Orchestrator, start: Start
) -> None:
    """Not named, it was once given back and executed again; resumed, it never ended."""
    runner = await start()
    lease = await orchestrator.give("heeds")
    await orchestrator.until(lambda: "waiting" in lease.lines)
    stderr = runner.state / "attempts" / lease.lease_id / "stderr"
    stderr.unlink()
    stderr.mkdir()  # what no reading of it is prepared for
    orchestrator.cancel(lease)
    await orchestrator.until(lambda: "given up by this process" in runner.log)
    stored = len(lease.events)
    orchestrator.break_session()
    await orchestrator.connected(2)
    beats = len(orchestrator.heartbeats)
    await orchestrator.until(lambda: len(orchestrator.heartbeats) > beats + 2)
    [held] = orchestrator.hellos[1].held_attempts
    assert (held.run_id, held.lease_id, held.attempt, held.unreadable) == (lease.run_id, lease.lease_id, 1, True)
    assert all(lease.lease_id not in beat.lease_ids for beat in orchestrator.heartbeats[beats:])
    assert processes_of(lease.lease_id) == []
    await orchestrator.until(lambda: lease.gone, "for process_gone")
    quarantine = runner.state / "quarantine" / lease.lease_id
    assert (quarantine / "stderr").is_dir()
    note = (quarantine / "NOTE.txt").read_text()
    assert lease.run_id in note
    assert "a fault of the runner: " in note
    assert not (runner.state / "attempts" / lease.lease_id).exists()
    assert len(lease.events) == stored
    assert (await orchestrator.run("returns")).ended.outcome == COMPLETED


async def test_what_the_runner_gave_up_goes_on_when_it_is_started_again_before_the_orchestrator_was_told(
    orchestrator: Orchestrator, start: Start
) -> None:
    runner = await start()
    lease = await orchestrator.give("heeds")
    await orchestrator.until(lambda: "waiting" in lease.lines)
    stderr = runner.state / "attempts" / lease.lease_id / "stderr"
    stderr.unlink()
    stderr.mkdir()
    orchestrator.cancel(lease)
    await orchestrator.until(lambda: "given up by this process" in runner.log)
    runner.signal()
    assert await runner.wait() == 0
    assert not orchestrator.goodbyes  # they mean that nothing is held
    stderr.rmdir()
    await start()
    await orchestrator.end_of(lease)
    assert lease.lines == ["waiting", "leaving early"]


async def test_an_attempt_that_can_be_followed_stops_by_itself_when_nobody_answers(
    orchestrator: Orchestrator, start: Start
) -> None:
    runner = await start()
    lease = await orchestrator.give("tracks", max_attempts=2, lost_after=2.0)
    other = await orchestrator.give("tracks", max_attempts=1, lost_after=2.0)
    await orchestrator.until(lambda: lease.lines and other.lines)
    await asyncio.sleep(2.5)
    assert processes_of(lease.lease_id)  # as long as heartbeats are answered
    await orchestrator.stop()
    attempts = runner.state / "attempts"
    await orchestrator.until(lambda: not processes_of(lease.lease_id))
    assert processes_of(other.lease_id)
    assert (attempts / lease.lease_id).exists()
    await orchestrator.start()
    await orchestrator.end_of(lease)
    assert (lease.ended.outcome, lease.ended.failure.kind) == (FAILED, Kind.KIND_RUNNER_LOST)
    orchestrator.cancel(other)
    await orchestrator.end_of(other)


async def test_one_that_stopped_by_itself_and_comes_back_when_the_lease_is_over_keeps_its_end_to_itself(
    orchestrator: Orchestrator, start: Start
) -> None:
    runner = await start()
    lease = await orchestrator.give("tracks", max_attempts=2, lost_after=2.0)
    await orchestrator.until(lambda: lease.lines)
    await orchestrator.stop()
    await orchestrator.until(lambda: not processes_of(lease.lease_id))
    spool = runner.state / "attempts" / lease.lease_id / "spool"
    await orchestrator.until(lambda: end_in(spool))

    lease.fenced, stored = "the runner had been given up", len(lease.events)
    await orchestrator.start()
    quarantine = runner.state / "quarantine" / lease.lease_id
    await orchestrator.until(lambda: quarantine.exists() and lease.gone)
    assert len(lease.events) == stored
    ended = end_in(quarantine / "spool")
    assert ended is not None
    assert (ended.outcome, ended.failure.kind) == (FAILED, Kind.KIND_RUNNER_LOST)
    assert (await orchestrator.run("returns")).ended.outcome == COMPLETED


async def test_an_orchestrator_that_takes_events_and_answers_no_heartbeat_is_silent_too(
    orchestrator: Orchestrator, start: Start
) -> None:
    """Only answered heartbeats say that the lease lives: what renews it there is what is counted here."""
    await start()
    lease = await orchestrator.give("tracks", max_attempts=2, lost_after=2.0)
    await orchestrator.until(lambda: lease.lines)
    orchestrator.answering = False
    await orchestrator.end_of(lease)
    assert (lease.ended.outcome, lease.ended.failure.kind) == (FAILED, Kind.KIND_RUNNER_LOST)
    assert [step.action for step in lease.ended.stop_steps] == ["SIGTERM to 1 process", "all gone"]


async def test_the_largest_checkpoint_is_restored_and_saved(orchestrator: Orchestrator, start: Start) -> None:
    await start()
    state = "a" + "x" * (512 * 1024 - 4) + "z"
    checkpoint = pb.RestoredCheckpoint(sequence=7, state_json=json.dumps(state))
    assert len(checkpoint.state_json) == 512 * 1024
    lease = await orchestrator.run("resumes", attempt=2, max_attempts=2, next_sequence=40, checkpoint=checkpoint)
    started, result, saved, _ = lease.parsed
    assert (started.sequence, started.attempt, started.attempt_started.restored_sequence) == (40, 2, 7)
    assert json.loads(result.result.value_json) == [len(state), "a", "z"]
    assert json.loads(saved.checkpoint.state_json) == state[::-1]


def end_in(spool: Path) -> run_event_pb2.AttemptEnded | None:
    """The end of an attempt, if it is recorded."""
    reader = SpoolReader(spool)
    try:
        reader.rewind(2)
        events = [run_event_pb2.RunEvent.FromString(event) for event in reader.read(1 << 20)]
    finally:
        reader.close()
    return events[-1].attempt_ended if events and events[-1].HasField("attempt_ended") else None


async def test_a_runner_that_stood_still_declines_what_it_then_reads(orchestrator: Orchestrator, start: Start) -> None:
    runner = await start()
    await orchestrator.knows("returns")
    os.kill(runner.process.pid, signal.SIGSTOP)
    orchestrator.answering = False
    lease = await orchestrator.give("returns")
    await asyncio.sleep(1.0)
    os.kill(runner.process.pid, signal.SIGCONT)
    await orchestrator.until(lambda: lease.declined)
    assert lease.declined.reason == pb.DECLINE_REASON_NO_ROOM
    assert lease.events == []
    orchestrator.answering = True
    await asyncio.sleep(0.5)
    assert (await orchestrator.run("returns")).ended.outcome == COMPLETED
