"""A runner whose disk is full, really: nothing is lost, and everything goes on when there is room again."""

import asyncio
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from athanor.runner.v1 import dispatch_service_pb2 as pb
from athanor.v1 import run_pb2

from tests.support.runner import Granted, Orchestrator, Runner, processes_of
from tests.support.runner_experiments import write_experiments
from tests.support.runner_stage import numbers
from tests.support.small_disk import SmallDisk

COMPLETED = run_pb2.ATTEMPT_OUTCOME_COMPLETED
CANCELLED = run_pb2.ATTEMPT_OUTCOME_CANCELLED
FAILED = run_pb2.ATTEMPT_OUTCOME_FAILED
SIZE = 2 << 20
RESERVE = 256 << 10


@pytest.fixture(params=[False])
async def small(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SmallDisk]:
    disk = SmallDisk(tmp_path / "state", SIZE, in_namespace=request.param)
    yield disk
    disk.close()


@pytest.fixture
async def runner(orchestrator: Orchestrator, small: SmallDisk, tmp_path: Path) -> AsyncIterator[Runner]:
    write_experiments(tmp_path)
    runner = await Runner.start(orchestrator.target, tmp_path, "--slots", "2", prefix=small.prefix)
    await orchestrator.knows("returns")
    yield runner
    await runner.close()
    print(runner.log)


async def flood(orchestrator: Orchestrator, count: int = 20_000) -> Granted:
    """A run that logs much more than the disk has room for."""
    lease = await orchestrator.give("logs", configuration=json.dumps({"count": count, "size": 200}))
    await orchestrator.until(lambda: lease.events)
    return lease


async def until_full(orchestrator: Orchestrator, small: SmallDisk, lease: Granted) -> None:
    """Until the run can write no more; it is still there."""
    await orchestrator.until(lambda: small.free < 8192, "for the disk to be full")
    await asyncio.sleep(0.5)
    assert processes_of(lease.lease_id)
    assert not lease.ended


@pytest.mark.parametrize("small", [False, True], indirect=True, ids=["", "in a namespace"])
async def test_a_run_waits_for_a_disk_that_is_full_and_goes_on_when_it_is_not(
    orchestrator: Orchestrator, runner: Runner, small: SmallDisk
) -> None:
    orchestrator.acknowledging = False
    small.fill(leave=600_000)
    lease = await flood(orchestrator, 4000)
    await until_full(orchestrator, small, lease)
    small.give_back()
    await orchestrator.until(lambda: len(lease.lines) == 4000)
    orchestrator.acknowledge_all()
    await orchestrator.end_of(lease)
    assert lease.ended.outcome == COMPLETED
    assert numbers(lease) == list(range(4000))


async def test_a_disk_that_the_spool_itself_has_filled_is_emptied_by_acknowledgements(
    orchestrator: Orchestrator, runner: Runner, small: SmallDisk
) -> None:
    """The log is twice what the disk holds, and not a byte is given back but by the spool."""
    lease = await flood(orchestrator)
    await orchestrator.end_of(lease, timeout=50)
    assert lease.ended.outcome == COMPLETED
    assert numbers(lease) == list(range(20_000))
    assert sum(map(len, lease.events)) > 2 * SIZE


async def test_a_disk_that_stays_full_does_not_keep_the_end_from_being_recorded(
    orchestrator: Orchestrator, runner: Runner, small: SmallDisk
) -> None:
    orchestrator.acknowledging = False
    small.fill(leave=600_000)
    lease = await flood(orchestrator)
    await until_full(orchestrator, small, lease)
    orchestrator.cancel(lease)
    await orchestrator.until(lambda: lease.ended)
    orchestrator.acknowledge_all()
    await orchestrator.end_of(lease)
    assert lease.ended.outcome == CANCELLED
    assert numbers(lease) == list(range(len(lease.lines)))
    folder = small.path / "attempts" / lease.lease_id
    await orchestrator.until(lambda: not folder.exists())


async def test_the_intent_is_written_on_a_disk_that_stays_full(
    orchestrator: Orchestrator, runner: Runner, small: SmallDisk, tmp_path: Path
) -> None:
    lease = await orchestrator.give("waits_for_go", configuration=json.dumps({"folder": str(tmp_path)}))
    await orchestrator.until(lambda: "ready" in lease.lines)
    small.fill()
    assert small.free == 0
    (tmp_path / "go").touch()
    await orchestrator.end_of(lease)
    assert lease.ended.outcome == COMPLETED
    assert lease.lines == ["ready", "gone"]


async def test_last_words_are_recorded_on_a_disk_that_stays_full(
    orchestrator: Orchestrator, runner: Runner, small: SmallDisk, tmp_path: Path
) -> None:
    """More than fits behind the last event, less than what is kept for the end."""
    orchestrator.acknowledging = False
    configuration = {"folder": str(tmp_path), "count": 80, "size": 100}
    lease = await orchestrator.give("says_and_waits", configuration=json.dumps(configuration))
    await orchestrator.until(lambda: lease.progress)
    small.fill()
    (tmp_path / "go").touch()
    await orchestrator.until(lambda: lease.ended)
    orchestrator.acknowledge_all()
    await orchestrator.end_of(lease)
    assert (lease.ended.outcome, lease.ended.failure.kind) == (FAILED, run_pb2.Failure.KIND_PROCESS_EXIT)
    assert [int(line.split()[0]) for line in lease.lines[1:]] == list(range(80))


async def test_an_assignment_for_which_there_is_no_room_is_declined(
    orchestrator: Orchestrator, runner: Runner, small: SmallDisk
) -> None:
    """Also when its folder could be written, but not what is kept for its end."""
    for leave in (0, RESERVE):
        small.fill(leave=leave)
        lease = await orchestrator.give("returns")
        await orchestrator.until(lambda lease=lease: lease.declined)
        assert lease.declined.reason == pb.DECLINE_REASON_NO_ROOM
        assert "No space left on device" in lease.declined.detail
        assert not (small.path / "attempts" / lease.lease_id).exists()
        small.give_back()
    assert (await orchestrator.run("returns")).ended.outcome == COMPLETED


async def test_sessions_are_made_on_a_full_disk(orchestrator: Orchestrator, runner: Runner, small: SmallDisk) -> None:
    """Without one nothing is acknowledged, and a disk that spools have filled was full for ever."""
    small.fill()
    for count in (2, 3, 4):
        orchestrator.break_session()
        await orchestrator.connected(count)
    assert [hello.session_number for hello in orchestrator.hellos] == [1, 2, 3, 4]
    assert small.free == 0
    assert runner.log.count("cannot be written") == 0


@pytest.mark.parametrize("small", [False, True], indirect=True, ids=["", "in a namespace"])
async def test_a_runner_starts_and_quarantines_on_a_full_disk(
    orchestrator: Orchestrator, runner: Runner, small: SmallDisk, tmp_path: Path
) -> None:
    """What is there is shipped or put aside whatever the disk says: nothing else would empty it."""
    orchestrator.acknowledging = False
    small.fill(leave=600_000)
    lease = await flood(orchestrator)
    await until_full(orchestrator, small, lease)
    other = await orchestrator.give("returns")
    await orchestrator.until(lambda: other.declined)
    runner.kill()
    await runner.wait()
    small.fill()
    lease.fenced = "given up"
    orchestrator.acknowledging = True
    orchestrator.definitions.clear()
    again = await Runner.start(orchestrator.target, tmp_path, "--slots", "2", prefix=small.prefix)
    try:
        aside = small.path / "quarantine" / lease.lease_id
        await orchestrator.until(lambda: lease.gone)
        assert "given up" in (aside / "NOTE.txt").read_text()
        assert list((aside / "spool").glob("*.seg"))
        small.give_back()
        assert (await orchestrator.run("returns")).ended.outcome == COMPLETED
    finally:
        await again.close()


async def test_experiments_that_could_not_be_described_are_when_there_is_room(
    orchestrator: Orchestrator, runner: Runner, small: SmallDisk, tmp_path: Path
) -> None:
    """They were not, until one of their files changed."""
    runner.kill()
    await runner.wait()
    shutil.rmtree(small.path / "describe")  # whose room the next description would take
    small.fill()
    orchestrator.definitions.clear()
    again = await Runner.start(orchestrator.target, tmp_path, prefix=small.prefix)
    try:
        await orchestrator.until(
            lambda: [one for one in orchestrator.definitions if one.error.module == "<environment>"]
        )
        assert not orchestrator.experiments
        small.give_back()
        assert (await orchestrator.run("returns")).ended.outcome == COMPLETED
    finally:
        await again.close()


async def test_an_end_that_cannot_be_recorded_is_complained_of_once_and_recorded_later(
    orchestrator: Orchestrator, runner: Runner, small: SmallDisk
) -> None:
    """Something else has taken the reserve, too."""
    orchestrator.acknowledging = False
    small.fill(leave=600_000)
    lease = await flood(orchestrator)
    await until_full(orchestrator, small, lease)
    [pid] = processes_of(lease.lease_id)
    os.kill(runner.process.pid, signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    (small.path / "attempts" / lease.lease_id / "spool" / "reserve").unlink()
    small.fill()
    with next((small.path / "attempts" / lease.lease_id / "spool").glob("*.seg")).open("r+b") as segment:
        segment.seek(0, os.SEEK_END)
    os.kill(runner.process.pid, signal.SIGCONT)
    await orchestrator.until(lambda: "its end cannot be recorded, trying on: the disk is full" in runner.log)
    await asyncio.sleep(2)
    assert runner.log.count("its end cannot be recorded") == 1
    small.give_back()
    await orchestrator.until(lambda: lease.ended)
    orchestrator.acknowledge_all()
    await orchestrator.end_of(lease)
    assert lease.ended.outcome == FAILED
