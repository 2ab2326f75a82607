"""The measurements, each in a file of its own, in the order of the table."""

from benchmarks.bench import Measure
from benchmarks.measures import ingest, launch, memory, memory_long, startup

MEASURES: dict[str, Measure] = {
    "ingest": ingest.measure,
    "launch": launch.measure,
    "memory": memory.measure,
    "memory-long": memory_long.measure,
    "start-up": startup.measure,
}
