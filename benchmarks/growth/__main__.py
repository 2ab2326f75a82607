"""`python -m benchmarks.growth`: fill a database and print how it means to carry out what is asked of it."""

import argparse
import tempfile
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.growth.filling import Size, fill
from benchmarks.growth.plans import plans, scans


def main() -> None:
    """Print the plans, those that scan a table marked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    how = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="athanor-growth-") as name:
        bench = Bench(Path(name), only=frozenset({how.database}))
        for database in bench.databases():
            url = database.url or f"sqlite:///{name}/athanor.db"
            grown = fill(url, Size(max(1, how.runs // 10), how.runs), bench.say)
            for query, plan in plans(url, grown).items():
                print(f"{'!' if scans(plan) else ' '} {query}\n{plan}\n")


if __name__ == "__main__":
    main()
