"""Looking for worlds that break a promise, and keeping what is found as a short trace.

    python -m tests.simulation.hunt SEED SEED [--mutant NAME] [--weather KIND=FACTOR ...] [--keep FOLDER]

Goes through seeds until a promise is broken; with --mutant that rule is taken out meanwhile, and --weather makes more
of one kind of fault and less of all others. What is found is shortened by leaving out decisions for as long as it
still breaks, and written to the folder.
"""

import argparse
import logging
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

from tests.simulation.decisions import Drawn, Replayed, Trace, intensities
from tests.simulation.mutants import MUTANTS
from tests.simulation.simulate import simulate
from tests.simulation.store import Engine
from tests.support.inline_database import make_template

TRACES = Path(__file__).parent / "traces"
TRIES = 60  # replays that shortening may take


def shorten(trace: Trace, breaks: Callable[[Trace], bool], tries: int = TRIES) -> Trace:
    """Leave out decisions, in ever smaller pieces, while it still breaks."""
    pieces = 2
    while tries > 0 and pieces <= 2 * max(len(trace.choices), 1):
        keys = list(trace.choices)
        size = max(1, -(-len(keys) // pieces))
        for start in range(0, len(keys), size):
            if tries <= 0:
                break
            tries -= 1
            shorter = trace.without(keys[start : start + size])
            if breaks(shorter):
                trace = shorter
        pieces = pieces * 2 if size > 1 else sys.maxsize
    return trace


def main(arguments: Sequence[str]) -> int:
    """Look, and keep what is found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=int)
    parser.add_argument("behind", type=int)
    parser.add_argument("--mutant", choices=[mutant.name for mutant in MUTANTS])
    parser.add_argument("--weather", nargs="*", default=[])
    parser.add_argument("--keep", type=Path, default=TRACES)
    told = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    weather = {kind: float(factor) for kind, factor in (entry.split("=") for entry in told.weather)}
    mutant = next((each for each in MUTANTS if each.name == told.mutant), None)

    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(make_template(Path(folder) / "template.db"))
        for seed in range(told.first, told.behind):
            factors = intensities(seed)
            if weather:
                factors = dict.fromkeys(factors, 0.2) | weather
            drawn = Drawn(seed, factors)
            with mutant.installed() if mutant else nullcontext():
                breach = simulate(engine, drawn).breach
            if not breach:
                continue
            print(f"seed {seed}: {breach}")

            def breaks(trace: Trace) -> bool:
                if mutant is not None:
                    with mutant.installed():
                        if not simulate(engine, Replayed(trace)).breach:
                            return False
                    return not simulate(engine, Replayed(trace)).breach
                return bool(simulate(engine, Replayed(trace)).breach)

            if not breaks(drawn.trace):
                print("it does not break again when it is replayed, or also without the mutation")
                continue
            trace = shorten(drawn.trace, breaks)
            with mutant.installed() if mutant else nullcontext():
                breach = simulate(engine, Replayed(trace)).breach
            name = mutant.name if mutant else f"seed-{seed}"
            trace.write(told.keep / f"{name}.json", breach=breach)
            print(f"{name}: {len(trace.choices)} decisions, {breach}")
            return 0
    print("nothing was found")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
