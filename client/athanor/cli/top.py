"""`athanor top`: runs and runners, live."""

from typing import TYPE_CHECKING, Annotated

import typer

from athanor.cli import arguments, ids, options, output, paint, picture, session, shapes, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Group
    from rich.table import Table

    from athanor.client import AsyncClient

_STATE = 2  # the column
_WIDE = 100  # columns of a terminal on which everything has room; else these are left out
_NARROW = ("EVENTS/S", "RUNNER")
_RUNNER_LINES = 8  # of the screen that runners take at most, while there are runs that need them


def top(
    experiment: options.OfExperiment = "",
    label: options.Label = None,
    interval: Annotated[
        float, typer.Option("--interval", min=0.2, max=3600, metavar="SECONDS", help="Look again this often.")
    ] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print what there is and end, as in a pipe.")] = False,
    target: options.Target = None,
    json: options.Json = False,
) -> None:
    """Show live runs and runners until Ctrl-C: progress, events a second, slots, and why a run waits.

    In a pipe, and with --json, what there is now. What ends while it is watched stays for a minute.
    """
    labels = arguments.labels(label or [])
    now = picture.Picture()

    async def work(client: "AsyncClient") -> None:
        if once or json or not output.is_terminal():
            await _measure(client, now, experiment, labels, full=json)
        else:
            await _watch(client, now, experiment, labels, interval)

    session.run(target, work, on_interrupt=session.left)
    if json:
        runs = [shapes.run(run) for run in now.sorted_runs()]
        output.document({"runs": runs, "runners": [shapes.runner(item) for item in now.runners]})
    else:
        short = _short(now) if output.is_terminal() else {}
        output.line(now.headline())
        output.line()
        output.table(picture.RUN_COLUMNS, now.run_rows(short))
        output.line()
        output.table(picture.RUNNER_COLUMNS, now.runner_rows(short))


def _short(now: picture.Picture) -> dict[str, str]:
    return ids.shortened(list(now.runs)) | ids.shortened([item.id for item in now.runners])


async def _measure(
    client: "AsyncClient", now: picture.Picture, experiment: str, labels: dict[str, str], *, full: bool = False
) -> None:
    """Take what the listings say."""
    import time

    from athanor.client import RunState

    live = (RunState.PENDING, RunState.RUNNING)
    runs = await client.runs.list(experiment=experiment, labels=labels, states=live, full=full).all()
    now.measure(runs, await client.runners.list().all(), time.monotonic())


async def _watch(
    client: "AsyncClient", now: picture.Picture, experiment: str, labels: dict[str, str], interval: float
) -> None:
    """Show it on the whole screen until it is cancelled."""
    import asyncio
    import time

    from rich.live import Live

    from athanor.client import DeadlineExceededError, UnavailableError

    console = output.console()
    # Before the screen is taken: an orchestrator that is not there is said where it stays to be read.
    await _measure(client, now, experiment, labels)

    async def measure() -> None:
        while True:
            await asyncio.sleep(interval)
            try:
                await _measure(client, now, experiment, labels)
            except (UnavailableError, DeadlineExceededError) as error:
                now.notice = f"{error}; waiting for it"
            live.refresh()

    watch = client.runs.watch_all(
        experiment=experiment,
        labels=labels,
        active_only=True,
        on_interruption=lambda event: setattr(now, "notice", f"{event.error}; waiting for it"),
    )
    with Live(
        console=console,
        screen=True,
        auto_refresh=False,
        get_renderable=lambda: _drawn(now, console.width, console.height),
    ) as live:
        live.refresh()
        async with asyncio.TaskGroup() as tasks, watch:
            tasks.create_task(measure(), name="look again")
            async for item in watch:
                now.take(item, time.monotonic())


def _drawn(now: picture.Picture, width: int, height: int) -> "Group":
    from rich.console import Group
    from rich.text import Text

    short = _short(now)
    runs, runners = now.run_rows(short), now.runner_rows(short)
    styles = [words.STYLES.get(run.state.value, "") for run in now.sorted_runs()]
    # Beside the rows: the headline and the notice, two headings, and a line between the tables.
    runner_room = max(2, min(len(runners), _RUNNER_LINES, height - 8))
    run_room = max(1, height - 5 - runner_room)
    return Group(
        Text(f"athanor top  {now.headline()}", style="bold", no_wrap=True, overflow="ellipsis"),
        Text(now.notice, style="yellow", no_wrap=True, overflow="ellipsis"),
        _table(picture.RUN_COLUMNS, runs, run_room, styles, _NARROW if width < _WIDE else ()),
        Text(),
        _table(picture.RUNNER_COLUMNS, runners, runner_room, (), ()),
    )


def _table(
    columns: "Sequence[str]",
    rows: "Sequence[Sequence[str]]",
    room: int,
    styles: "Sequence[str]",
    hidden: "Sequence[str]",
) -> "Table":
    """A table of as many rows as there is room for, the last of which says how many there are more.

    `styles` are those of the state, the third column, row by row; `hidden` columns are left out.
    """
    from rich.table import Table
    from rich.text import Text

    shown = [index for index, name in enumerate(columns) if name not in hidden]
    grid = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0), expand=True)
    for index in shown:
        last = index == shown[-1]
        grid.add_column(columns[index], no_wrap=True, overflow="ellipsis", ratio=1 if last else None)
    cut = len(rows) > room
    for place, row in enumerate(rows[: room - 1] if cut else rows):
        style = styles[place] if styles else ""
        grid.add_row(*(Text(paint.visible(row[index]), style=style if index == _STATE else "") for index in shown))
    if cut:
        grid.add_row(Text(f"and {len(rows) - room + 1} more", style="dim"))
    return grid
