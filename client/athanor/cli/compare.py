"""`athanor compare`: runs side by side."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from athanor.cli import chosen, complete, exits, options, output, session, sidebyside

if TYPE_CHECKING:
    from athanor.client import AsyncClient
    from athanor.client.compare import Comparison, Group, Row


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
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, metavar="N", help="How many of these.")] = 100,
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
    many settings and numbers as fit side by side; a pipe, and --json, get all of them.

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

    async def work(client: "AsyncClient") -> "Comparison":
        with output.busy("reading results"):
            found = await chosen.runs(client, runs or [], experiment, limit)
            if not found:
                session.fail(f"{_searched(runs, experiment)} no runs yet; `athanor run` starts one", exits.REFUSED)
            try:
                return await client.runs.compare(found, metrics=result or None, confidence=confidence)
            except ValueError as error:  # none of them has a result of that name
                session.fail(str(error), exits.REFUSED)

    comparison = session.run(target, work)
    if json:
        output.document(document(comparison))
    else:
        sidebyside.show(comparison, asked=bool(result))


def document(comparison: "Comparison") -> Mapping[str, Any]:
    """Return what --json prints. A path, or a number, that a run does not have is not in it."""
    return {
        "confidence": comparison.confidence,
        "paths": list(comparison.paths),
        "metrics": list(comparison.metrics),
        "runs": [_row_document(row) for row in comparison.rows],
        "groups": [_group_document(group, comparison.metrics) for group in comparison.groups],
    }


def _row_document(row: "Row") -> Mapping[str, Any]:
    from athanor.client.paths import MISSING

    return {
        "id": row.run.id,
        "instance_id": row.run.instance_id,
        "experiment": row.run.experiment,
        "state": row.run.state.value,
        "code_digest": row.code,
        "configuration": {path: value for path, value in row.configuration.items() if value is not MISSING},
        "results": dict(row.metrics),
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


def _searched(runs: Sequence[str] | None, experiment: str) -> str:
    """Who has none, with its verb."""
    if not runs:
        return f"the experiment {experiment!r} has"
    return f"{', '.join(runs)} {'has' if len(runs) == 1 else 'have'}"
