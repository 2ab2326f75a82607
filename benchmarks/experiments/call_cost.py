"""Takes the time of each call of `ctx.log`, and of the least that any such call would do, in the same run."""

import gc
import json
import os
import tempfile
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

from athanor.experiment import RunContext, experiment
from pydantic import BaseModel, Field

MESSAGE = "epoch finished, and this is a message of sixty characters ok"
CALIBRATION = 20_000  # how often the clock is read to know what reading it costs
PIECES = 20  # in which the calls and what they are compared with take turns


class Config(BaseModel):
    calls: int = Field(200_000, ge=PIECES, description="how often each is called")
    work_us: int = Field(0, ge=0, description="what the experiment computes between two calls, microseconds")
    folder: Path = Field(description="where to write what the call is compared with: on the disk that the spool is on")


class Times:
    """What calls took, each by itself, in memory that was there before the first: nothing is allocated in between."""

    def __init__(self, count: int, bare_ns: int) -> None:
        self._taken = array("q", bytes(8 * count))
        self._count = 0
        self._bare_ns = bare_ns

    def measure(self, call: Callable[[], Any], times: int, work_ns: int) -> None:
        """Call, again and again; with a computation between two calls that is no part of them."""
        clock, taken = time.perf_counter_ns, self._taken
        for index in range(self._count, self._count + times):
            start = clock()
            call()
            taken[index] = clock() - start
            if work_ns:
                until = clock() + work_ns
                while clock() < until:
                    pass
        self._count += times

    def share(self, share: float) -> float:
        """How many microseconds `share` of the calls did not exceed."""
        ordered = sorted(self._taken[: self._count])
        return (ordered[min(len(ordered) - 1, int(share * len(ordered)))] - self._bare_ns) / 1000


@experiment(name="call_cost")
def call_cost(ctx: RunContext[Config]) -> None:
    """Log with metadata of two numbers; beside it write as many bytes, and make the same metadata to JSON."""
    assert gc.isenabled()
    clock = time.perf_counter_ns
    bare = array("q", bytes(8 * CALIBRATION))
    for index in range(CALIBRATION):
        start = clock()
        nothing()
        bare[index] = clock() - start
    bare_ns = sorted(bare)[CALIBRATION // 2]

    count, work_ns = ctx.config.calls // PIECES, ctx.config.work_us * 1000
    numbers = iter(range(1 << 62))
    logged, written, encoded = (Times(count * PIECES, bare_ns) for _ in range(3))

    def log() -> None:
        ctx.log("info", MESSAGE, {"epoch": next(numbers), "loss": 0.123456})

    with tempfile.TemporaryFile(dir=ctx.config.folder, buffering=0) as file:
        descriptor, record = file.fileno(), bytes(144)  # as long as the record of such an entry
        metadata = {"epoch": 123_456, "loss": 0.123456}
        for _ in range(PIECES):
            logged.measure(log, count, work_ns)
            written.measure(lambda: os.write(descriptor, record), count, work_ns)
            encoded.measure(lambda: json.dumps(metadata), count, work_ns)

    for name, times in (("log", logged), ("write", written), ("json", encoded)):
        for label, share in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)):
            ctx.result(f"{name} {label}", times.share(share))


def nothing() -> None:
    """What a call of a function costs is no part of what is called."""
