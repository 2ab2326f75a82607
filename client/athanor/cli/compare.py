"""`athanor compare`: runs side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from athanor.cli import chosen, complete, exits, ids, jsontext, options, output, session, words

if TYPE_CHECKING:
    from athanor.client import AsyncClient, RunRecord
    from athanor.client.compare import Comparison, Group, Row

_GAP = 2  # spaces between columns
_LONGEST = 24  # characters of a value of a configuration in a cell


@dataclass(frozen=True)
class Column:
    """One column of the table: its heading and a cell for each run."""

    name: str
    cells: tuple[str, ...]

    @property
    def width(self) -> int:
        """What it takes of a line."""
        return max(map(len, (self.name, *self.cells))) + _GAP


def compare(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN|INSTANCE",
            help="Ids of runs, or of instances (all of their runs), or the beginnings of them; `last`: the newest run.",
            autocompletion=complete.runs_and_instances,
        ),
    ] = None,
    experiment: Annotated[
        str,
        typer.Option(
            "--experiment",
            metavar="EXPERIMENT",
            help="Also the newest runs of this experiment.",
            autocompletion=complete.experiments,
        ),
    ] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, metavar="N", help="How many of these.")] = 20,
    result: Annotated[
        list[str] | None,
        typer.Option("--result", metavar="KEY", help="Only this result, or this number in one. May be repeated."),
    ] = None,
    confidence: Annotated[
        float, typer.Option("--confidence", metavar="P", help="Of the intervals around the means.")
    ] = 0.95,
    target: options.Target = None,
    json: options.Json = False,
) -> None:
    """Compare runs: where their configurations differ, and the numbers that they have found.

    Of repeats (runs of one instance with one configuration, those that COMPLETED) each number has its mean, standard
    deviation and the confidence interval of the mean. Of a key that repeats the last value counts. A terminal shows as
    many numbers as fit side by side; a pipe, and --json, get all of them.

    \b
    For example:
      athanor compare 0198c5 0198c7
      athanor compare --experiment digits --result summary
    """
    if not runs and not experiment:
        raise typer.BadParameter("name what to compare: runs, instances, or --experiment NAME")
    if not 0 < confidence < 1:
        raise typer.BadParameter(
            f"it is between 0 and 1, for example 0.95, not {confidence:g}", param_hint="--confidence"
        )

    async def work(client: "AsyncClient") -> "tuple[Comparison, Mapping[str, str]]":
        with output.busy("reading results"):
            found = await chosen.runs(client, runs or [], experiment, limit)
            if not found:
                session.fail(f"{_searched(runs, experiment)} no runs yet; `athanor run` starts one", exits.REFUSED)
            names = await _names(client, found)
            return await _compared(client, found, confidence, names), names

    comparison, names = session.run(target, work)
    try:
        metrics = wanted(comparison.metrics, result or [])
    except LookupError as error:
        session.fail(str(error.args[0]), exits.REFUSED)
    if json:
        output.document(document(comparison, metrics))
    else:
        _show(comparison, metrics, names)


def wanted(metrics: Sequence[str], asked: Sequence[str]) -> tuple[str, ...]:
    """Return the metrics that were asked for by key, or by their whole name; all of them when none was.

    Raises LookupError, with what there is, for a name that is neither.
    """
    if not asked:
        return tuple(metrics)
    for name in asked:
        if not any(_is_of(metric, name) for metric in metrics):
            there = ", ".join(metrics[:10]) + (f" and {len(metrics) - 10} more" if len(metrics) > 10 else "")
            raise LookupError(f"no run has a number in the result {name!r}; there are {there or 'no numbers at all'}")
    return tuple(metric for metric in metrics if any(_is_of(metric, name) for name in asked))


def table(comparison: "Comparison", metrics: Sequence[str]) -> tuple[list[Column], list[Column]]:
    """Return the columns that every run has, and those of the metrics."""
    rows = comparison.rows
    short = ids.shortened([row.run.id for row in rows]) if output.is_terminal() else {}
    fixed = [
        Column("RUN", tuple(short.get(row.run.id, row.run.id) for row in rows)),
        Column("STATE", tuple(words.state(row.run) for row in rows)),
    ]
    if len({row.run.experiment for row in rows}) > 1:
        fixed.insert(1, Column("EXPERIMENT", tuple(row.run.experiment for row in rows)))
    fixed += [Column(path, tuple(_value(row.configuration[path]) for row in rows)) for path in comparison.paths]
    return fixed, [Column(name, tuple(_number(row.metrics.get(name)) for row in rows)) for name in metrics]


def fitting(columns: Sequence[Column], width: int) -> list[Column]:
    """Return those columns, in their order, that fit into `width` characters; at least one.

    Those that every run has come first, and of these the last: what was recorded last sums up, most often.
    """
    by_worth = sorted(
        range(len(columns)), key=lambda index: (sum(cell != "-" for cell in columns[index].cells), index), reverse=True
    )
    chosen_ones = set[int]()
    for index in by_worth:
        width -= columns[index].width
        if width < 0 and chosen_ones:
            break
        chosen_ones.add(index)
    return [columns[index] for index in sorted(chosen_ones)]


def repeats(comparison: "Comparison", metrics: Sequence[str]) -> list[tuple[str, ...]]:
    """Return a row for each metric of each group of repeats: label, metric, count, mean, deviation, interval.

    Empty when nothing was repeated: then the runs themselves say all there is.
    """
    if not any(one.count > 1 for group in comparison.groups for one in group.summaries.values()):
        return []
    return [
        (
            group.label,
            metric,
            str(one.count),
            _figure(one.mean),
            "-" if one.standard_deviation is None else f"±{_figure(one.standard_deviation)}",
            "-" if one.low is None or one.high is None else f"{_figure(one.low)} … {_figure(one.high)}",
        )
        for group in comparison.groups
        for metric in metrics
        if (one := group.summaries.get(metric))
    ]


def document(comparison: "Comparison", metrics: Sequence[str]) -> Mapping[str, Any]:
    """Return what --json prints. A path, or a number, that a run does not have is not in it."""
    return {
        "confidence": comparison.confidence,
        "paths": list(comparison.paths),
        "metrics": list(metrics),
        "runs": [_row_document(row, metrics) for row in comparison.rows],
        "groups": [_group_document(group, metrics) for group in comparison.groups],
    }


def _row_document(row: "Row", metrics: Sequence[str]) -> Mapping[str, Any]:
    from athanor.client.paths import MISSING

    return {
        "id": row.run.id,
        "instance_id": row.run.instance_id,
        "experiment": row.run.experiment,
        "state": row.run.state.value,
        "configuration": {path: value for path, value in row.configuration.items() if value is not MISSING},
        "results": {name: row.metrics[name] for name in metrics if name in row.metrics},
    }


def _group_document(group: "Group", metrics: Sequence[str]) -> Mapping[str, Any]:
    return {
        "label": group.label,
        "instance_id": group.instance_id,
        "run_ids": [row.run.id for row in group.rows],
        "results": {
            name: {
                "count": one.count,
                "mean": one.mean,
                "standard_deviation": one.standard_deviation,
                "low": one.low,
                "high": one.high,
            }
            for name in metrics
            if (one := group.summaries.get(name))
        },
    }


def _show(comparison: "Comparison", metrics: Sequence[str], names: Mapping[str, str]) -> None:
    fixed, numbers = table(comparison, metrics)
    shown = numbers
    if output.is_terminal() and numbers:
        shown = fitting(numbers, output.console().width - sum(column.width for column in fixed))
    columns = [*fixed, *shown]
    output.table([column.name for column in columns], list(zip(*(column.cells for column in columns), strict=True)))
    shown_names = [column.name for column in shown]
    rows = repeats(comparison, shown_names)
    if rows:
        output.line()
        interval = f"{100 * comparison.confidence:g} % CI"
        output.table(("REPEATS OF", "RESULT", "N", "MEAN", "STD", interval), rows)
    if not metrics:
        output.note("These runs have no numbers among their results.")
    elif not comparison.paths and len(comparison.rows) > 1:
        output.note("Their configurations are the same.")
    if left := len(numbers) - len(shown):
        which = f"e.g. --result '{[name for name in metrics if name not in shown_names][-1]}'"
        output.note(f"{words.count(left, 'more number')} did not fit: choose with --result ({which}), or use --json.")


async def _compared(
    client: "AsyncClient", found: "Sequence[RunRecord]", confidence: float, names: Mapping[str, str]
) -> "Comparison":
    from athanor.client.compare import compare

    results = {run.id: await client.runs.results(run.id).all() for run in found}
    return compare(found, results, confidence=confidence, names=names)


async def _names(client: "AsyncClient", found: "Sequence[RunRecord]") -> dict[str, str]:
    """The names of the instances, for those that have one of their own."""
    from athanor.client import NotFoundError

    names = dict[str, str]()
    for id in dict.fromkeys(run.instance_id for run in found):
        try:
            names[id] = (await client.instances.get(id)).name or id
        except NotFoundError:  # it has just been deleted
            names[id] = id
    return names


def _searched(runs: Sequence[str] | None, experiment: str) -> str:
    """Who has none, with its verb."""
    if not runs:
        return f"the experiment {experiment!r} has"
    return f"{', '.join(runs)} {'has' if len(runs) == 1 else 'have'}"


def _is_of(metric: str, name: str) -> bool:
    return metric == name or metric.startswith(f"{name}.")


def _value(leaf: Any) -> str:
    """What a configuration has at a path."""
    from athanor.client.paths import MISSING

    if leaf is MISSING:
        return "-"
    text = leaf if isinstance(leaf, str) and leaf else jsontext.dumps(leaf)
    return text if len(text) <= _LONGEST or not output.is_terminal() else text[: _LONGEST - 1] + "…"


def _number(value: int | float | None) -> str:
    """A run's own number: an integer as it is, else to six digits on a terminal, exactly elsewhere."""
    if value is None:
        return "-"
    if isinstance(value, int) or not output.is_terminal():
        return jsontext.dumps(value)
    return f"{value:.6g}"


def _figure(value: float) -> str:
    """What was computed of repeats; every digit of it is left to --json."""
    return f"{value:.4g}"
