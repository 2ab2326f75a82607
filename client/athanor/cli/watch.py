"""`athanor runs watch`: every run as it stands, and a line for each that changes."""

from typing import TYPE_CHECKING, Annotated

import typer

from athanor.cli import arguments, ids, options, output, session, shapes, words

if TYPE_CHECKING:
    from athanor import client
    from athanor.client import AsyncClient


def watch(
    experiment: options.OfExperiment = "",
    instance: options.OfInstance = "",
    everything: Annotated[bool, typer.Option("--all", "-a", help="Also those that have ended already.")] = False,
    label: options.Label = None,
    target: options.Target = None,
    json: options.Json = False,
) -> None:
    """Show the runs that have not ended, then each that is created, changes or is deleted, until Ctrl-C.

    With --json: JSON Lines, {"begun": true}, {"run": ...}, {"deleted": ID} or {"synced": true}. After the orchestrator
    was away it begins again, and says so.
    """
    labels = arguments.labels(label or [])
    view = _View(json)

    async def work(client: "AsyncClient") -> None:
        watch = client.runs.watch_all(
            experiment=experiment,
            instance_id=await ids.instance(client, instance) if instance else "",
            labels=labels,
            active_only=not everything,
            full=json,
            on_interruption=view.interrupted,
        )
        async with watch:
            async for item in watch:
                view.show(item)
                for run_id in view.missed(item):
                    view.show(await _now(client, run_id))

    session.run(target, work)


async def _now(client: "AsyncClient", run_id: str) -> "client.RunsItem":
    """A run as it stands, or that it was deleted."""
    from athanor.client import NotFoundError, RunChanged, RunDeleted

    try:
        return RunChanged(await client.runs.get(run_id))
    except NotFoundError:
        return RunDeleted(run_id)


class _View:
    """Lines, each written at once; what has been said already is not said again after an interruption."""

    def __init__(self, json: bool) -> None:
        self._json = json
        self._said: dict[str, str] = {}
        self._live = set[str]()  # of what was said
        self._unseen = set[str]()  # of those, what was not given again since it began again

    def show(self, item: "client.RunsItem") -> None:
        from athanor import client

        if self._json:
            output.document(shapes.runs_item(item))
            return
        match item:
            case client.Begun():
                self._unseen = set(self._live)
            case client.RunChanged(run):
                self._unseen.discard(run.id)
                self._live.discard(run.id) if run.ended else self._live.add(run.id)
                text = f"{run.id}  {run.experiment}  {words.state(run)}  {_detail(run)}".rstrip()
                if self._said.get(run.id) != text:
                    self._said[run.id] = text
                    _line(text)
            case client.RunDeleted(id):
                self._unseen.discard(id)
                self._live.discard(id)
                if self._said.pop(id, None) is not None:
                    _line(f"{id}  deleted")
            case _:
                pass

    def missed(self, item: "client.RunsItem") -> list[str]:
        """Once it has begun again: what was live before and is not there now. It ended, or was deleted, meanwhile."""
        from athanor import client

        return sorted(self._unseen) if isinstance(item, client.Synced) and not self._json else []

    def interrupted(self, event: "client.Interruption") -> None:
        if event.failures == 1:
            output.note(f"athanor: {event.error}; waiting for it, runs go on")


def _detail(run: "client.RunRecord") -> str:
    """How it ended; of progress nothing, because nobody tells of it here."""
    if not run.ended:
        return ""
    took = words.elapsed(run)
    counts = words.count(run.result_count, "result")
    failure = f": {words.failure(run.failure)}" if run.failure else ""
    return (f"after {took}, " if took else "") + counts + failure


def _line(text: str) -> None:
    print(output.visible(text) if output.is_terminal() else text, flush=True)
