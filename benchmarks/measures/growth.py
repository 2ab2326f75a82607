"""What calls take on a database that has grown, beside one that is all but empty: the same calls, in turn."""

import asyncio
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.bench import Bench, Database
from benchmarks.figures import Figure, number, percentile
from benchmarks.growth.calls import Seconds, Side, compare
from benchmarks.growth.filling import Grown, Size, fill
from benchmarks.growth.plans import plans, scans
from tests.support.system import System

SMALL = Size(instances=200, runs=2000)  # a page of whatever is asked for, and little more
REACH = 2.0  # times as long as on the small one
STARTED = ("get", "list", "start", "claim", "watch")  # the calls of the table; a listing is the slowest of its kinds


def measure(bench: Bench) -> Iterator[Figure]:
    """Get, list, start, claim and watch; what a plan scans; how long the orchestrator takes to start."""
    size = Size(
        instances=bench.size(100, 100_000),
        runs=bench.size(1000, 1_000_000),
        events_per_run=bench.size(10, 10, 100),
    )
    for database in bench.databases():
        with ExitStack() as stack:
            small = stack.enter_context(bench.sqlite() if database.url is None else bench.postgresql())
            yield from _measure(bench, stack, size, small, database)


def _measure(bench: Bench, stack: ExitStack, size: Size, small: Database, large: Database) -> Iterator[Figure]:
    where = f"{size.runs:,} runs and {size.runs * size.events_per_run:,} events"
    systems, sides, found = list[System](), list[Grown](), dict[str, str]()
    begin = time.monotonic()
    little = SMALL if bench.scale != "quick" else Size(instances=50, runs=500)
    for database, amount in ((small, little), (large, size)):
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=bench.folder)))
        url = database.url or f"sqlite:///{folder / 'data' / 'athanor.db'}"
        sides.append(fill(url, amount, bench.say))
        found = plans(url, sides[-1])
        systems.append(stack.enter_context(System(folder, database_url=database.url)))
    filled = time.monotonic() - begin
    for name, plan in found.items():
        print(f"plan on {large.name}: {name}\n{textwrap.indent(plan, '    ')}")
    scanned = [name for name, plan in found.items() if scans(plan)]

    starts: list[list[float]] = [[], []]
    for round_ in range(bench.rounds):
        for times, system in zip(starts, systems, strict=True):
            if round_:
                assert system.orchestrator is not None
                system.orchestrator.stop()
            begin = time.monotonic()
            system.start_orchestrator()
            times.append(time.monotonic() - begin)

    before, after = asyncio.run(_compare(bench, [system.target for system in systems], sides))
    for call in STARTED:
        worst = max(
            (name for name in before if name.split()[0] == call),
            key=lambda name: percentile(after[name], 0.99) / percentile(before[name], 0.99),
        )
        yield _figure(
            f"growth, {call} p99, {large.name}", worst, before, after, f"{where} against {little.runs:,} runs"
        )
    yield Figure(
        f"growth, start-up, {large.name}",
        min(starts[1]) / min(starts[0]),
        "of a small one's",
        REACH,
        "less",
        f"{number(min(starts[1]) * 1000)} ms against {number(min(starts[0]) * 1000)} ms; filled in {filled:.0f} s",
    )
    yield Figure(
        f"growth, plans that scan a table, {large.name}", len(scanned), "", 0, "less", ", ".join(scanned) or where
    )


async def _compare(bench: Bench, targets: list[str], contents: list[Grown]) -> list[Seconds]:
    sides = [Side(target, grown) for target, grown in zip(targets, contents, strict=True)]
    await compare(sides, times=bench.size(10, 400), warm=bench.size(1, 20), say=bench.say)
    return [side.seconds for side in sides]


def _figure(what: str, name: str, before: Seconds, after: Seconds, where: str) -> Figure:
    p99, p50 = ([percentile(side[name], share) for side in (after, before)] for share in (0.99, 0.5))
    beside = (
        f"{name}: {number(p99[0] * 1000)} ms against {number(p99[1] * 1000)} ms, p50 {number(p50[0] * 1000)} ms"
        f" against {number(p50[1] * 1000)} ms; {where}"
    )
    return Figure(what, p99[0] / p99[1], "of a small one's", REACH, "less", beside)
