"""The orchestrator away, streams that break, windows: the experiment does not notice."""

import asyncio
import json
from pathlib import Path

import pytest
from athanor.v1 import run_pb2

from tests.support.runner import Orchestrator
from tests.support.runner_stage import Start, logging_run, numbers

COMPLETED = run_pb2.ATTEMPT_OUTCOME_COMPLETED


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


@pytest.mark.timeout(120)
async def test_the_runner_grows_neither_with_a_large_spool_nor_with_shipping_it(
    orchestrator: Orchestrator, start: Start
) -> None:
    """120 MB are recorded while the orchestrator is away."""
    runner = await start()
    await orchestrator.run("logs", configuration=json.dumps({"count": 500, "size": 20_000}))
    before = memory_of(runner.process.pid)
    lease = await orchestrator.give("logs", configuration=json.dumps({"count": 6000, "size": 20_000}))
    await orchestrator.until(lambda: lease.events)
    await orchestrator.stop()
    intent = runner.state / "attempts" / lease.lease_id / "intent.json"
    await orchestrator.until(intent.exists, timeout=40)
    assert memory_of(runner.process.pid) - before < 48 << 20
    await orchestrator.start()
    await orchestrator.end_of(lease, timeout=50)
    assert numbers(lease) == list(range(6000))
    # What a delivery and a window take, a few times over; not what the spool had.
    assert memory_of(runner.process.pid) - before < 64 << 20


def memory_of(pid: int) -> int:
    """The most memory that a process ever had, in bytes."""
    text = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in text.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024
