"""A comparison for people: a row for each run, and below them one for each number of what was repeated."""

import shlex
from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

from athanor.cli import columns, ids, jsontext, output, words
from athanor.cli.columns import Column

if TYPE_CHECKING:
    from athanor.client.compare import Comparison, Group

_LONGEST = 24  # columns of a terminal that the value of a setting takes


def show(comparison: "Comparison", *, asked: bool) -> None:
    """Print it; `asked` says that somebody has chosen its metrics, which then come before settings."""
    every = table(comparison)
    first = len(every) - len(comparison.metrics)  # place of the first metric
    shown = dict(enumerate(every))
    if output.is_terminal():
        shown = shown_in(every, len(comparison.paths), len(comparison.metrics), output.console().width, asked=asked)
    _print(list(shown.values()))
    _show_repeats(comparison, [comparison.metrics[place - first] for place in shown if place >= first])
    if not comparison.metrics:
        output.note("These runs have no numbers among their results.")
    elif not comparison.paths and len(comparison.rows) > 1:
        output.note("Their configurations are the same.")
    for group in comparison.groups:
        if len(group.codes) > 1:
            output.note(_other_code(group))
    missing = [place for place in range(len(every)) if place not in shown]
    if missing:
        output.note(_left_out(comparison, missing, first))


def table(comparison: "Comparison") -> list[Column]:
    """Return its columns: which run it is, the settings that differ, the metrics."""
    rows = comparison.rows
    short = ids.shortened([row.run.id for row in rows]) if output.is_terminal() else {}
    identity = [
        columns.whole("RUN", (short.get(row.run.id, row.run.id) for row in rows)),
        columns.whole("STATE", (words.state(row.run) for row in rows)),
    ]
    if comparison.of_several:
        identity.insert(1, columns.text("EXPERIMENT", (row.run.experiment for row in rows)))
    return [
        *identity,
        *(columns.text(_shown(path), (_value(row.configuration[path]) for row in rows)) for path in comparison.paths),
        *(
            columns.number(_shown(name), (_number(row.metrics.get(name)) for row in rows))
            for name in comparison.metrics
        ),
    ]


def shown_in(every: Sequence[Column], paths: int, metrics: int, width: int, *, asked: bool) -> dict[int, Column]:
    """Return the columns of a table, by their places, for a terminal of `width`.

    Which run it is, its state and one metric are always there. Then come metrics and settings in turn, or, when they
    were `asked` for, all metrics first. Those that most runs have are wanted most; of metrics that are equal in this
    the last, because what was recorded last sums up, most often, and of settings the first.
    """
    first = len(every) - metrics
    of_metrics = sorted(range(first, len(every)), key=lambda place: (every[place].filled, place), reverse=True)
    of_settings = sorted(range(first - paths, first), key=lambda place: (-every[place].filled, place))
    if asked:
        wanted = [*sorted(of_metrics), *of_settings]
    else:
        turns = chain.from_iterable(zip_longest(of_metrics, of_settings))
        wanted = [place for place in turns if place is not None]
    foremost = next((place for place in wanted if place >= first), None)
    always = [*range(first - paths), *([] if foremost is None else [foremost])]
    return columns.fitting(every, always, [place for place in wanted if place != foremost], width)


def repeats(comparison: "Comparison", metrics: Sequence[str], labels: Sequence[str]) -> list[tuple[str, ...]]:
    """Return a row for each metric of each group of repeats: its label, metric, count, mean, deviation, interval.

    Empty when nothing was repeated: then the runs themselves say all there is.
    """
    if not any(one.count > 1 for group in comparison.groups for one in group.summaries.values()):
        return []
    return [
        (
            label,
            metric,
            str(one.count),
            _figure(one.mean),
            columns.NOTHING if one.standard_deviation is None else f"±{_figure(one.standard_deviation)}",
            columns.NOTHING if one.low is None or one.high is None else f"{_figure(one.low)} … {_figure(one.high)}",
        )
        for group, label in zip(comparison.groups, labels, strict=True)
        for metric in metrics
        if (one := group.summaries.get(metric))
    ]


def _show_repeats(comparison: "Comparison", metrics: Sequence[str]) -> None:
    rows = repeats(comparison, metrics, [group.label for group in comparison.groups])
    if not rows:
        return
    output.line()
    headings = ("REPEATS OF", "RESULT", "N", "MEAN", "STD", f"{100 * comparison.confidence:g} % CI")
    if not output.is_terminal():
        output.table(headings, rows)
        return
    width = output.console().width
    shown = repeats_in(headings, repeats(comparison, metrics, list(map(_terse, comparison.groups))), width)
    if len(set(shown[0].cells)) < len({row[0] for row in rows}):  # cut, they are alike
        short = ids.shortened([group.instance_id for group in comparison.groups])
        labels = [short[group.instance_id] for group in comparison.groups]
        shown = repeats_in(("INSTANCE", *headings[1:]), repeats(comparison, metrics, labels), width, whole=True)
    _print(shown)


def repeats_in(
    headings: Sequence[str], rows: Sequence[Sequence[str]], width: int, *, whole: bool = False
) -> list[Column]:
    """Return the columns of repeats for a terminal of `width`; where it is too narrow without deviation, or interval.

    `whole` labels are not cut.
    """
    label, metric, *figures = ([_shown(cell) for cell in cells] for cells in zip(*rows, strict=True))
    every = [
        (columns.whole if whole else columns.text)(headings[0], label),
        columns.text(headings[1], metric),
        *map(columns.whole, headings[2:], figures),
    ]
    return list(columns.fitting(every, range(4), [5, 4], width).values())


def _print(shown: Sequence[Column]) -> None:
    if output.is_terminal() and columns.taken(shown) > output.console().width:
        # A table would be cut, and half of a number is another: each row by itself, one cell below another.
        for place, cells in enumerate(zip(*(column.cells for column in shown), strict=True)):
            if place:
                output.line()
            output.fields([(column.name, cell) for column, cell in zip(shown, cells, strict=True)])
        return
    output.table([column.name for column in shown], list(zip(*(column.cells for column in shown), strict=True)))


def _other_code(group: "Group") -> str:
    versions = words.count(len(group.codes), "version")
    return f"The repeats of {group.label} were made by {versions} of the code: --json has `code_digest` of each run."


def _left_out(comparison: "Comparison", missing: Sequence[int], first: int) -> str:
    """How much is not there, and how it is had."""
    metrics = [comparison.metrics[place - first] for place in missing if place >= first]
    counts = (
        (len(missing) - len(metrics), "more setting"),
        (len(metrics), "more number"),
    )
    text = " and ".join(words.count(number, noun) for number, noun in counts if number)
    text += " did not fit: in a pipe (`| cat`), or with --json, there are all of them"
    return f"{text}; choose numbers with --result, e.g. --result {shlex.quote(metrics[-1])}" if metrics else text


def _terse(group: "Group") -> str:
    """The label of a group without the settings that it does not have."""
    from athanor.client.paths import MISSING

    if "=(none)" not in group.label:
        return group.label
    settings = group.rows[0].configuration.items()
    return ", ".join(f"{path}={_value(leaf)}" for path, leaf in settings if leaf is not MISSING) or group.label


def _value(leaf: Any) -> str:
    """What a configuration has at a path."""
    from athanor.client.paths import MISSING

    if leaf is MISSING:
        return columns.NOTHING
    text = leaf if isinstance(leaf, str) and leaf else jsontext.dumps(leaf)
    return columns.cut(_shown(text), _LONGEST) if output.is_terminal() else text


def _number(value: int | float | None) -> str:
    """A run's own number: an integer as it is, else to six digits on a terminal, exactly elsewhere."""
    if value is None:
        return columns.NOTHING
    if isinstance(value, int) or not output.is_terminal():
        return jsontext.dumps(value)
    return f"{value:.6g}"


def _figure(value: float) -> str:
    """What was computed of repeats; every digit of it is left to --json."""
    return f"{value:.4g}"


def _shown(text: str) -> str:
    """As it is shown, on one line, so that what is measured is what is drawn."""
    return output.visible(text).replace("\n", " ") if output.is_terminal() else text
