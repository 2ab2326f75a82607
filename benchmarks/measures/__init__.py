"""The measurements, each in a file of its own, in the order of the table."""

from benchmarks.bench import Measure
from benchmarks.measures import fanout, latency, replay

MEASURES: dict[str, Measure] = {
    "latency": latency.measure,
    "fanout": fanout.measure,
    "replay": replay.measure,
}
