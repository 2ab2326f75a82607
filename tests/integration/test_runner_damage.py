"""Spools that lost something, by a power cut or by damage: nothing is passed over, and every run ends."""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from athanor.runner.v1 import dispatch_service_pb2 as pb
from athanor.v1 import run_pb2

from tests.support.runner import Granted, Orchestrator, processes_of
from tests.support.runner_stage import Start, another_boot, logging_run, numbers

Kind = run_pb2.Failure


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
    another_boot(runner.state / "attempts" / lease.lease_id)
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


@pytest.mark.parametrize("crash", [False, True], ids=["", "runner killed"])
async def test_a_damaged_event_of_a_process_that_was_killed_is_not_taken_for_a_torn_tail(
    orchestrator: Orchestrator, start: Start, crash: bool
) -> None:
    """It left no intent, and nobody had read so far: only the page knows that there was more."""
    runner = await start()
    lease = await logging_run(orchestrator, 100_000, 0.001)
    folder = runner.state / "attempts" / lease.lease_id
    [pid] = processes_of(lease.lease_id)
    os.kill(runner.process.pid, signal.SIGSTOP)
    [segment] = (folder / "spool").glob("*.seg")
    size = segment.stat().st_size
    await orchestrator.until(lambda: segment.stat().st_size > size + 5000)
    os.kill(pid, signal.SIGKILL)
    await orchestrator.until(lambda: "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2])
    flip(segment, -1)
    if crash:
        runner.kill()
        await runner.wait()
        await start()
    else:
        os.kill(runner.process.pid, signal.SIGCONT)
    await ended_as_damaged(orchestrator, lease, runner.state)
    assert lease.ended.failure.kind == Kind.KIND_STORAGE


async def test_the_end_of_a_damaged_spool_is_numbered_behind_what_is_under_way(
    orchestrator: Orchestrator, start: Start
) -> None:
    """What was sent may be stored and its answer not here yet. The end once took such a number, and was lost."""
    runner = await start()
    orchestrator.acknowledging = False
    lease = await logging_run(orchestrator, 100_000, 0.001)
    await orchestrator.until(lambda: len(lease.events) > 50)
    [pid] = processes_of(lease.lease_id)
    os.kill(runner.process.pid, signal.SIGSTOP)
    [segment] = (runner.state / "attempts" / lease.lease_id / "spool").glob("*.seg")
    size = segment.stat().st_size
    await orchestrator.until(lambda: segment.stat().st_size > size + 5000)
    os.kill(pid, signal.SIGKILL)
    await orchestrator.until(lambda: "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2])
    flip(segment, -1)
    os.kill(runner.process.pid, signal.SIGCONT)
    await orchestrator.until(lambda: "the spool is damaged" in runner.log)
    await asyncio.sleep(0.3)
    assert lease.ended is None
    orchestrator.acknowledge_all()
    await ended_as_damaged(orchestrator, lease, runner.state)


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


def truncated(assignment: Path) -> None:
    os.truncate(assignment, 100)


def of_a_later_format(assignment: Path) -> None:
    assignment.write_text(json.dumps({**json.loads(assignment.read_text()), "format": 2}))


@pytest.mark.parametrize("damage", [truncated, of_a_later_format, Path.unlink])
async def test_an_attempt_that_cannot_be_gone_on_with_is_told_fenced_and_quarantined_whole(
    orchestrator: Orchestrator, start: Start, damage: Callable[[Path], None]
) -> None:
    """Not told, its lease went back when nothing of it was stored, and a run of one attempt was executed twice."""
    runner = await start()
    lease = await logging_run(orchestrator, 100_000, 0.001)
    await orchestrator.until(lambda: len(lease.events) > 50)
    runner.kill()
    await runner.wait()
    await orchestrator.until(lambda: not processes_of(lease.lease_id))
    folder = runner.state / "attempts" / lease.lease_id
    damage(folder / "assignment.json")
    before, stored = contents(folder), len(lease.events)
    assert any(name.endswith(".seg") and len(data) > 1000 for name, data in before.items())

    second = await start()
    await orchestrator.until(lambda: lease.gone, "for process_gone")
    assert list(orchestrator.hellos[1].held_attempts) == [pb.HeldAttempt(lease_id=lease.lease_id, unreadable=True)]
    assert not folder.exists()
    quarantine = runner.state / "quarantine" / lease.lease_id
    await orchestrator.until(lambda: not (quarantine / "unreported").exists())
    after = contents(quarantine)
    assert "could not go on with" in after.pop("NOTE.txt").decode()
    assert {name: data for name, data in before.items() if name != "spool/reserve"} == after
    assert len(lease.events) == stored
    assert f"{lease.lease_id} cannot be gone on with, and the orchestrator will be told so" in second.log


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
