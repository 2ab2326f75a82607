"""Fan-out: one run, many watchers; then half of them stop reading.

The run records a little more than 2 thousand events/s. The watchers are in one process, bare readers of the WatchRun
stream: see `processes/many_readers.py`. They share the machine with what they watch: what they cost themselves, and
what the orchestrator costs, stands beside the figure in seconds of processor a second.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import footprint
from benchmarks.bench import Bench
from benchmarks.figures import Figure, median, number
from tests.support.system import System

READERS = Path(__file__).resolve().parent.parent / "processes" / "many_readers.py"
RATE = 2_020  # events/s: enough above 2000 that rounding does not count
DELAY = 4.0  # seconds that the run waits for its watchers


@dataclass(frozen=True)
class Round:
    """One run."""

    everyone: dict[str, float]  # as `many_readers` reports it
    others: dict[str, float]  # while half of them do not read
    memory: tuple[float, float]  # of the orchestrator in MB, at the end of each
    orchestrator: float  # seconds of processor a second while all read; likewise:
    readers: float


def measure(bench: Bench) -> Iterator[Figure]:
    """Sustained deliveries, and the latency of those who read while others do not."""
    watchers = bench.size(20, 100)
    for database in bench.databases():
        with bench.system(database, slots=1) as system:
            rounds: list[Round] = []
            for turn in range(bench.rounds):
                bench.say(f"fan-out, {database.name}, round {turn + 1} of {bench.rounds}")
                rounds.append(_round(system, watchers, bench.size(2, 10)))
        yield from _figures(database.name, watchers, rounds)


def _round(system: System, watchers: int, seconds: float) -> Round:
    run = system.start_run("paced", {"rate": RATE, "seconds": 2 * seconds + 60, "at_once": 2, "delay": DELAY})
    command = [sys.executable, str(READERS), system.target, run.id, str(watchers), str(seconds)]
    readers = system.start(f"readers-{run.id}", *command)
    assert system.orchestrator is not None
    both = (system.orchestrator, readers)

    readers.wait_for_line("^begun$")
    before = [footprint.processor(child.pid) for child in both]
    readers.wait_for_line("^all$", seconds + 30)
    orchestrator, reading = (
        (footprint.processor(child.pid) - spent) / seconds for child, spent in zip(both, before, strict=True)
    )
    memory = footprint.of(system.orchestrator.pid).proportional
    readers.wait_for_line("^half$", seconds + 30)
    memory_behind = footprint.of(system.orchestrator.pid).proportional
    report: list[dict[str, Any]] = json.loads(readers.wait_for_line(r"^\[.*\]$", 60)[0])
    readers.wait()
    system.cancel_run(run.id)
    system.wait_for_end(run.id)
    return Round(report[0], report[1], (memory, memory_behind), orchestrator, reading)


def _figures(database: str, watchers: int, rounds: Sequence[Round]) -> Iterator[Figure]:
    def middle(name: str, which: str = "everyone") -> float:
        return median(getattr(one, which)[name] for one in rounds)

    first, last = (median(one.memory[index] for one in rounds) for index in (0, 1))
    orchestrator = median(one.orchestrator for one in rounds)
    readers = median(one.readers for one in rounds)
    yield Figure(
        f"fan-out to {watchers} watchers, {database}",
        middle("deliveries_per_second"),
        "deliveries/s",
        2_000.0 * watchers,
        "more",
        f"{number(middle('messages_per_second'))} messages/s, p50 {number(middle('p50'))} ms, "
        f"p95 {number(middle('p95'))} ms, over 2 connections; "
        f"processor: orchestrator {number(orchestrator)}, readers {number(readers)}",
    )
    yield Figure(
        f"p95 of the others when half stop reading, {database}",
        median(one.others["p95"] / one.everyone["p95"] for one in rounds),
        "of before",
        1.1,
        "less",
        f"{number(middle('p95', 'others'))} ms; orchestrator {number(first)} MB, then {number(last)} MB",
    )
