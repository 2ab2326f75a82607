"""The measurements, each in a file of its own, in the order of the table."""

from benchmarks.bench import Measure

MEASURES: dict[str, Measure] = {}
