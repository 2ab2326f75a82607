"""Many runs at once, each recording slowly: whether it is sustained, how late it is committed, what memory does."""

import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from athanor.v1 import run_pb2, run_service_pb2, verification_pb2

from benchmarks import footprint
from benchmarks.bench import Bench, Database
from benchmarks.figures import Figure, median, number
from tests.support.system import System

RATE = 100  # events a second of each run
RUNNERS = 5
ROOT = Path(__file__).resolve().parents[2]
_FIRST_MINUTE = 60.0  # seconds; what is allocated by then is what it takes


def measure(bench: Bench) -> Iterator[Figure]:
    """Five minutes on each database."""
    for database in bench.databases():
        yield from _measure(bench, database, bench.size(20, 500), bench.size(3, 300))


def _measure(bench: Bench, database: Database, runs: int, seconds: int) -> Iterator[Figure]:
    name = f"{runs} runs of {RATE} events/s for {seconds} s, {database.name}"
    bench.say(f"{name} ...")
    with bench.system(database, runners=0) as system:
        said, memory, cpu = _bear(system, runs, seconds)
        broken = _broken(system, said["sample"])
    if said["fences"]:
        raise RuntimeError(f"{len(said['fences'])} runs were given up: {said['fences'][0]}")
    offered = runs * RATE
    backlog = said["backlog"]
    part = len(backlog) // 4 + 1
    yield Figure(
        f"many runs, sustained, {database.name}",
        said["acknowledged"] / offered,
        "of what is offered",
        0.99,
        "more",
        f"{name}: {number(said['acknowledged'])} events/s committed; "
        f"behind by {number(median(backlog[:part]))} events at first and {number(median(backlog[-part:]))} at the end; "
        f"orchestrator {number(cpu * 100)} % of a core, load generator {number(said['cpu'] * 100)} %;"
        f" {said['rewinds']} rewinds; of {len(said['sample'])} logs verified {broken} broken",
    )
    yield Figure(
        f"many runs, due until committed, p99, {database.name}",
        said["p99_ms"],
        "ms",
        100,
        "less",
        f"{name}: p50 {number(said['p50_ms'])} ms, longest {number(said['max_ms'])} ms",
    )
    first_part = min(_FIRST_MINUTE, seconds / 3)
    settled = [size for at, size in memory if at >= first_part]
    part = len(settled) // 5 + 1
    first, last = median(settled[:part]), median(settled[-part:])
    yield Figure(
        f"many runs, growth of memory, {database.name}",
        (last / first - 1) * 100,
        "%",
        5,
        "less",
        f"{name}: {number(first / 2**20)} MiB after {first_part:.0f} s, {number(last / 2**20)} MiB at the end",
    )


def _bear(system: System, runs: int, seconds: int) -> tuple[dict[str, Any], list[tuple[float, int]], float]:
    """Bear the load; returns what the generator says, the orchestrator's memory by time, and its share of a core."""
    ramp = min(5, seconds)
    load = system.start(
        "load",
        *(sys.executable, "-m", "benchmarks.load", "--target", system.target, "--runs", str(runs)),
        *("--runners", str(min(RUNNERS, runs)), "--rate", str(RATE), "--seconds", str(seconds), "--ramp", str(ramp)),
        env={"PYTHONPATH": str(ROOT)},
    )
    assert system.orchestrator is not None
    pid = system.orchestrator.pid
    load.wait_for_line("^live$", timeout=120)
    memory: list[tuple[float, int]] = []
    ended = threading.Event()

    def watch() -> None:
        begin = time.monotonic()
        while not ended.wait(1.0 if seconds > 10 else 0.2):
            memory.append((time.monotonic() - begin, _resident(pid)))

    watcher = threading.Thread(target=watch, name="memory")
    watcher.start()
    before = footprint.processor(pid)
    try:
        load.wait_for_line("^ending$", timeout=seconds + 60)
        cpu = (footprint.processor(pid) - before) / seconds
    finally:
        ended.set()
        watcher.join()
    status = load.wait(timeout=seconds + 120)
    assert status == 0, load.log[-4000:]
    return json.loads(load.lines[-1]), memory, cpu


def _broken(system: System, sample: list[str]) -> int:
    """Return how many of these runs are not COMPLETED with a whole log."""
    broken = 0
    for run_id in sample:
        run = system.get_run(run_id)
        verified = system.runs.VerifyRun(run_service_pb2.VerifyRunRequest(id=run_id), timeout=120)
        whole = all(attempt.log_complete for attempt in run.attempts)
        complete = verified.verdict == verification_pb2.VERDICT_COMPLETE
        broken += not (run.state == run_pb2.RUN_STATE_COMPLETED and whole and complete)
    return broken


def _resident(pid: int) -> int:
    """Bytes of its own memory; a database's shared pages in the cache of the system are not among them."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"process {pid} has no memory")
