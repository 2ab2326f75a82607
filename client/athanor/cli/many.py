"""Several runs of one instance, followed at once."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from athanor.cli import exits, follow, lines, output, paint, shapes, views, words

if TYPE_CHECKING:
    from rich.table import Table

    from athanor import client
    from athanor.client import AsyncClient, RunRecord

_ROOM = 4  # lines of the terminal that are left for what scrolls
_ORDER = ("RUNNING", "PENDING", "FAILED", "CANCELLED", "COMPLETED")  # what is shown when there is no room for all


async def follow_all(client: "AsyncClient", runs: "Sequence[RunRecord]", json: bool) -> "list[RunRecord]":
    """Show all of them until the last has ended, and return them in their order."""
    import asyncio

    board = Board(runs) if output.is_terminal() and not json else None
    ended: dict[int, RunRecord] = {}

    async def one(index: int, run: "RunRecord") -> None:
        view = board.view(index) if board else _json_or_plain(run, index, json)
        ended[index] = await follow.follow(client, run.id, view)

    async def refresh(board: Board) -> None:
        while True:
            await asyncio.sleep(follow.REFRESH)
            board.refresh()

    try:
        async with asyncio.TaskGroup() as tasks:
            ticker = tasks.create_task(refresh(board), name="refresh the board") if board else None
            async with asyncio.TaskGroup() as followers:
                for index, run in enumerate(runs):
                    followers.create_task(one(index, run), name=f"follow run {run.id}")
            if ticker:
                ticker.cancel()
    finally:
        if board:
            board.close()
    return [ended[index] for index in range(len(runs))]


def exit_status(runs: "Sequence[RunRecord]") -> int:
    """The worst of their statuses: FAILED before CANCELLED."""
    statuses = set(map(follow.exit_status, runs))
    return next((status for status in (exits.FAILED, exits.CANCELLED) if status in statuses), exits.OK)


def summary(runs: "Sequence[RunRecord]") -> str:
    """How many ended how, and what to look at next."""
    instance = runs[0].instance_id
    hints = [("all of them", f"athanor runs list --instance {instance}"), ("compared", f"athanor compare {instance}")]
    failed = next(((index, run) for index, run in enumerate(runs) if run.state.value == "FAILED"), None)
    if failed:
        hints.append((f"log of {label(failed[0]).rstrip()}", f"athanor logs {failed[1].id}"))
    width = max(len(name) for name, _ in hints)
    return "\n".join([f"{len(runs)} runs: {tally(runs)}", *(f"  {name:<{width}}   {text}" for name, text in hints)])


def label(index: int) -> str:
    """What a line of the run that was started as number `index` begins with; people count from 1."""
    return f"#{index + 1} "


class Board:
    """A line for each run on a terminal, below what is to be read of all: warnings, errors, failed attempts."""

    def __init__(self, runs: "Sequence[RunRecord]") -> None:
        from rich.live import Live

        from athanor.cli import live
        from athanor.client._tally import Tally

        console = output.console()
        self._console = console
        self._runs = list(runs)
        self._progress: dict[int, client.Progress] = {i: run.progress for i, run in enumerate(runs) if run.progress}
        self._tallies = [Tally() for _ in runs]
        for counts, run in zip(self._tallies, runs, strict=True):
            counts.run(run)
        self._notice = ""
        self.scroll = live.Scroll(console)
        self._live = Live(
            console=console, auto_refresh=False, transient=True, get_renderable=lambda: self._drawn(console.height)
        )
        self._live.start()

    def view(self, index: int) -> "views.View":
        """The view of one of them."""
        return _OneOfMany(self, index)

    def update(self, index: int, run: "RunRecord") -> None:
        """Take a run as it stands."""
        self._runs[index] = run
        self._tallies[index].run(run)
        self._notice = ""
        if run.progress:
            self._progress[index] = run.progress

    def happened(self, index: int, event: "client.Event") -> None:
        """Take an event of the log of a run, for how many results of it stand."""
        self._tallies[index].event(event)

    def progressed(self, index: int, progress: "client.Progress") -> None:
        """Take the latest progress of a run."""
        self._progress[index] = progress

    def notice(self, text: str) -> None:
        """Show what is of all runs, until one of them changes."""
        self._notice = text

    def refresh(self) -> None:
        """Draw."""
        self.scroll.flush()
        self._live.refresh()

    def close(self) -> None:
        """Draw what is left, and take the lines of the runs away."""
        self.scroll.flush()
        self._live.stop()

    def _drawn(self, height: int) -> "Table":
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
        for _ in range(4):
            grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        shown = first_of(self._runs, max(1, height - _ROOM))
        for index in shown:
            run = self._runs[index]
            style = words.STYLES.get(run.state.value, "")
            # What waits stands, what runs goes on; an end needs no progress.
            what = words.progress(self._progress.get(index)) if not run.ended else words.failure(run.failure)
            cells = (words.elapsed(run), self._results(index), words.one_line(paint.visible(what)))
            grid.add_row(label(index), Text(words.state(run), style=style), *cells)
        hidden = len(self._runs) - len(shown)
        note = self._notice or (f"and {hidden} more, {tally(self._runs)} in all" if hidden else "")
        if note:
            grid.add_row("", Text(""), "", "", Text(note, style="dim"))
        return grid

    def _results(self, index: int) -> str:
        run, counts = self._runs[index], self._tallies[index].counts
        if run.start_time is None:
            return ""
        if run.ended:
            return words.count(run.result_count, "result")
        return words.count(counts[1], "result") if counts else ""


def first_of(runs: "Sequence[RunRecord]", room: int) -> list[int]:
    """The places of those that are shown when there is room for so many: what goes on first, in order of number."""
    order = {state: place for place, state in enumerate(_ORDER)}
    ranked = sorted(range(len(runs)), key=lambda index: order.get(runs[index].state.value, len(order)))
    return sorted(ranked[:room])


def tally(runs: "Sequence[RunRecord]") -> str:
    """How many are in which state."""
    states = [run.state.value for run in runs]
    return ", ".join(f"{states.count(state)} {state}" for state in _ORDER if state in states)


class _OneOfMany:
    """The view of one run of a board. What it logs below a warning is left to `athanor logs`."""

    def __init__(self, board: Board, index: int) -> None:
        self._board = board
        self._index = index

    def show(self, item: "client.WatchItem") -> None:
        from athanor import client

        prefix = label(self._index)
        if isinstance(item, client.Event):
            self._board.happened(self._index, item)
        match item:
            case client.LogEntry() if item.level >= client.LogLevel.WARN:
                self._board.scroll.add(prefix + lines.log(item), lines.LEVEL_STYLES[item.level.label])
            case client.ProgressUpdated():
                self._board.progressed(self._index, item.progress)
            case client.RunUpdated():
                self._board.update(self._index, item.run)
            case client.AttemptEnded() if item.failure:
                self._board.scroll.add(prefix + str(lines.lifecycle(item)), "red")
            case _:
                pass

    def interrupted(self, event: "client.Interruption") -> None:
        self._board.notice(f"{event.error}; waiting for it, the runs go on")

    def refresh(self) -> None:
        pass  # the board is, for all of them

    def close(self) -> None:
        pass


class _JsonOfMany(views.Written):
    """One JSON document a line, with the id of its run in front."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id

    def show(self, item: "client.WatchItem") -> None:
        document: Mapping[str, object] = {"run_id": self._run_id, **shapes.watch_item(item)}
        output.document(document, flush=False)


def _json_or_plain(run: "RunRecord", index: int, json: bool) -> "views.View":
    return _JsonOfMany(run.id) if json else views.PlainView(prefix=label(index))
