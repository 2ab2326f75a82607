"""The measurements, each in a file of its own, in the order of the table."""

from benchmarks.bench import Measure
from benchmarks.measures import ctx_log

MEASURES: dict[str, Measure] = {
    "ctx-log": ctx_log.measure,
}
