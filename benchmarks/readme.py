"""The table of the README: written by the run that measured it, never by hand."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.figures import Figure, as_markdown

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- benchmarks: written by `make bench` -->", "<!-- end of benchmarks -->"


def write(figures: Sequence[Figure], machine: str, path: Path = README) -> None:
    """Replace what stands between the marks. ValueError when the marks are gone."""
    text = path.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no place for the table: the lines {BEGIN} and {END}")
    day = datetime.now(UTC).date()
    path.write_text(f"{before}{BEGIN}\nMeasured {day} on {machine}.\n\n{as_markdown(figures)}\n{end}{after}")
