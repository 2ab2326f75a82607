"""`athanor logs`: what a run has logged."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from athanor.cli import arguments, ids, lines, options, output, paint, session, shapes, views, words
from athanor.cli import follow as following

if TYPE_CHECKING:
    from athanor import client
    from athanor.client import AsyncClient


class Level(StrEnum):
    """Levels as people write them."""

    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"


@dataclass(frozen=True)
class _Wanted:
    """Which entries."""

    level: "client.LogLevel"
    text: str
    attempt: int  # 0: of each
    since: datetime | None
    newest: int | None  # None: all


def logs(
    run: options.RunId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
    level: Annotated[Level, typer.Option("--level", help="At least this severe.")] = Level.DEBUG,
    newest: Annotated[
        int | None,
        typer.Option("--tail", "-n", min=0, metavar="N", help="Only the newest N; with -f, and what comes."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="WHEN",
            help="Only from then on: 10m (ago), today, 2026-01-31T12:00 of this machine's time zone.",
        ),
    ] = None,
    text: Annotated[str, typer.Option("--text", metavar="TEXT", help="Only messages that contain this.")] = "",
    attempt: Annotated[int, typer.Option("--attempt", min=0, metavar="N", help="Only of this attempt; 0: all.")] = 0,
    timestamps: Annotated[
        bool, typer.Option("--timestamps", "-t", help="With the whole time, in UTC, to the microsecond.")
    ] = False,
    target: options.Target = None,
    json: options.Json = False,
) -> None:
    """Print the log of a run. With --json: JSON Lines, one entry each."""
    begin = arguments.moment(since, datetime.now(UTC))
    show = _json if json else _printer(timestamps)

    async def work(client: "AsyncClient") -> None:
        run_id = await ids.run(client, run)
        wanted = _Wanted(client_level(level), text, attempt, begin, newest)
        shown = await _there(client, run_id, wanted, show, tail=follow)
        ran = await (_follow(client, run_id, wanted, show, shown) if follow else client.runs.get(run_id))
        output.caution(words.incomplete(ran))
        if not json:
            output.caution(words.failed(ran))

    session.run(target, work, on_interrupt=_stop_following if follow else session.interrupted)


def _stop_following() -> NoReturn:
    output.note("athanor: interrupted; the run goes on")
    session.left()


def client_level(level: Level) -> "client.LogLevel":
    """The level as the client names it."""
    from athanor.client import LogLevel

    return LogLevel[level.name]


async def _there(
    client: "AsyncClient", run_id: str, wanted: _Wanted, show: "Callable[[client.LogEntry], None]", *, tail: bool
) -> int:
    """Show what there is, and return the sequence up to which that is all; with `tail` only the newest ones."""
    if wanted.newest is None:
        if tail:
            return 0
        async for entry in client.runs.logs(run_id, level=wanted.level, text=wanted.text, attempt=wanted.attempt):
            if _is_recent(entry, wanted):
                show(entry)
        return 0
    if wanted.newest == 0:
        return (await client.runs.get(run_id)).last_sequence
    newest = await client.runs.logs(
        run_id, level=wanted.level, text=wanted.text, attempt=wanted.attempt, descending=True, limit=wanted.newest
    ).all()
    for entry in reversed(newest):
        if _is_recent(entry, wanted):
            show(entry)
    return newest[0].sequence if newest else 0


async def _follow(
    client: "AsyncClient", run_id: str, wanted: _Wanted, show: "Callable[[client.LogEntry], None]", after: int
) -> "client.RunRecord":
    from athanor.client import EventFilter, EventKind

    filter = EventFilter(kinds=(EventKind.LOG,), minimum_level=wanted.level, text=wanted.text, attempt=wanted.attempt)
    view = _LogView(lambda entry: show(entry) if _is_recent(entry, wanted) else None)
    return await following.follow(client, run_id, view, filter=filter, after_sequence=after)


def _is_recent(entry: "client.LogEntry", wanted: _Wanted) -> bool:
    return wanted.since is None or entry.time >= wanted.since


class _LogView(views.Written):
    """Log entries alone."""

    def __init__(self, show: "Callable[[client.LogEntry], None]") -> None:
        self._show = show

    def show(self, item: "client.WatchItem") -> None:
        from athanor.client import LogEntry

        if isinstance(item, LogEntry):
            self._show(item)


def _json(entry: "client.LogEntry") -> None:
    output.document(shapes.event(entry), flush=False)


def _printer(stamp: bool) -> "Callable[[client.LogEntry], None]":
    colours, terminal = paint.wanted(), output.is_terminal()

    def show(entry: "client.LogEntry") -> None:
        text = lines.log(entry, stamp=stamp, colours=colours)
        print(paint.visible(text) if terminal and not colours else text)

    return show
