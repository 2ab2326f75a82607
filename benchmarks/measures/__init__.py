"""The measurements, each in a file of its own, in the order of the table."""

from benchmarks.bench import Measure
from benchmarks.measures import (
    ctx_log,
    fanout,
    growth,
    ingest,
    latency,
    launch,
    many_runs,
    memory,
    memory_long,
    replay,
    startup,
)

MEASURES: dict[str, Measure] = {
    "ingest": ingest.measure,
    "ctx-log": ctx_log.measure,
    "latency": latency.measure,
    "launch": launch.measure,
    "many-runs": many_runs.measure,
    "fan-out": fanout.measure,
    "memory": memory.measure,
    "memory-long": memory_long.measure,
    "growth": growth.measure,
    "replay": replay.measure,
    "start-up": startup.measure,
}
