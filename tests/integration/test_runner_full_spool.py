"""A spool that is full: log entries wait, or are dropped and counted; results are recorded whatever happens."""

import json
import os
import re
import signal
from pathlib import Path

import pytest
from athanor.v1 import run_event_pb2, run_pb2

from tests.support.runner import Granted, Orchestrator, Runner, processes_of
from tests.support.runner_stage import Start, numbers

COUNT = 10_000
LIMIT = "500KB"


async def flood(orchestrator: Orchestrator, folder: Path | None = None) -> Granted:
    """A run that records four times what its spool may hold, while nothing is acknowledged."""
    await orchestrator.knows("logs_and_results")
    orchestrator.acknowledging = False
    orchestrator.max_unacknowledged_bytes = 0
    orchestrator.break_session()
    await orchestrator.connected(2)
    configuration = {"count": COUNT, "size": 200, "folder": str(folder or "")}
    return await orchestrator.give("logs_and_results", configuration=json.dumps(configuration))


async def ship(orchestrator: Orchestrator) -> None:
    orchestrator.acknowledging = True
    orchestrator.max_unacknowledged_bytes = 8 << 20
    await orchestrator.connected(len(orchestrator.hellos))  # a runner that was just started may have none yet
    sessions = len(orchestrator.hellos)
    orchestrator.break_session()
    await orchestrator.connected(sessions + 1)


def told_of(lease: Granted) -> list[int]:
    """How many entries each entry about dropped ones stands for."""
    entries = [event.log for event in lease.parsed if event.HasField("log") and event.log.source == "athanor"]
    assert all(entry.level == run_event_pb2.LOG_LEVEL_WARN for entry in entries)
    what = re.compile(r"(\d+) log entr(y was|ies were) dropped because the spool was full")
    found = [what.fullmatch(entry.message) for entry in entries]
    return [int(match[1]) for match in found if match is not None]


def check(lease: Granted) -> None:
    """Every line is there in order or told of; every result is there."""
    results = [event.result.value_json for event in lease.parsed if event.HasField("result")]
    assert results == [str(number) for number in range(0, COUNT, 100)]
    there = [int(line.split()[0]) for line in lease.lines if line.endswith("y")]
    assert there == sorted(set(there))
    assert len(there) + sum(told_of(lease)) == COUNT


async def test_log_entries_are_dropped_and_told_of(orchestrator: Orchestrator, start: Start) -> None:
    """The run ends while nothing is acknowledged: it waits for nobody."""
    runner = await start("--spool-limit", LIMIT, "--when-spool-full", "drop")
    lease = await flood(orchestrator)
    intent = runner.state / "attempts" / lease.lease_id / "intent.json"
    await orchestrator.until(intent.exists)
    assert lease.events == []
    await ship(orchestrator)
    await orchestrator.end_of(lease)
    assert lease.ended.outcome == run_pb2.ATTEMPT_OUTCOME_COMPLETED
    check(lease)
    assert sum(told_of(lease)) > COUNT // 2


@pytest.mark.parametrize("crash", [False, True], ids=["", "runner killed"])
async def test_what_a_process_that_was_killed_had_dropped_is_told_of_by_the_runner(
    orchestrator: Orchestrator, start: Start, tmp_path: Path, crash: bool
) -> None:
    arguments = ("--spool-limit", LIMIT, "--when-spool-full", "drop")
    runner = await start(*arguments)
    lease = await flood(orchestrator, tmp_path)
    await orchestrator.until((tmp_path / "all").exists)
    if crash:
        runner.kill()
        await runner.wait()
        await start(*arguments)
    else:
        [pid] = processes_of(lease.lease_id)
        os.kill(pid, signal.SIGKILL)
    await ship(orchestrator)
    await orchestrator.end_of(lease)
    check(lease)
    assert len(told_of(lease)) == 1
    assert [event.WhichOneof("event") for event in lease.parsed[-2:]] == ["log", "attempt_ended"]


async def test_log_entries_wait_when_they_are_not_to_be_dropped(orchestrator: Orchestrator, start: Start) -> None:
    runner: Runner = await start("--spool-limit", LIMIT)
    lease = await flood(orchestrator)
    spool = runner.state / "attempts" / lease.lease_id / "spool"

    def size() -> int:
        return sum(path.stat().st_size for path in spool.glob("*.seg"))

    await orchestrator.until(lambda: size() > 490_000)
    assert not (spool.parent / "intent.json").exists()
    await ship(orchestrator)
    await orchestrator.end_of(lease)
    assert numbers(lease) == list(range(COUNT))
    assert told_of(lease) == []
    check(lease)
