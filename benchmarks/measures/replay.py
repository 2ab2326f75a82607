"""Replay: who comes late to a long run, beside a bare grpc.aio stream of the same messages.

The bare server is a process of its own that has taken the very messages from Athanor beforehand and sends them from
memory: no database, no positions. Its client receives them and opens none. Beside it stand the two ways of the public
client: `watch_batches()`, which checks that no event is missing and leaves them as they came, and `watch()`, which
makes a Python object of every event and gives them one by one. What comes with the figures tells whose part it is: the
server's (its messages, unopened) or the client's (the same reading from the bare server).
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.figures import Figure, median, number
from tests.support.system import System

PROCESSES = Path(__file__).resolve().parent.parent / "processes"
REACH = 0.5


def measure(bench: Bench) -> Iterator[Figure]:
    """On each database."""
    count = bench.size(5_000, 1_000_000)
    for database in bench.databases():
        with bench.system(database, slots=1) as system:
            bench.say(f"replay, {database.name}: a run of {count} events")
            run = system.start_run("flood", {"count": count})
            system.wait_for_end(run.id, 600)
            command = [sys.executable, str(PROCESSES / "bare_stream.py"), system.target, run.id]
            bare = system.start("bare-stream", *command).wait_for_line(r"^listening on (\S+)$", 120)[1]

            took: dict[tuple[str, str], list[float]] = {}
            for turn in range(bench.rounds):
                bench.say(f"replay, {database.name}, round {turn + 1} of {bench.rounds}")
                for name, target, how in (
                    ("bare", bare, "bytes"),
                    ("athanor", system.target, "batches"),
                    ("athanor", system.target, "watch"),
                    ("athanor", system.target, "bytes"),
                    ("bare", bare, "batches"),
                    ("bare", bare, "watch"),
                ):
                    seconds, events = _read(system, how, target, run.id)
                    if how != "bytes" and events < count:
                        raise AssertionError(f"{events} events came of {count}")
                    took.setdefault((name, how), []).append(seconds)

        rate = {which: count / median(seconds) for which, seconds in took.items()}
        limit = rate["bare", "bytes"]
        for how, call in (("batches", "watch_batches()"), ("watch", "watch()")):
            yield Figure(
                f"replay of {count:,} events by {call}, {database.name}",
                rate["athanor", how] / limit,
                "of a bare stream",
                REACH,
                "more",
                f"{number(rate['athanor', how])} events/s beside {number(limit)}; the server alone "
                f"{number(rate['athanor', 'bytes'])}, {call} of the bare stream {number(rate['bare', how])}",
            )


def _read(system: System, how: str, target: str, run_id: str) -> tuple[float, int]:
    """Seconds, and events that were counted."""
    reader = system.start("reader", sys.executable, str(PROCESSES / "replay_reader.py"), how, target, run_id)
    seconds, events, _ = json.loads(reader.wait_for_line(r"^\[.*\]$", 300)[0])
    reader.wait()
    return seconds, events
