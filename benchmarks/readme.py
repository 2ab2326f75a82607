"""The table of the README: written by the run that measured it, never by hand."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.figures import Figure, as_markdown

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- benchmarks: written by `make bench` -->", "<!-- end of benchmarks -->"


def write(figures: Sequence[Figure], machine: str, path: Path = README) -> None:
    """Write the table in the place of the last one. ValueError when the marks are gone."""
    put(path, BEGIN, END, machine, as_markdown(figures))


def put(path: Path, begin: str, end: str, machine: str, table: str) -> None:
    """Replace what stands between two marks of a page. ValueError when they are gone."""
    before, found_begin, rest = path.read_text().partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise ValueError(f"{path} has no place for the table: the lines {begin} and {end}")
    day = datetime.now(UTC).date()
    path.write_text(f"{before}{begin}\nMeasured {day} on {machine}.\n\n{table}\n{end}{after}")
