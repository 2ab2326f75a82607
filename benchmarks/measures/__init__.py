"""The measurements, each in a file of its own, in the order of the table."""

from benchmarks.bench import Measure
from benchmarks.measures import growth, many_runs

MEASURES: dict[str, Measure] = {
    "many_runs": many_runs.measure,
    "growth": growth.measure,
}
