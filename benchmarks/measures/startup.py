"""Start-up: from the start of `athanor up` until health is SERVING and a runner has a session.

Both are asked over gRPC, every 5 ms, from the moment at which somebody listens at the address. Once with a data folder
that is not there yet, once with the one that the start before has left. What is compared with is an interpreter that
imports gRPC and ends: two of the processes that are started do that at least.
"""

import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.figures import Figure, median, number
from benchmarks.whole import up

REACH = 1.5  # seconds


def measure(bench: Bench) -> Iterator[Figure]:
    """Both in turn, and the bare interpreter beside them."""
    empty: list[float] = []
    existing: list[float] = []
    bare: list[float] = []
    starts = bench.size(1, 2 * bench.rounds + 1)
    for turn in range(starts):
        bench.say(f"start-up, {turn + 1} of {starts}")
        bare.append(_bare())
        with bench.temporary() as folder:
            with up(folder) as whole:
                empty.append(whole.seconds)
            with up(folder) as whole:
                existing.append(whole.seconds)
    beside = f"an interpreter that imports grpc {number(median(bare))} s; median of {starts}"
    yield Figure("start-up, empty data folder", median(empty), "s", REACH, "less", f"{beside}, {_spread(empty)}")
    yield Figure(
        "start-up, existing data folder", median(existing), "s", REACH, "less", f"{beside}, {_spread(existing)}"
    )


def _bare() -> float:
    begin = time.monotonic()
    subprocess.run([sys.executable, "-c", "import grpc.aio"], check=True)
    return time.monotonic() - begin


def _spread(seconds: list[float]) -> str:
    return f"{number(min(seconds))} to {number(max(seconds))} s"
