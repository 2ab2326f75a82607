"""The measurements, each in a file of its own, in the order of the table."""

from benchmarks.bench import Measure
from benchmarks.measures import ctx_log, fanout, ingest, latency, launch, memory, memory_long, replay, startup

MEASURES: dict[str, Measure] = {
    "ingest": ingest.measure,
    "ctx-log": ctx_log.measure,
    "latency": latency.measure,
    "launch": launch.measure,
    "fan-out": fanout.measure,
    "memory": memory.measure,
    "memory-long": memory_long.measure,
    "replay": replay.measure,
    "start-up": startup.measure,
}
