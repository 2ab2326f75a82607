"""`make bench`, or `python -m benchmarks NAME ...` for some of the measurements."""

import argparse
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from benchmarks import leaving, readme
from benchmarks.bench import Bench
from benchmarks.figures import Figure, as_line
from benchmarks.measures import MEASURES


def main() -> int:
    """Measure what is asked for, print each figure as soon as there is one."""
    chosen = arguments()
    leaving.when_asked()
    figures: list[Figure] = []
    failed: list[str] = []
    begin = time.monotonic()
    print(machine())
    with tempfile.TemporaryDirectory(prefix="athanor-bench-", dir=chosen.folder) as name:
        bench = Bench(
            Path(name),
            scale="quick" if chosen.quick else "full" if chosen.full else "normal",
            rounds=chosen.rounds,
            only=frozenset(chosen.database or ()),
        )
        for measure in chosen.names or MEASURES:
            bench.say(f"{measure} ...")
            try:
                for figure in MEASURES[measure](bench):
                    bench.say("")
                    print(as_line(figure), flush=True)
                    figures.append(figure)
            except Exception:  # noqa: BLE001 - one that fails does not take the hour of the others with it
                traceback.print_exc()
                failed.append(measure)
    minutes = (time.monotonic() - begin) / 60
    print(f"{sum(figure.reached for figure in figures)} of {len(figures)} reached, in {minutes:.0f} minutes")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
        return 1
    if chosen.readme and chosen.names:
        readme.renew(chosen.names, figures, machine())
    elif chosen.readme:
        readme.write(figures, machine())
    return 0


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line says. SystemExit when it says what there is not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"what to measure: {', '.join(MEASURES)} (default: all)"
    )
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--quick", action="store_true", help="small sizes: does it work; the figures mean little")
    sizes.add_argument("--full", action="store_true", help="the largest sizes: takes hours")
    parser.add_argument(
        "--rounds", type=int, default=3, help="how often each is measured; the median counts (default 3)"
    )
    parser.add_argument("--database", action="append", choices=("sqlite", "postgresql"), help="one database alone")
    parser.add_argument(
        "--folder", type=Path, help="where to put the databases and spools (default: the temporary folder)"
    )
    parser.add_argument(
        "--readme", action="store_true", help="write the table into README.md; with names, their lines of it alone"
    )
    chosen = parser.parse_args(words)
    if chosen.readme and (chosen.quick or chosen.database):
        parser.error("--readme goes with the sizes of the table, on both databases")
    if unknown := [name for name in chosen.names if name not in MEASURES]:
        parser.error(f"there is no measurement {', '.join(unknown)}; there are {', '.join(MEASURES)}")
    if chosen.rounds < 1:
        parser.error("--rounds must be at least 1")
    return chosen


def machine() -> str:
    """What it was measured on."""
    model = "unknown processor"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores of {model}, {memory:.0f} GiB, Linux {platform.release()}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
