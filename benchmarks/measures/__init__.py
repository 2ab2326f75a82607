"""The measurements, each in a file of its own, in the order of the table."""

from benchmarks.bench import Measure
from benchmarks.measures import ingest, launch

MEASURES: dict[str, Measure] = {
    "ingest": ingest.measure,
    "launch": launch.measure,
}
