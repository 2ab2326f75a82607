"""`athanor runs watch`: every run as it stands, and a line for each that changes."""

from typing import TYPE_CHECKING, Annotated

import typer

from athanor.cli import arguments, ids, options, output, paint, session, shapes, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from athanor import client
    from athanor.client import AsyncClient

_REFRESH = 0.1  # seconds
_SPINNER = 2  # columns, in front of the status


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

    async def work(client: "AsyncClient") -> None:
        import asyncio

        view = _View(json)
        try:
            async with asyncio.TaskGroup() as tasks:
                ticker = tasks.create_task(view.keep_drawn(), name="draw the status line")
                await follow(client, view)
                ticker.cancel()
        finally:
            view.close()

    async def follow(client: "AsyncClient", view: "_View") -> None:
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

    session.run(target, work, on_interrupt=session.left)


async def _now(client: "AsyncClient", run_id: str) -> "client.RunsItem":
    """A run as it stands, or that it was deleted."""
    from athanor.client import NotFoundError, RunChanged, RunDeleted

    try:
        return RunChanged(await client.runs.get(run_id))
    except NotFoundError:
        return RunDeleted(run_id)


class _View:
    """Lines; what has been said already is not said again after an interruption. On a terminal how many run, and how
    many wait, stays below.
    """

    def __init__(self, json: bool) -> None:
        self._json = json
        self._said: dict[str, str] = {}
        self._live: dict[str, str] = {}  # the state of each of those that was said and has not ended
        self._unseen = set[str]()  # of those, what was not given again since it began again
        self._footer = None if json or not output.is_terminal() else _Footer()

    async def keep_drawn(self) -> None:
        """Draw what is gathered, for as long as it is watched; in a pipe, for as long as somebody reads it."""
        import asyncio

        while True:
            if self._footer:
                self._footer.draw(list(self._live.values()))
            else:
                output.check_reader()
            await asyncio.sleep(_REFRESH)

    def close(self) -> None:
        """Leave the terminal as it is to be."""
        if self._footer:
            self._footer.close()

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
                self._live.pop(run.id, None)
                if not run.ended:
                    self._live[run.id] = run.state.value
                text = f"{run.id}  {run.experiment}  {words.state(run)}  {_detail(run)}".rstrip()
                if self._said.get(run.id) != text:
                    self._said[run.id] = text
                    self._line(text, words.STYLES.get(run.state.value, ""))
            case client.RunDeleted(id):
                self._unseen.discard(id)
                self._live.pop(id, None)
                if self._said.pop(id, None) is not None:
                    self._line(f"{id}  deleted", "dim")
            case _:
                pass

    def missed(self, item: "client.RunsItem") -> list[str]:
        """Once it has begun again: what was live before and is not there now. It ended, or was deleted, meanwhile."""
        from athanor import client

        return sorted(self._unseen) if isinstance(item, client.Synced) and not self._json else []

    def interrupted(self, event: "client.Interruption") -> None:
        if event.failures == 1:
            output.note(f"athanor: {event.error}; waiting for it, runs go on")

    def _line(self, text: str, style: str) -> None:
        if self._footer:
            self._footer.scroll.add(text, style)
        else:
            print(paint.painted(text, style) if paint.wanted() else text, flush=True)


class _Footer:
    """What stays on a terminal below the lines."""

    def __init__(self) -> None:
        from rich.status import Status

        from athanor.cli import live

        console = self._console = output.console()
        self.scroll = live.Scroll(console)
        self._status = Status("", console=console)
        self._status.start()

    def draw(self, states: "Sequence[str]") -> None:
        self.scroll.flush()
        text = f"{states.count('RUNNING')} running, {states.count('PENDING')} pending"
        hint = "; Ctrl-C ends this"
        # On two lines it would leave one of them behind each time that it is drawn.
        room = self._console.width - _SPINNER
        self._status.update((text + hint if len(text + hint) <= room else text)[:room])

    def close(self) -> None:
        self.scroll.flush()
        self._status.stop()


def _detail(run: "client.RunRecord") -> str:
    """How it ended; of progress nothing, because nobody tells of it here."""
    if not run.ended:
        return ""
    took = words.elapsed(run)
    counts = words.count(run.result_count, "result")
    failure = f": {words.one_line(words.failure(run.failure))}" if run.failure else ""
    return (f"after {took}, " if took else "") + counts + failure
