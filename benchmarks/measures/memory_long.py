"""Memory over a long run: the anonymous memory of each process after its first hundred thousand events, and at the end.

Anonymous memory is what no file stands behind: no cache makes it grow. Each process counts by its own progress: the
run by the events that it has recorded, runner and orchestrator by those that are committed, the client by those that
it was given. What they hold goes up and down by the messages that are under way, so what is compared is what nine
tenths of the looks stayed below: over the second hundred thousand of the events, and over the last tenth of them.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import footprint
from benchmarks.bench import EXPERIMENTS, Bench, Database
from benchmarks.figures import Figure, number, percentile
from tests.support.system import Child, System, wait_until

WATCHER = Path(__file__).resolve().parent.parent / "processes" / "long_watcher.py"
LOOK = 0.05  # seconds between two looks
SPOOL = "32MiB"
SAY = 5.0  # seconds between two words of how far it is
REACH = 5.0  # percent
SHARE = 0.9


@dataclass
class _Process:
    """One process, and what was seen of it."""

    name: str
    pid: int
    events: Callable[[], int]  # how many it has dealt with
    seen: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])  # those, and MB

    def look(self) -> None:
        """See what it holds now, if it still lives."""
        with contextlib.suppress(OSError):
            self.seen.append((self.events(), footprint.of(self.pid).anonymous))


def measure(bench: Bench) -> Iterator[Figure]:
    """One long run, watched from its beginning."""
    count = bench.size(20_000, 10_000_000)
    first = bench.size(5_000, 100_000)
    for database in bench.databases():
        with _system(bench, database) as system:
            processes = _watched(bench, system, count, f"memory, long, {database.name}")
        growth = {one.name: _growth(one, count, first) for one in processes}
        worst = max(growth, key=lambda name: growth[name][0])
        beside = ", ".join(f"{name} {number(begin)} to {number(end)} MB" for name, (_, begin, end) in growth.items())
        what = f"memory, long, {number(count)} events, {database.name}"
        yield Figure(what, growth[worst][0], "% growth", REACH, "less", f"{worst}; {beside}")


@contextlib.contextmanager
def _system(bench: Bench, database: Database) -> Iterator[System]:
    """One whose runs wait for it: so everything is as busy at the beginning as it is at the end."""
    with (
        bench.temporary() as folder,
        System(folder, database_url=database.url, paths=[EXPERIMENTS]) as system,
    ):
        system.start_orchestrator()
        system.start_runner("runner", "--spool-limit", SPOOL)
        yield system


def _watched(bench: Bench, system: System, count: int, what: str) -> list[_Process]:
    run = system.start_run("endless", {"count": count})
    command = (sys.executable, str(WATCHER), system.target, run.id, str(min(10_000, count // 100)))
    client = system.start("watcher", *command)
    wait_until(system.run_processes, 30, "the run to start")
    (run_pid,) = system.run_processes()
    latest = system.get_run(run.id)
    assert system.orchestrator is not None
    (runner,) = system.runners.values()
    processes = [
        _Process("run", run_pid, lambda: latest.progress.current),
        _Process("runner", runner.pid, lambda: latest.last_sequence),
        _Process("orchestrator", system.orchestrator.pid, lambda: latest.last_sequence),
        _Process("client", client.pid, lambda: _last(client)),
    ]
    said = 0.0
    while client.alive:
        latest = system.get_run(run.id)
        for process in processes:
            process.look()
        if time.monotonic() >= said + SAY:
            said = time.monotonic()
            bench.say(f"{what}: {latest.last_sequence:,} of {count:,} events committed, {_last(client):,} watched")
        time.sleep(LOOK)
    if client.wait() != 0 or _last(client) != count:
        raise AssertionError(f"the watcher had {_last(client)} of {count} events\n{client.log}")
    return processes


def _last(client: Child) -> int:
    return int(client.lines[-1]) if client.lines else 0


def _growth(process: _Process, count: int, first: int) -> tuple[float, float, float]:
    """Percent, and the MB that it is a percentage of and has come to."""
    # One of few events may have ended before it was seen so far.
    later = [entry for entry in process.seen if entry[0] >= first] or process.seen[-1:]
    begin = percentile([size for events, size in later if events <= 2 * first] or [later[0][1]], SHARE)
    end = percentile([size for events, size in later if 0.9 * count <= events < count] or [later[-1][1]], SHARE)
    return (end / begin - 1) * 100, begin, end
