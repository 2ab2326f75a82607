"""What a measurement found, and how it is printed."""

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Figure:
    """One line of the table: what was reached for and what was measured, beside the limit that it is compared with."""

    what: str  # "durable ingest, one run, SQLite"
    measured: float
    unit: str  # "ms", "MB", "of the limit", "runs/s"
    reach: float  # in the same unit
    better: Literal["more", "less"]
    beside: str = ""  # the absolute figures behind a ratio, measured in the same run; and what the limit is

    @property
    def reached(self) -> bool:
        """Whether it is as good as what was reached for."""
        return self.measured >= self.reach if self.better == "more" else self.measured <= self.reach

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> "Figure":
        """The inverse of `to_json`."""
        values: dict[str, Any] = json.loads(line)
        return cls(**values)


def number(value: float) -> str:
    """Three significant digits and no more: these machines are noisy."""
    if abs(value) >= 99.95:
        digits = len(str(int(abs(value) + 0.5))) - 3
        return f"{round(value, -digits):,.0f}"
    return f"{value:.3g}"


def percentile(values: Iterable[float], share: float) -> float:
    """The value that `share` (0 to 1) of the values do not exceed. ValueError when there is none."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def median(values: Iterable[float]) -> float:
    """The value in the middle."""
    return statistics.median(values)


def as_markdown(figures: Sequence[Figure]) -> str:
    """The table of the README."""
    rows = [f"| {figure.what} | {_reach(figure)} | {_emphasised(figure)} | {figure.beside} |" for figure in figures]
    return "\n".join(["| what | reach | measured | beside |", "| --- | --- | --- | --- |", *rows])


def renewed(table: str, figures: Sequence[Figure]) -> str:
    """The table with the lines of these figures in the place of their older ones. ValueError when one has none."""
    rows = table.splitlines()
    place = {row.split("|")[1].strip(): number for number, row in enumerate(rows) if row.startswith("| ")}
    for figure, row in zip(figures, as_markdown(figures).splitlines()[2:], strict=True):
        if figure.what not in place:
            raise ValueError(f"the table has no line for {figure.what}: write it by a run of the whole first")
        rows[place[figure.what]] = row
    return "\n".join(rows)


def as_line(figure: Figure) -> str:
    """The line of a terminal."""
    mark = " " if figure.reached else "!"
    return f"{mark} {figure.what:<52}{_reach(figure):>24}{number(figure.measured):>12}   {figure.beside}"


def _emphasised(figure: Figure) -> str:
    return number(figure.measured) if figure.reached else f"**{number(figure.measured)}**"


def _reach(figure: Figure) -> str:
    return f"{'≥' if figure.better == 'more' else '≤'} {number(figure.reach)} {figure.unit}"
