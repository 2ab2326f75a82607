"""`athanor logs`: what a run has logged."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from athanor.cli import follow as following
from athanor.cli import ids, lines, options, output, session, shapes, views, words

if TYPE_CHECKING:
    from athanor import client
    from athanor.client import AsyncClient


class Level(StrEnum):
    """Levels as people write them."""

    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"


def logs(
    run: options.RunId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
    level: Annotated[Level, typer.Option("--level", help="At least this severe.")] = Level.DEBUG,
    newest: Annotated[
        int | None, typer.Option("--tail", "-n", min=1, metavar="N", help="Only the newest N. Not with -f.")
    ] = None,
    text: Annotated[str, typer.Option("--text", help="Only messages that contain this.")] = "",
    target: options.Target = None,
    json: options.Json = False,
) -> None:
    """Print the log of a run. With --json: JSON Lines, one entry each."""
    if follow and newest is not None:
        raise typer.BadParameter("a log that is followed has no newest entries", param_hint="--tail")

    async def work(client: "AsyncClient") -> None:
        run_id = await ids.run(client, run)
        wanted = client_level(level)
        if follow:
            output.caution(words.incomplete(await _follow(client, run_id, wanted, text, json)))
            return
        if newest is not None:
            tail = await client.runs.logs(run_id, level=wanted, text=text, descending=True, limit=newest).all()
            for entry in reversed(tail):
                _print(entry, json)
        else:
            async for entry in client.runs.logs(run_id, level=wanted, text=text):
                _print(entry, json)
        output.caution(words.incomplete(await client.runs.get(run_id)))

    session.run(target, work)


def client_level(level: Level) -> "client.LogLevel":
    """The level as the client names it."""
    from athanor.client import LogLevel

    return LogLevel[level.name]


async def _follow(
    client: "AsyncClient", run_id: str, level: "client.LogLevel", text: str, json: bool
) -> "client.RunRecord":
    from athanor.client import EventFilter, EventKind

    wanted = EventFilter(kinds=(EventKind.LOG,), minimum_level=level, text=text)
    return await following.follow(client, run_id, _LogView(json), filter=wanted)


class _LogView(views.PlainView):
    """Log entries alone, one a line."""

    def __init__(self, json: bool) -> None:
        super().__init__()
        self._json = json

    def show(self, item: "client.WatchItem") -> None:
        from athanor.client import LogEntry

        if isinstance(item, LogEntry):
            _print(item, self._json)


def _print(entry: "client.LogEntry", json: bool) -> None:
    if json:
        output.document(shapes.event(entry))
    elif output.is_terminal():
        from rich.text import Text

        style = lines.LEVEL_STYLES[entry.level.label]
        output.console().print(Text(output.visible(lines.log(entry)), style=style))
    else:
        print(lines.log(entry), flush=True)
