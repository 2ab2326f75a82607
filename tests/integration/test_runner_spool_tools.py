"""`athanor-runner spool` beside a runner that is at work, and on what it has put aside."""

import asyncio
import json
import sys
from pathlib import Path

from tests.support.runner import Orchestrator
from tests.support.runner_stage import Start, logging_run


async def spool(state: Path, *words: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "athanor_runner", "spool", *words, "--state", str(state)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


async def test_a_spool_is_read_while_it_is_written_and_shipped(orchestrator: Orchestrator, start: Start) -> None:
    """Records are half written and segments go, and none of it is a break."""
    runner = await start(ATHANOR_RUNNER_SEGMENT_BYTES="20000")
    lease = await logging_run(orchestrator, 1_000_000, 0.0005, size=100)
    for _ in range(4):
        status, out = await spool(runner.state, "verify")
        assert status == 0, out
        status, out = await spool(runner.state, "list", "--json")
        [row] = json.loads(out)["spools"]
        assert (row["lease_id"], row["run_id"], row["ended"]) == (lease.lease_id, lease.run_id, False)
        assert row["note"] == ""
    orchestrator.acknowledging = False
    status, out = await spool(runner.state, "export", lease.lease_id)
    sequences = [int(json.loads(line)["sequence"]) for line in out.splitlines()]
    assert status == 0
    assert sequences == list(range(sequences[0], sequences[-1] + 1))
    assert not lease.ended


async def test_a_quarantine_is_read(orchestrator: Orchestrator, start: Start) -> None:
    runner = await start()
    lease = await logging_run(orchestrator, 1_000_000, 0.001)
    lease.fenced = "given up"
    await orchestrator.until(lambda: lease.gone)
    status, out = await spool(runner.state, "list")
    assert status == 0
    [line] = [line for line in out.splitlines() if lease.lease_id in line]
    assert "quarantine" in line
    assert line.endswith("given up")
    status, out = await spool(runner.state, "verify", lease.lease_id)
    assert (status, "whole" in out) == (0, True)
    status, out = await spool(runner.state, "export", lease.lease_id)
    assert status == 0
    stored = [event.log.message for event in lease.parsed if event.HasField("log")]
    assert [json.loads(line)["log"]["message"] for line in out.splitlines()[1:]][: len(stored)] == stored
