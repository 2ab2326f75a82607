"""Memory of a system that is idle, and what each live run adds.

It is the proportional set size over the whole tree of `athanor up`: a page that several processes share counts in
parts, also with processes outside the tree, such as this one. So it is said beside it what the tree would hold alone on
the machine.
"""

import time
from collections.abc import Iterator

from athanor.v1 import run_pb2
from athanor.v1 import run_service_pb2 as run_calls

from benchmarks import footprint
from benchmarks.bench import EXPERIMENTS, Bench
from benchmarks.figures import Figure, median, number
from benchmarks.whole import Up, settled, up
from tests.support.system import System

SLEEPING = 20  # runs
CALM = 5  # seconds until what a start or a launch has left is over


def measure(bench: Bench) -> Iterator[Figure]:
    """Idle, then with sleeping runs."""
    runs = bench.size(3, SLEEPING)
    idle: list[float] = []
    added: list[float] = []
    beside = ""
    for turn in range(bench.size(1, bench.rounds)):
        bench.say(f"memory, idle and with {runs} sleeping runs, {turn + 1} of {bench.rounds}")
        with bench.temporary() as folder, up(folder, "--slots", str(runs), paths=[EXPERIMENTS]) as whole:
            settled(whole)
            time.sleep(bench.size(1, CALM))
            processes = whole.processes()
            sizes = {name: footprint.of(pid).proportional for name, pid in processes}
            idle.append(sum(sizes.values()))
            parts = ", ".join(f"{name} {number(size)}" for name, size in sizes.items())
            beside = f"{parts} MB; alone on the machine {number(footprint.alone(pid for _, pid in processes))} MB"

            _sleeping(whole.system, runs)
            time.sleep(bench.size(1, CALM))
            added.append((_proportional(whole) - idle[-1]) / runs)
            one = median([footprint.of(pid).proportional for pid in whole.system.run_processes()])
            _end(whole.system)
            time.sleep(bench.size(1, CALM))
            beside += f"; {number(_proportional(whole))} MB once runs have ended, with the template of the next"
    yield Figure("memory, idle", median(idle), "MB", 130, "less", beside)
    yield Figure(
        "memory, per live run", median(added), "MB", 12, "less", f"{runs} sleeping runs; its process {number(one)} MB"
    )


def _proportional(whole: Up) -> float:
    return sum(footprint.of(pid).proportional for _, pid in whole.processes())


def _sleeping(system: System, count: int) -> None:
    started = [system.start_run("sleeps").id for _ in range(count)]
    for run_id in started:
        system.wait_for_state(run_id, run_pb2.RUN_STATE_RUNNING)


def _end(system: System) -> None:
    live = [run.id for run in system.runs.ListRuns(run_calls.ListRunsRequest(), timeout=10).runs]
    for run_id in live:
        system.cancel_run(run_id)
    for run_id in live:
        system.wait_for_end(run_id)
