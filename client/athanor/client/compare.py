"""Runs side by side: what differs in their configurations, what they have found, how sure that is.

    comparison = compare(runs, results)           or `client.runs.compare([...])`, which fetches both
    comparison.to_pandas()                        a row for each run
    comparison.groups                             repeats together: mean, spread and interval of each metric
    comparison.plot("accuracy")

A *metric* is a number among a run's results, named by its key; a number inside of a nested value by its path,
`usage.tokens` under the key `usage`. Of a key that repeats the last value counts: such a key is a curve, and the last
is where it got to. True and false are no numbers, lists are not taken apart, and what no float holds, not even roughly
(1e999), is left out. Where metrics are chosen, a key stands for all that is in it.

*Repeats* are runs of one instance with the same configuration: an instance that was changed between two runs is another
measurement. Only those that have completed enter mean and interval; where a run that failed or still goes on has got
to is in its row, and is not a repeat of the same measurement.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from athanor.client import _frames, _plot, _text, _words, paths
from athanor.client._frames import Kind
from athanor.client._metrics import Number, metrics_of, select
from athanor.client._statistics import Summary, check_confidence, summarize
from athanor.client.enums import RunState
from athanor.client.events import Result
from athanor.client.resources import RunRecord
from athanor.client.results import Results

if TYPE_CHECKING:
    import pandas
    import polars
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

By: TypeAlias = Literal["run", "group"]

_PANELS = 8  # of a figure in which nobody has chosen


@dataclass(frozen=True)
class Row:
    """One run of a comparison."""

    run: RunRecord
    configuration: Mapping[str, Any]  # what stands at each path that differs; `paths.MISSING` where it has nothing
    metrics: Mapping[str, Number]  # those that it has

    @property
    def code(self) -> str:
        """Digest of the code that made its last attempt; empty when it has had none."""
        return self.run.attempts[-1].code.digest if self.run.attempts else ""


@dataclass(frozen=True)
class Group:
    """Runs of one instance with the same configuration."""

    instance_id: str
    label: str  # tells it from the other groups: what differs, or the instance
    rows: tuple[Row, ...]
    summaries: Mapping[str, Summary]  # of each metric that a completed run of it has

    @property
    def codes(self) -> tuple[str, ...]:
        """Digests of the code of its completed runs, each once. Several: it was changed between repeats."""
        return tuple(dict.fromkeys(row.code for row in self.rows if _completed(row) and row.code))


@dataclass(frozen=True)
class Comparison:
    """Runs side by side; see the module."""

    rows: tuple[Row, ...]  # in the order asked for
    paths: tuple[str, ...]  # of the configurations, those that differ
    metrics: tuple[str, ...]
    groups: tuple[Group, ...]  # in the order of their first runs
    confidence: float  # of the intervals
    named: bool = False  # names of instances were given, and are in the labels of groups

    @property
    def repeated(self) -> bool:
        """Whether any group has more than one run."""
        return any(len(group.rows) > 1 for group in self.groups)

    @property
    def of_several(self) -> bool:
        """Whether the runs are of several experiments."""
        return len({row.run.experiment for row in self.rows}) > 1

    def foremost(self, count: int) -> tuple[str, ...]:
        """Return so many metrics at most, in their order, for where there is no room for all of them.

        Those that at least half of the runs have, unless there are none; of these the last, because what is recorded
        last sums up, most often.
        """
        if len(self.metrics) <= count:
            return self.metrics
        has = {name: sum(name in row.metrics for row in self.rows) for name in self.metrics}
        common = tuple(name for name in self.metrics if 2 * has[name] >= len(self.rows))
        return (common or self.metrics)[-count:]

    def to_pandas(self, by: By = "run") -> "pandas.DataFrame":
        """Return a pandas frame with a row for each run, or for each group.

        Of a run: `id`, `instance`, `group` (the label of its group), `experiment`, `state`, `duration`, `seed`, `code`
        (the digest of what was executed); `configuration.PATH` for each path that differs; and for each metric
        `result.METRIC`, its own number, and over its repeats `count.METRIC`, `mean.METRIC`, `std.METRIC` (n - 1),
        `low.METRIC` and `high.METRIC` (the interval's ends), missing where there are too few. Of a group: `instance`,
        `group`, `experiment`, `runs` (how many there are), configuration, and the same of each metric but for `result`.

        Numbers are exact, as in `Results.to_pandas`. Raises MissingExtraError without pandas.
        """
        return _frames.to_pandas(self._columns(by))

    def to_polars(self, by: By = "run") -> "polars.DataFrame":
        """Return a polars frame as `to_pandas` returns a pandas one. Raises MissingExtraError without polars."""
        return _frames.to_polars(self._columns(by))

    def plot(self, metric: str | Sequence[str] | None = None, *, axes: "Axes | None" = None) -> "Figure":
        """Draw metrics: each run a point, each group its mean with the confidence interval, a panel for each metric.

        `metric` is one, or several, by name or by key; when it is not given, the eight foremost ones. The figure is not
        pyplot's: a notebook shows it as the value of a cell, a script saves it with `savefig`. `axes` draws a single
        metric into a figure of yours. Raises ValueError when there is no such metric, MissingExtraError without
        matplotlib.
        """
        if metric is None:
            chosen = self.foremost(_PANELS)
        else:
            chosen = select(self.metrics, [metric] if isinstance(metric, str) else metric)
        if not chosen:
            raise ValueError("there is nothing to plot: these runs have no numeric results")
        left_out = len(self.metrics) - len(chosen) if metric is None else 0
        return _plot.draw([self._panel(name) for name in chosen], self.confidence, left_out=left_out, axes=axes)

    def _panel(self, metric: str) -> _plot.Panel:
        bars = list[_plot.Bar]()
        for group in self.groups:
            having = [row for row in group.rows if metric in row.metrics]
            completed = [row.metrics[metric] for row in having if _completed(row)]
            others = [row.metrics[metric] for row in having if not _completed(row)]
            bars.append(_plot.Bar(group.label, completed, others, group.summaries.get(metric)))
        return _plot.Panel(metric, bars)

    def _columns(self, by: By) -> Iterator[_frames.Column]:
        group_of = {row.run.id: group for group in self.groups for row in group.rows}
        if by == "group":
            groups = list(self.groups)
            rows = [group.rows[0] for group in groups]
        elif by == "run":
            rows = list(self.rows)
            groups = [group_of[row.run.id] for row in rows]
            yield _frames.column("id", [row.run.id for row in rows], Kind.TEXT)
        else:
            raise ValueError(f"there is no frame by {by!r}: choose run or group")
        yield _frames.column("instance", [row.run.instance_id for row in rows], Kind.TEXT)
        yield _frames.column("group", [group.label for group in groups], Kind.TEXT)
        yield _frames.column("experiment", [row.run.experiment for row in rows], Kind.TEXT)
        if by == "group":
            yield _frames.column("runs", [len(group.rows) for group in groups], Kind.INT64)
        else:
            yield _frames.column("state", [row.run.state.value for row in rows], Kind.TEXT)
            yield _frames.column("duration", [row.run.duration for row in rows], Kind.DURATION)
            yield _frames.column("seed", [row.run.seed for row in rows], Kind.UINT64)
            yield _frames.column("code", [row.code for row in rows], Kind.TEXT)
        for path in self.paths:
            yield _frames.column(f"configuration.{path}", [row.configuration[path] for row in rows])
        for metric in self.metrics:
            if by == "run":
                yield _frames.column(f"result.{metric}", [row.metrics.get(metric) for row in rows])
            yield from _statistics_of(metric, [group.summaries.get(metric) for group in groups])

    def __repr__(self) -> str:
        return _text.comparison_text(self)

    def _repr_html_(self) -> str:
        from athanor.client import notebook

        return notebook.comparison_html(self)


def compare(
    runs: Iterable[RunRecord],
    results: Mapping[str, Results | Iterable[Result]],
    *,
    metrics: Iterable[str] | None = None,
    confidence: float = 0.95,
    names: Mapping[str, str] | None = None,
) -> Comparison:
    """Compare runs, of one experiment or of several, whatever their states.

    `runs` were got or listed with their configurations; one that is named twice counts once. `results` has the results
    of each by its id, in order. `metrics` chooses some, by name or by key; all of them when it is not given.
    `confidence` is that of the intervals. `names` gives instances by their ids names for people.
    Raises LookupError for a run without its configuration, ValueError when `confidence` is not between 0 and 1, or when
    no run has one of the metrics.
    """
    check_confidence(confidence)
    unique = list({run.id: run for run in runs}.values())
    differing = paths.differences([run.configuration for run in unique])
    found = [metrics_of(results.get(run.id, ())) for run in unique]
    # Who has no name for an instance may give its id: what differs says more.
    called = {id: name for id, name in (names or {}).items() if name not in ("", id)}
    every = tuple(dict.fromkeys(name for one in found for name in one))
    chosen = every if metrics is None else select(every, metrics)
    rows = tuple(
        Row(
            run,
            {paths.dotted(path): values[index] for path, values in differing.items()},
            {name: one[name] for name in chosen if name in one},
        )
        for index, (run, one) in enumerate(zip(unique, found, strict=True))
    )
    return Comparison(
        rows=rows,
        paths=tuple(map(paths.dotted, differing)),
        metrics=chosen,
        groups=tuple(_groups(rows, confidence, called)),
        confidence=confidence,
        named=bool(called),
    )


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
    """Return the shortest words that tell groups apart: names of the instances, what differs, both.

    Groups that are alike in all of this, instances of the same name and configuration, have their ids as well.
    """
    ids = [row.run.instance_id for row in firsts]
    called = [names.get(id, "") for id in ids]
    if len({row.run.experiment for row in firsts}) > 1:
        differing = [_joined(row.run.experiment, _differing(row, missing=False)) for row in firsts]
    else:
        differing = [_differing(row, missing=True) for row in firsts]
    both = list(map(_joined, called, differing))
    choices = [labels for labels in (called, differing) if all(labels) and len(set(labels)) == len(set(both))]
    labels = (choices or [both])[0]
    alike = Counter(labels)
    short = _words.short_ids(ids)
    return [
        id if not label else label if alike[label] == 1 else f"{label} ({short[id]})"
        for label, id in zip(labels, ids, strict=True)
    ]


def _differing(row: Row, *, missing: bool) -> str:
    """What differs, in words; with `missing` also where it has nothing."""
    return ", ".join(
        f"{path}={'(none)' if value is paths.MISSING else _words.value(value, longest=20)}"
        for path, value in row.configuration.items()
        if missing or value is not paths.MISSING
    )


def _joined(one: str, other: str) -> str:
    return ": ".join(filter(None, (one, other)))


def _completed(row: Row) -> bool:
    return row.run.state is RunState.COMPLETED


def _identity(leaf: Any) -> Any:
    """What is equal exactly for leaves that are the same, as `paths.differences` has it, and hashable."""
    if isinstance(leaf, list | dict):  # empty ones: what has something inside is no leaf
        return "empty", isinstance(leaf, list)
    return isinstance(leaf, bool), leaf


def _statistics_of(metric: str, found: Sequence[Summary | None]) -> Iterator[_frames.Column]:
    yield _frames.column(f"count.{metric}", [one.count if one else 0 for one in found], Kind.INT64)
    for name, values in (
        ("mean", [one and one.mean for one in found]),
        ("std", [one and one.standard_deviation for one in found]),
        ("low", [one and one.low for one in found]),
        ("high", [one and one.high for one in found]),
    ):
        yield _frames.column(f"{name}.{metric}", values, Kind.FLOAT64)
