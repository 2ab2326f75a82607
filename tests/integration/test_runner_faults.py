"""The runner when something is killed, away, or says otherwise: real processes, a scripted orchestrator."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from athanor.experiment.spool import SpoolReader
from athanor.runner.v1 import dispatch_service_pb2 as pb
from athanor.v1 import run_event_pb2, run_pb2

from tests.support.runner import Granted, Orchestrator, Runner, end_processes_of, processes_of
from tests.support.runner_experiments import write_experiments

COMPLETED = run_pb2.ATTEMPT_OUTCOME_COMPLETED
FAILED = run_pb2.ATTEMPT_OUTCOME_FAILED
CANCELLED = run_pb2.ATTEMPT_OUTCOME_CANCELLED
Kind = run_pb2.Failure

Start = Callable[..., Coroutine[Any, Any, Runner]]


@pytest.fixture
async def orchestrator() -> AsyncIterator[Orchestrator]:
    double = Orchestrator()
    await double.start()
    yield double
    await double.stop()


@pytest.fixture
async def start(orchestrator: Orchestrator, tmp_path: Path) -> AsyncIterator[Start]:
    """Starts a runner; every one has the same state folder."""
    write_experiments(tmp_path)
    started: list[Runner] = []

    async def one(*arguments: str, **env: str) -> Runner:
        started.append(await Runner.start(orchestrator.target, tmp_path, *arguments, env=env))
        return started[-1]

    yield one
    for runner in started:
        await runner.close()
    end_processes_of(orchestrator.leases)
    if started:
        print(started[0].log)


async def logging_run(orchestrator: Orchestrator, count: int, pause: float = 0.0, size: int = 10) -> Granted:
    configuration = json.dumps({"count": count, "pause": pause, "size": size})
    lease = await orchestrator.give("logs", configuration=configuration)
    await orchestrator.until(lambda: len(lease.events) > 5)
    return lease


def numbers(lease: Granted) -> list[int]:
    return [int(line.split()[0]) for line in lease.lines]


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
    """The orchestrator does not hear of the lease again and ends the run; the folder stays for people."""
    runner = await start()
    lease = await orchestrator.give("deaf")
    await orchestrator.until(lambda: "deaf" in lease.lines)
    runner.kill()
    await runner.wait()
    assert processes_of(lease.lease_id)
    assignment = runner.state / "attempts" / lease.lease_id / "assignment.json"
    document = json.loads(assignment.read_text())
    assignment.write_text(json.dumps({**document, "code": {"of a later version": 1}}))
    second = await start()
    await orchestrator.connected(2)
    assert processes_of(lease.lease_id) == []
    assert not orchestrator.hellos[1].held_attempts
    assert assignment.exists()
    assert "its assignment cannot be read" in second.log


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
    document = json.loads(intent.read_text())
    intent.write_text(json.dumps({**document, "boot_id": "an earlier one"}))
    await start()
    await orchestrator.end_of(lease)
    assert (lease.ended.outcome, lease.ended.failure.kind) == (FAILED, Kind.KIND_RUNNER_RESTARTED)


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


async def test_events_that_a_power_cut_took_from_the_spool(orchestrator: Orchestrator, start: Start) -> None:
    """They had been sent and stored: the numbers go on behind them, and no digest is claimed."""
    runner = await start()
    lease = await logging_run(orchestrator, 100_000, 0.001)
    await orchestrator.until(lambda: len(lease.events) > 50)
    runner.kill()
    await runner.wait()
    await asyncio.sleep(0.1)
    [segment] = (runner.state / "attempts" / lease.lease_id / "spool").glob("*.seg")
    os.truncate(segment, 1000)
    stored = lease.last_sequence
    await start()
    await orchestrator.until(lambda: lease.ended)
    assert lease.last_sequence == stored + 1
    assert lease.ended.digest == b""
    assert lease.ended.event_count == len(lease.events)


async def test_a_torn_and_zero_filled_tail_is_cut(orchestrator: Orchestrator, start: Start) -> None:
    runner = await start()
    lease = await logging_run(orchestrator, 100_000, 0.001)
    runner.kill()
    await runner.wait()
    await asyncio.sleep(0.1)
    [segment] = (runner.state / "attempts" / lease.lease_id / "spool").glob("*.seg")
    with segment.open("ab") as file:
        file.write(b"\x40\x00\x00\x00half a record" + bytes(5000))
    await start()
    await orchestrator.end_of(lease)
    assert numbers(lease) == list(range(len(numbers(lease))))


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


async def ended_as_damaged(orchestrator: Orchestrator, lease: Granted, state: Path) -> None:
    """It said that it returned, but nobody claims that its log is whole; what there was is kept for people."""
    await orchestrator.until(lambda: lease.ended, "for the end")
    assert lease.ended.digest == b""
    assert lease.ended.event_count == len(lease.events)
    [aside] = (state / "quarantine").iterdir()
    assert "the spool is damaged" in (aside / "NOTE.txt").read_text()
    await orchestrator.until(lambda: not (state / "attempts" / lease.lease_id).exists())


@pytest.mark.parametrize("crash", [False, True], ids=["", "runner killed"])
async def test_a_damaged_event_that_was_not_shipped_is_not_passed_over(
    orchestrator: Orchestrator, start: Start, tmp_path: Path, crash: bool
) -> None:
    """The process had recorded it, and said so in its intent: to end the log before it would hide the loss."""
    runner = await start()
    lease = await orchestrator.give("waits_for_go", configuration=json.dumps({"folder": str(tmp_path)}))
    await orchestrator.until(lambda: "ready" in lease.lines)
    os.kill(runner.process.pid, signal.SIGSTOP)
    (tmp_path / "go").touch()
    folder = runner.state / "attempts" / lease.lease_id
    await orchestrator.until((folder / "intent.json").exists)
    [segment] = (folder / "spool").glob("*.seg")
    flip(segment, -1)
    if crash:
        runner.kill()
        await runner.wait()
        await start()
    else:
        os.kill(runner.process.pid, signal.SIGCONT)
    await ended_as_damaged(orchestrator, lease, runner.state)
    assert lease.lines == ["ready"]


@pytest.mark.parametrize("damage", [lambda path: flip(path, 20), lambda path: flip(path, 150), Path.unlink])
async def test_damage_to_what_was_shipped_does_not_keep_a_run_from_ending(
    orchestrator: Orchestrator, start: Start, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """The end was once numbered behind the damage, as an event that the orchestrator had long acknowledged."""
    runner = await start()
    lease = await orchestrator.give("waits_for_go", configuration=json.dumps({"folder": str(tmp_path)}))
    await orchestrator.until(lambda: "ready" in lease.lines)
    [segment] = (runner.state / "attempts" / lease.lease_id / "spool").glob("*.seg")
    damage(segment)
    (tmp_path / "go").touch()
    await ended_as_damaged(orchestrator, lease, runner.state)
    assert lease.lines[0] == "ready"


async def test_what_the_runner_gave_up_after_a_fault_of_its_own_is_no_longer_held(
    orchestrator: Orchestrator, start: Start
) -> None:
    """Nobody works on it until the runner is started again. It was once resumed by the next session and never ended."""
    runner = await start()
    lease = await orchestrator.give("heeds")
    await orchestrator.until(lambda: "waiting" in lease.lines)
    stderr = runner.state / "attempts" / lease.lease_id / "stderr"
    stderr.unlink()
    stderr.mkdir()  # what no reading of it is prepared for
    orchestrator.cancel(lease)
    await orchestrator.until(lambda: "given up by this process" in runner.log)
    orchestrator.break_session()
    await orchestrator.connected(2)
    beats = len(orchestrator.heartbeats)
    await orchestrator.until(lambda: len(orchestrator.heartbeats) > beats + 2)
    assert not orchestrator.hellos[1].held_attempts
    assert all(lease.lease_id not in beat.lease_ids for beat in orchestrator.heartbeats[beats:])
    assert processes_of(lease.lease_id) == []
    assert (await orchestrator.run("returns")).ended.outcome == COMPLETED

    stderr.rmdir()
    runner.kill()
    await runner.wait()
    await start()
    await orchestrator.end_of(lease)
    assert lease.lines == ["waiting", "leaving early"]


async def test_damage_in_a_segment_that_is_closed_ends_the_run(orchestrator: Orchestrator, start: Start) -> None:
    """What is in the newest segment may become whole; nothing else ever does, and a run must not wait for it."""
    runner = await start(ATHANOR_RUNNER_SEGMENT_BYTES="2000")
    await orchestrator.knows("logs")
    orchestrator.acknowledging = False
    orchestrator.max_unacknowledged_bytes = 0
    orchestrator.break_session()
    await orchestrator.connected(2)
    lease = await orchestrator.give("logs", configuration=json.dumps({"count": 100, "size": 100}))
    folder = runner.state / "attempts" / lease.lease_id
    await orchestrator.until((folder / "intent.json").exists)
    flip(sorted((folder / "spool").glob("*.seg"))[2], -1)
    orchestrator.max_unacknowledged_bytes = 8 << 20
    orchestrator.acknowledging = True
    orchestrator.break_session()
    await ended_as_damaged(orchestrator, lease, runner.state)


async def test_orchestrator_away_and_back(orchestrator: Orchestrator, start: Start) -> None:
    """The experiment does not notice: it ends while nobody is there, and all of it arrives."""
    runner = await start()
    lease = await logging_run(orchestrator, 400, 0.002)
    await orchestrator.stop()
    intent = runner.state / "attempts" / lease.lease_id / "intent.json"
    await orchestrator.until(intent.exists)
    assert len(lease.lines) < 400
    await asyncio.sleep(0.5)
    await orchestrator.start()
    await orchestrator.end_of(lease)
    assert lease.ended.outcome == COMPLETED
    assert numbers(lease) == list(range(400))
    assert runner.log.count("runs go on, and it is tried again") == 1  # one line, not one for each try
    assert runner.log.count("connected to") == 3  # two for people who wait, one that says how long it took


async def test_a_session_that_breaks_is_made_anew_and_goes_on(orchestrator: Orchestrator, start: Start) -> None:
    await start()
    lease = await logging_run(orchestrator, 1500, 0.001)
    for session in (2, 3, 4):
        orchestrator.break_session()
        await orchestrator.connected(session)
        await asyncio.sleep(0.2)
    await orchestrator.end_of(lease)
    assert numbers(lease) == list(range(1500))
    assert [hello.session_number for hello in orchestrator.hellos] == [1, 2, 3, 4]
    assert [len(hello.held_attempts) for hello in orchestrator.hellos[1:]] == [1, 1, 1]


async def test_report_alone_is_reopened(orchestrator: Orchestrator, start: Start) -> None:
    await start()
    lease = await logging_run(orchestrator, 1500, 0.001)
    for count in (2, 3, 4):
        orchestrator.break_reports()
        await orchestrator.until(lambda count=count: orchestrator.opened_reports == count)
        await asyncio.sleep(0.1)
    await orchestrator.end_of(lease)
    assert numbers(lease) == list(range(1500))
    assert len(orchestrator.hellos) == 1


async def test_rewinds(orchestrator: Orchestrator, start: Start) -> None:
    await start()
    lease = await logging_run(orchestrator, 1000, 0.001)
    other = await orchestrator.give("returns")
    for _ in range(5):
        orchestrator.rewinds.append(lease.lease_id)
        await orchestrator.until(lambda: not orchestrator.rewinds)
    await orchestrator.end_of(other)
    await orchestrator.end_of(lease)
    assert numbers(lease) == list(range(1000))


async def test_without_acknowledgements_a_window_is_all_that_is_sent(orchestrator: Orchestrator, start: Start) -> None:
    orchestrator.max_unacknowledged_bytes = 3 << 20
    runner = await start()
    await orchestrator.knows("logs")
    orchestrator.acknowledging = False
    lease = await orchestrator.give("logs", configuration=json.dumps({"count": 1000, "size": 20_000}))
    intent = runner.state / "attempts" / lease.lease_id / "intent.json"
    await orchestrator.until(intent.exists)
    await asyncio.sleep(0.3)
    assert 2 << 20 <= sum(map(len, lease.events)) <= 3 << 20
    orchestrator.acknowledge_all()
    await orchestrator.end_of(lease)
    assert numbers(lease) == list(range(1000))


async def test_a_fence_kills_and_keeps_what_was_not_shipped(orchestrator: Orchestrator, start: Start) -> None:
    runner = await start()
    lease = await logging_run(orchestrator, 100_000, 0.001)
    lease.fenced = "the runner had been given up"
    quarantine = runner.state / "quarantine" / lease.lease_id
    await orchestrator.until(lambda: quarantine.exists())
    assert processes_of(lease.lease_id) == []
    assert not (runner.state / "attempts" / lease.lease_id).exists()
    note = (quarantine / "NOTE.txt").read_text()
    assert lease.run_id in note
    assert "the runner had been given up" in note
    assert list((quarantine / "spool").glob("*.seg"))
    await orchestrator.until(lambda: lease.gone, "for process_gone")
    await orchestrator.until(lambda: not orchestrator.heartbeats[-1].gone_lease_ids)
    assert not (quarantine / "unreported").exists()
    assert (await orchestrator.run("returns")).ended.outcome == COMPLETED


async def test_fenced_by_the_verdict_after_a_crash(orchestrator: Orchestrator, start: Start) -> None:
    runner = await start()
    lease = await orchestrator.give("deaf")
    await orchestrator.until(lambda: "deaf" in lease.lines)
    runner.kill()
    await runner.wait()
    lease.fenced = "given up"
    stored = len(lease.events)
    await start()
    await orchestrator.until(lambda: lease.gone)
    assert processes_of(lease.lease_id) == []
    assert len(lease.events) == stored
    assert (runner.state / "quarantine" / lease.lease_id / "NOTE.txt").exists()


async def test_kept_is_neither_shipped_nor_named_nor_numbered(orchestrator: Orchestrator, start: Start) -> None:
    runner = await start()
    lease = await logging_run(orchestrator, 100_000, 0.001)
    runner.kill()
    await runner.wait()
    orchestrator.verdicts[lease.lease_id] = pb.Verdict(lease_id=lease.lease_id, keep=pb.Keep())
    spool = runner.state / "attempts" / lease.lease_id / "spool"
    before = {path: path.read_bytes() for path in spool.glob("*.seg")}
    stored = len(lease.events)
    beats = len(orchestrator.heartbeats)
    second = await start()
    await orchestrator.until(lambda: len(orchestrator.heartbeats) > beats + 2)
    assert all(lease.lease_id not in beat.lease_ids for beat in orchestrator.heartbeats[beats:])
    assert {path: path.read_bytes() for path in spool.glob("*.seg")} == before
    assert len(lease.events) == stored

    second.signal()
    assert await second.wait() == 0
    orchestrator.verdicts.clear()  # the operator has brought the database back
    await start()
    await orchestrator.end_of(lease)


async def test_released_by_the_verdict_the_folder_goes(orchestrator: Orchestrator, start: Start) -> None:
    runner = await start()
    lease = await logging_run(orchestrator, 100_000, 0.001)
    runner.kill()
    await runner.wait()
    orchestrator.verdicts[lease.lease_id] = pb.Verdict(lease_id=lease.lease_id, release=pb.Release())
    await start()
    folder = runner.state / "attempts" / lease.lease_id
    await orchestrator.until(lambda: not folder.exists())


async def test_resumed_below_what_the_spool_has_ends_as_storage(orchestrator: Orchestrator, start: Start) -> None:
    """The database was restored from an older copy; what lies between was acknowledged, and deleted here."""
    await start(ATHANOR_RUNNER_SEGMENT_BYTES="20000")
    lease = await logging_run(orchestrator, 100_000, 0.001, size=100)
    await orchestrator.until(lambda: len(lease.events) > 1000)
    await asyncio.sleep(0.5)
    del lease.events[50:]
    orchestrator.break_session()
    await orchestrator.until(lambda: lease.ended)
    assert lease.ended.failure.kind == Kind.KIND_STORAGE
    assert lease.ended.digest == b""
    assert len(lease.events) == 51
    assert processes_of(lease.lease_id) == []


async def test_superseded_makes_a_new_session(orchestrator: Orchestrator, start: Start) -> None:
    await start()
    lease = await logging_run(orchestrator, 800, 0.001)
    orchestrator._newest = "somebody else"  # its streams are aborted from here on
    orchestrator.break_reports()
    await orchestrator.connected(2)
    await orchestrator.end_of(lease)
    assert numbers(lease) == list(range(800))


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


async def test_an_unknown_experiment_is_declined(orchestrator: Orchestrator, start: Start) -> None:
    await start()
    await orchestrator.knows("returns")
    orchestrator.definitions.append(orchestrator.definitions[0].__class__())
    orchestrator.definitions[-1].experiment.name = "nonsense"
    lease = await orchestrator.give("nonsense")
    await orchestrator.until(lambda: lease.declined)
    assert lease.declined.reason == pb.DECLINE_REASON_NO_SUCH_EXPERIMENT


async def test_progress_travels(orchestrator: Orchestrator, start: Start) -> None:
    await start()
    lease = await orchestrator.give("tracks", grace=20)
    await orchestrator.until(lambda: len(lease.progress) > 3)
    values = [progress.current for progress in lease.progress]
    assert values == sorted(values)
    assert lease.progress[-1].total == 100_000
    orchestrator.cancel(lease)
    await orchestrator.end_of(lease)


async def test_an_event_arrives_at_once(orchestrator: Orchestrator, start: Start, tmp_path: Path) -> None:
    """The doorbell, not the poll: the poll is set to a minute here."""
    await start(ATHANOR_RUNNER_SPOOL_POLL="60")
    for _ in range(3):
        lease = await orchestrator.give("waits_for_go", configuration=json.dumps({"folder": str(tmp_path)}))
        await orchestrator.until(lambda lease=lease: "ready" in lease.lines)
        loop = asyncio.get_running_loop()
        began = loop.time()
        (tmp_path / "go").touch()
        await orchestrator.until(lambda lease=lease: "gone" in lease.lines)
        assert loop.time() - began < 10  # seconds; how fast it is, the acceptance tests measure
        await orchestrator.end_of(lease)
        (tmp_path / "go").unlink()


async def test_new_code_is_told_and_executed(orchestrator: Orchestrator, start: Start, tmp_path: Path) -> None:
    await start()
    await orchestrator.knows("returns")
    code = tmp_path / "experiments" / "fresh.py"
    text = "from athanor.experiment import experiment\n@experiment\ndef fresh(ctx) -> None:\n"
    code.write_text(f"{text}    ctx.info('first')\n")
    lease = await orchestrator.run("fresh")
    assert lease.lines[-1] == "first"
    count = len(orchestrator.definitions)
    code.write_text(f"{text}    ctx.info('second version')\n")
    await orchestrator.until(lambda: len(orchestrator.definitions) > count)
    assert [entry.experiment.name for entry in orchestrator.definitions[count:]] == ["fresh"]
    lease = await orchestrator.run("fresh")
    assert lease.lines[-1] == "second version"
    code.unlink()
    await orchestrator.until(lambda: "fresh" not in orchestrator.experiments)


@pytest.mark.parametrize(
    ("source", "error"),
    [("import os; os._exit(3)", "ended the process with exit status 3"), ("import time; time.sleep(600)", "over 3 s")],
    ids=["ends the process", "hangs"],
)
async def test_a_module_that_takes_the_describing_process_with_it_hides_no_other(
    orchestrator: Orchestrator, start: Start, tmp_path: Path, source: str, error: str
) -> None:
    package = tmp_path / "experiments" / "package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "deadly.py").write_text(f"print('last words', flush=True)\n{source}\n")
    runner = await start(ATHANOR_RUNNER_DESCRIBE="3")
    await orchestrator.knows("returns", "hello")

    def told() -> list[str]:
        return [entry.error.error for entry in orchestrator.definitions if entry.error.module == "package.deadly"]

    await orchestrator.until(told)
    assert error in told()[0]
    assert "last words" in told()[0]
    (package / "deadly.py").write_text(
        "from athanor.experiment import RunContext, experiment\n"
        "@experiment\ndef mended(ctx: RunContext) -> None: pass\n"
    )
    await orchestrator.knows("mended")
    assert runner.process.returncode is None


async def test_a_broken_module_is_told_and_when_it_was_mended(
    orchestrator: Orchestrator, start: Start, tmp_path: Path
) -> None:
    await start()

    def errors() -> list[str]:
        return [entry.error.error for entry in orchestrator.definitions if entry.error.module == "broken"]

    await orchestrator.until(errors)
    assert "there_is_no_such_module" in errors()[0]
    (tmp_path / "experiments" / "broken.py").write_text("")
    await orchestrator.until(lambda: errors()[-1] == "")


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


async def test_output_survives_as_it_was_printed(orchestrator: Orchestrator, start: Start) -> None:
    """What was captured, and had become events when the runner was killed, is neither doubled nor lost."""
    runner = await start(ATHANOR_RUNNER_SPOOL_LIMIT_BYTES="1000000")
    lease = await orchestrator.give("floods_and_exits", configuration='{"count": 60000}')
    await orchestrator.until(lambda: len(lease.events) > 5000)
    runner.kill()
    await runner.wait()
    await start(ATHANOR_RUNNER_SPOOL_LIMIT_BYTES="1000000")
    await orchestrator.end_of(lease)
    assert numbers(lease) == list(range(60_000))
