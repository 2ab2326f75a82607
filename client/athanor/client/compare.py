"""Runs side by side: what differs in their configurations, what they have found, how sure that is.

    comparison = compare(runs, results)           or `client.runs.compare([...])`, which fetches both
    comparison.to_pandas()                        a row for each run
    comparison.groups                             repeats together: mean, spread and interval of each metric
    comparison.plot("accuracy")

A *metric* is a number among a run's results, named by its key; a number inside of a nested value by its path,
`usage.tokens` under the key `usage`. Of a key that repeats the last value counts: such a key is a curve, and the last
is where it got to. True and false are no numbers, and lists are not taken apart.

*Repeats* are runs of one instance with the same configuration: an instance that was changed between two runs is another
measurement. Only those that have completed enter mean and interval; where a run that failed or still goes on has got
to is in its row, and is not a repeat of the same measurement.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from athanor.client import _frames, _plot, paths
from athanor.client import _html as html
from athanor.client._frames import Kind
from athanor.client._statistics import Summary, summarize
from athanor.client.enums import RunState
from athanor.client.events import Result
from athanor.client.resources import RunRecord

if TYPE_CHECKING:
    import pandas
    import polars
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Number: TypeAlias = int | float


@dataclass(frozen=True)
class Row:
    """One run of a comparison."""

    run: RunRecord
    configuration: Mapping[str, Any]  # what stands at each path that differs; `paths.MISSING` where it has nothing
    metrics: Mapping[str, Number]  # those that it has


@dataclass(frozen=True)
class Group:
    """Runs of one instance with the same configuration."""

    instance_id: str
    label: str  # tells it from the other groups: what differs, or the instance
    rows: tuple[Row, ...]
    summaries: Mapping[str, Summary]  # of each metric that a completed run of it has


@dataclass(frozen=True)
class Comparison:
    """Runs side by side; see the module."""

    rows: tuple[Row, ...]  # in the order asked for
    paths: tuple[str, ...]  # of the configurations, those that differ
    metrics: tuple[str, ...]
    groups: tuple[Group, ...]  # in the order of their first runs
    confidence: float  # of the intervals

    def to_pandas(self) -> "pandas.DataFrame":
        """Return a pandas frame with a row for each run.

        Columns: `id`, `instance`, `experiment`, `state`, `duration`, `seed`; `configuration.PATH` for each path that
        differs; and for each metric `result.METRIC`, the run's own number, and over its repeats `count.METRIC`,
        `mean.METRIC`, `std.METRIC` (n - 1), `low.METRIC` and `high.METRIC` (the interval's ends), missing where there
        are too few. Numbers are exact, as in `Results.to_pandas`. Raises MissingExtraError without pandas.
        """
        return _frames.to_pandas(self._columns())

    def to_polars(self) -> "polars.DataFrame":
        """Return a polars frame as `to_pandas` returns a pandas one. Raises MissingExtraError without polars."""
        return _frames.to_polars(self._columns())

    def plot(self, metric: str | Sequence[str] | None = None, *, axes: "Axes | None" = None) -> "Figure":
        """Draw metrics: each run a point, each group its mean with the confidence interval, a panel for each metric.

        `metric` is one, or several; all of them when it is not given. The figure is not pyplot's: a notebook shows it
        as the value of a cell, a script saves it with `savefig`. `axes` draws a single metric into a figure of yours.
        Raises ValueError when there is no such metric, MissingExtraError without matplotlib.
        """
        if metric is None:
            chosen = self.metrics
        else:
            chosen = (metric,) if isinstance(metric, str) else tuple(metric)
        if not chosen:
            raise ValueError("there is nothing to plot: these runs have no numeric results")
        for name in chosen:
            if name not in self.metrics:
                raise ValueError(f"there is no metric {name!r}; there are {', '.join(self.metrics) or 'none'}")
        return _plot.draw([self._panel(name) for name in chosen], axes)

    def _panel(self, metric: str) -> _plot.Panel:
        bars = list[_plot.Bar]()
        for group in self.groups:
            having = [row for row in group.rows if metric in row.metrics]
            completed = [row.metrics[metric] for row in having if _completed(row)]
            others = [row.metrics[metric] for row in having if not _completed(row)]
            bars.append(_plot.Bar(group.label, completed, others, group.summaries.get(metric)))
        return _plot.Panel(metric, bars, self.confidence)

    def _columns(self) -> Iterator[_frames.Column]:
        runs = [row.run for row in self.rows]
        yield _frames.column("id", [run.id for run in runs], Kind.TEXT)
        yield _frames.column("instance", [run.instance_id for run in runs], Kind.TEXT)
        yield _frames.column("experiment", [run.experiment for run in runs], Kind.TEXT)
        yield _frames.column("state", [run.state.value for run in runs], Kind.TEXT)
        yield _frames.column("duration", [run.duration for run in runs], Kind.DURATION)
        yield _frames.column("seed", [run.seed for run in runs], Kind.UINT64)
        for path in self.paths:
            yield _frames.column(f"configuration.{path}", [row.configuration[path] for row in self.rows])
        summaries = {row.run.id: group.summaries for group in self.groups for row in group.rows}
        for metric in self.metrics:
            yield _frames.column(f"result.{metric}", [row.metrics.get(metric) for row in self.rows])
            found = [summaries[run.id].get(metric) for run in runs]
            yield _frames.column(f"count.{metric}", [one.count if one else 0 for one in found], Kind.INT64)
            yield _statistic(f"mean.{metric}", [one and one.mean for one in found])
            yield _statistic(f"std.{metric}", [one and one.standard_deviation for one in found])
            yield _statistic(f"low.{metric}", [one and one.low for one in found])
            yield _statistic(f"high.{metric}", [one and one.high for one in found])

    def __repr__(self) -> str:
        return f"<Comparison: {len(self.rows)} runs, {len(self.paths)} paths differ, {len(self.metrics)} metrics>"

    def _repr_html_(self) -> str:
        from athanor.client import notebook

        return notebook.comparison_html(self)


def compare(
    runs: Iterable[RunRecord],
    results: Mapping[str, Iterable[Result]],
    *,
    confidence: float = 0.95,
    names: Mapping[str, str] | None = None,
) -> Comparison:
    """Compare runs.

    `runs` were got or listed with their configurations; one that is named twice counts once. `results` has the results
    of each by its id, in order. `confidence` is that of the intervals. `names` gives instances by their ids names for
    people. Raises LookupError for a run without its configuration, ValueError when `confidence` is not between 0 and 1.
    """
    unique = list({run.id: run for run in runs}.values())
    differing = paths.differences([run.configuration for run in unique])
    found = [metrics_of(results.get(run.id, ())) for run in unique]
    rows = tuple(
        Row(run, {paths.dotted(path): values[index] for path, values in differing.items()}, metrics)
        for index, (run, metrics) in enumerate(zip(unique, found, strict=True))
    )
    return Comparison(
        rows=rows,
        paths=tuple(map(paths.dotted, differing)),
        metrics=tuple(dict.fromkeys(name for metrics in found for name in metrics)),
        groups=tuple(_groups(rows, confidence, names or {})),
        confidence=confidence,
    )


def metrics_of(results: Iterable[Result]) -> dict[str, Number]:
    """Return the numbers among results by their names: the last of each, superseded ones left out.

    A number that no float holds, not even roughly (1e999), is left out: nothing can be computed with it.
    """
    last = {result.key: result for result in results if not result.superseded}
    leaves = {
        paths.dotted((key, *path)): leaf
        for key, result in last.items()
        for path, leaf in paths.leaves(result.value, into_lists=False).items()
    }
    return {name: leaf for name, leaf in leaves.items() if _is_number(leaf)}


def _groups(rows: Sequence[Row], confidence: float, names: Mapping[str, str]) -> Iterator[Group]:
    repeats: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        # Where no path differs the configurations are the same.
        place = tuple(map(_identity, row.configuration.values()))
        repeats.setdefault((row.run.instance_id, *place), []).append(row)
    for group, label in zip(repeats.values(), _labels([group[0] for group in repeats.values()], names), strict=True):
        summaries = {
            name: summarize(values, confidence)
            for name in dict.fromkeys(name for row in group for name in row.metrics)
            if (values := [row.metrics[name] for row in group if _completed(row) and name in row.metrics])
        }
        yield Group(group[0].run.instance_id, label, tuple(group), summaries)


def _labels(firsts: Sequence[Row], names: Mapping[str, str]) -> list[str]:
    """Return the shortest words that tell groups apart: names of the instances, what differs, both; else their ids."""
    ids = [row.run.instance_id for row in firsts]
    called = [names.get(id, id) if names else "" for id in ids]
    differing = [", ".join(f"{path}={_short(value)}" for path, value in row.configuration.items()) for row in firsts]
    both = [": ".join(filter(None, pair)) for pair in zip(called, differing, strict=True)]
    for labels in (called, differing, both):
        if all(labels) and len(set(labels)) == len(labels):
            return labels
    return [": ".join(filter(None, pair)) for pair in zip(ids, differing, strict=True)]


def _short(value: Any) -> str:
    return "(none)" if value is paths.MISSING else html.value(value, longest=20)


def _completed(row: Row) -> bool:
    return row.run.state is RunState.COMPLETED


def _identity(leaf: Any) -> Any:
    """What is equal exactly for leaves that are the same, as `paths.differences` has it, and hashable."""
    kind = type(leaf) if isinstance(leaf, (bool, list, dict)) else None
    return kind, leaf if isinstance(leaf, bool) or kind is None else None


def _is_number(leaf: Any) -> bool:
    if isinstance(leaf, bool) or not isinstance(leaf, (int, float)):
        return False
    try:
        return math.isfinite(float(leaf))
    except OverflowError:
        return False


def _statistic(name: str, values: Sequence[float | None]) -> _frames.Column:
    return _frames.column(name, cast("Sequence[Any]", values), Kind.FLOAT64)
