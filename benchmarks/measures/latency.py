"""Live latency: from the call of `ctx.log` to the event in another process's `watch()`, committed first.

What a commit of one row takes on the same disk and database, measured in turn with it, is taken off: it is the price of
"committed first", whoever asks for it. From p50 and p99 alike its median is taken off.
"""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from athanor.v1 import run_pb2

from benchmarks import commits
from benchmarks.bench import Bench, Database
from benchmarks.figures import Figure, median, number, percentile
from tests.support.system import System

WATCHER = Path(__file__).resolve().parent.parent / "processes" / "live_watcher.py"
RATE = 100  # events/s of the run that is watched
OTHERS = 10  # other runs under load
LOAD = 10_000  # events/s of those together
DELAY = 4.0  # seconds that the run waits for its watcher
SETTLING = 0.5  # seconds of events that do not count: what happens once happens then


def measure(bench: Bench) -> Iterator[Figure]:
    """Alone and under load, on each database."""
    for database in bench.databases():
        with (
            bench.temporary() as folder,
            bench.system(database, slots=OTHERS + 1) as system,
            commits.one_row(database, folder) as commit,
        ):
            floor: list[float] = []
            alone: list[list[float]] = []
            loaded: list[list[float]] = []
            rates: list[float] = []
            for turn in range(bench.rounds):
                bench.say(f"latency, {database.name}, round {turn + 1} of {bench.rounds}")
                seconds = bench.size(2, 10)
                floor += commits.milliseconds(commit, bench.size(20, 200))
                alone.append(_ages(system, seconds))
                ages, rate = _under_load(system, seconds)
                loaded.append(ages)
                rates.append(rate)
            yield from _figures(database, alone, loaded, floor, median(rates))


def _under_load(system: System, seconds: float) -> tuple[list[float], float]:
    """The ages, and how many events a second the others recorded meanwhile."""
    # The others begin before it and are there until it is over.
    # A little more than is spoken of: a run that is late now and then is not faster afterwards.
    configuration = {"rate": LOAD * 1.03 / OTHERS, "seconds": DELAY + seconds + 60, "at_once": 10}
    others = [system.start_run("paced", configuration).id for _ in range(OTHERS)]
    for other in others:
        system.wait_for_state(other, run_pb2.RUN_STATE_RUNNING)
    begin, before = time.monotonic(), _recorded(system, others)
    ages = _ages(system, seconds)
    rate = (_recorded(system, others) - before) / (time.monotonic() - begin)
    if rate < 0.9 * LOAD:
        raise AssertionError(f"the others recorded {rate:.0f} events/s, not {LOAD}")
    for other in others:
        system.cancel_run(other)
    for other in others:
        system.wait_for_end(other)
    return ages, rate


def _recorded(system: System, run_ids: Sequence[str]) -> int:
    return sum(system.get_run(run_id).last_sequence for run_id in run_ids)


def _ages(system: System, seconds: float) -> list[float]:
    """The age in milliseconds of each event of one run as its watcher got it."""
    run = system.start_run("paced", {"rate": RATE, "seconds": seconds + SETTLING, "delay": DELAY})
    watcher = system.start(f"watcher-{run.id}", sys.executable, str(WATCHER), system.target, run.id)
    line = watcher.wait_for_line(r"^\[.*\]$", DELAY + seconds + 60)
    watcher.wait()
    ages: list[float] = json.loads(line[0])
    return ages[round(SETTLING * RATE) :]


def _figures(
    database: Database,
    alone: Sequence[Sequence[float]],
    loaded: Sequence[Sequence[float]],
    floor: Sequence[float],
    load: float,
) -> Iterator[Figure]:
    commit = median(floor)
    for name, rounds, share, reach in (
        ("p50", alone, 0.50, 2.0),
        ("p99", alone, 0.99, 10.0),
        ("under load p99", loaded, 0.99, 40.0),
    ):
        whole = median([percentile(ages, share) for ages in rounds])
        yield Figure(
            f"live latency, {name}, {database.name}",
            whole - commit,
            "ms",
            reach,
            "less",
            f"{number(whole)} ms less a commit of {number(commit)} ms"
            + (f"; the others recorded {number(load)} events/s" if rounds is loaded else ""),
        )
