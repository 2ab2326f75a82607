"""Replay: who comes late to a long run, beside a bare grpc.aio stream of the same messages.

The bare server is a process of its own that has taken the very messages from Athanor beforehand and sends them from
memory: no database, no positions. Its client parses them by protobuf and counts their events; Athanor's is the public
client's `watch()`, which makes a Python object of every event and gives them one by one. That is the figure. Beside it:
the same with messages that nobody opens, on both sides, which is the server's part alone.
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
                    ("bare", bare, "messages"),
                    ("athanor", system.target, "watch"),
                    ("bare", bare, "bytes"),
                    ("athanor", system.target, "bytes"),
                    ("bare", bare, "watch"),
                ):
                    seconds, events = _read(system, how, target, run.id)
                    if how != "bytes" and events < count:
                        raise AssertionError(f"{events} events came of {count}")
                    took.setdefault((name, how), []).append(seconds)

        rate = {which: count / median(seconds) for which, seconds in took.items()}
        yield Figure(
            f"replay of {count:,} events by watch(), {database.name}",
            rate["athanor", "watch"] / rate["bare", "messages"],
            "of a bare stream",
            REACH,
            "more",
            f"{number(rate['athanor', 'watch'])} events/s beside {number(rate['bare', 'messages'])} parsed, counted; "
            f"watch() of the bare stream {number(rate['bare', 'watch'])}",
        )
        yield Figure(
            f"replay of {count:,} events, messages unopened, {database.name}",
            rate["athanor", "bytes"] / rate["bare", "bytes"],
            "of a bare stream",
            REACH,
            "more",
            f"{number(rate['athanor', 'bytes'])} events/s beside {number(rate['bare', 'bytes'])}",
        )


def _read(system: System, how: str, target: str, run_id: str) -> tuple[float, int]:
    """Seconds, and events that were counted."""
    reader = system.start("reader", sys.executable, str(PROCESSES / "replay_reader.py"), how, target, run_id)
    seconds, events, _ = json.loads(reader.wait_for_line(r"^\[.*\]$", 300)[0])
    reader.wait()
    return seconds, events
