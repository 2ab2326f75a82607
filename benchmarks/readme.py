"""The table of the README: written by the run that measured it, never by hand."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.figures import Figure, as_markdown, renewed

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- benchmarks: written by `make bench` -->", "<!-- end of benchmarks -->"


def write(figures: Sequence[Figure], machine: str, path: Path = README) -> None:
    """Write the table in the place of the last one. ValueError when the marks are gone."""
    put(path, BEGIN, END, machine, as_markdown(figures))


def renew(names: Sequence[str], figures: Sequence[Figure], machine: str, path: Path = README) -> None:
    """Write the lines of these measurements in the place of their older ones, and say when.

    ValueError when there is no table of this very machine, or it has no such lines.
    """
    found = path.read_text().partition(BEGIN)[2].partition(END)[0].strip()
    head, _, table = found.partition("\n\n")
    if f" on {machine}." not in head:
        raise ValueError(f"{path} has no table of this machine: a run of the whole writes one")
    day = datetime.now(UTC).date()
    text = f"{head}\nMeasured again on {day}: {', '.join(names)}.\n\n{renewed(table, figures)}"
    before, _, rest = path.read_text().partition(BEGIN)
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")


def put(path: Path, begin: str, end: str, machine: str, table: str) -> None:
    """Replace what stands between two marks of a page. ValueError when they are gone."""
    before, found_begin, rest = path.read_text().partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise ValueError(f"{path} has no place for the table: the lines {begin} and {end}")
    day = datetime.now(UTC).date()
    path.write_text(f"{before}{begin}\nMeasured {day} on {machine}.\n\n{table}\n{end}{after}")
