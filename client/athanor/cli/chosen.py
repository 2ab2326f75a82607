"""Runs as people choose them: by the beginning of their ids, by their instance, by their experiment."""

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import typer

from athanor.cli import ids, output

if TYPE_CHECKING:
    from athanor.client import AsyncClient, RunRecord


async def runs(client: "AsyncClient", texts: Sequence[str], experiment: str, limit: int) -> "list[RunRecord]":
    """Return the runs that `texts` mean, and the newest `limit` of an experiment when one is named.

    Those of one instance, or of the experiment, come oldest first. A text means a run, or an instance and so all of its
    runs. Raises typer.BadParameter for one that could mean several things, NotFoundError for one that means nothing.
    """
    found = dict[str, "RunRecord"]()
    for text in texts:
        found |= {run.id: run for run in await _meant(client, text)}
    if experiment:
        await client.experiments.get(experiment)  # an experiment that is not there is not one without runs
        newest = await client.runs.list(experiment=experiment, limit=limit + 1).all()
        if len(newest) > limit:
            output.note(
                f"These are the newest {limit} runs of {experiment}; older ones, of which some may be "
                f"repeats of these, are left out: `--limit {10 * limit}` reads more."
            )
        found |= {run.id: run for run in reversed(newest[:limit])}
    return list(found.values())


async def _meant(client: "AsyncClient", text: str) -> "Sequence[RunRecord]":
    from athanor.client import NotFoundError

    run: RunRecord | None = None
    with suppress(NotFoundError):
        run = await client.runs.get(await ids.run(client, text))
    try:
        instance = await client.instances.get(await ids.instance(client, text))
    except NotFoundError:
        if run is None:
            metadata = {"resource": "run", "id": text}
            raise NotFoundError(
                f"there is no run or instance whose id begins with {text!r}", code="NOT_FOUND", metadata=metadata
            ) from None
        return [run]
    if run is not None:
        raise typer.BadParameter(
            f"the run {run.id} and the instance {instance.id} begin with {text!r}; give more of the id"
        )
    of_instance = await client.runs.list(instance_id=instance.id).all()
    return of_instance[::-1]
