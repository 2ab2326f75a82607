"""How a run that is followed is shown: live on a terminal, as plain lines in a pipe, as JSON Lines for programs."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from athanor.cli import lines, output, shapes, words

if TYPE_CHECKING:
    from rich.text import Text

    from athanor import client

_PROGRESS_INTERVAL = 5.0  # seconds between lines about progress in a pipe


class View(Protocol):
    """Shows what a watch gives."""

    def show(self, item: "client.WatchItem") -> None:
        """Take one item."""
        ...

    def interrupted(self, event: "client.Interruption") -> None:
        """The orchestrator is away, and is being waited for."""
        ...

    def refresh(self) -> None:
        """Called ten times a second."""
        ...

    def close(self) -> None:
        """Nothing more comes."""
        ...


class JsonView:
    """One JSON document a line."""

    def show(self, item: "client.WatchItem") -> None:
        output.document(shapes.watch_item(item))

    def interrupted(self, event: "client.Interruption") -> None:
        _say_once(event)

    def refresh(self) -> None:
        pass

    def close(self) -> None:
        pass


class PlainView:
    """Lines, each written at once. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._progress_due = clock() + _PROGRESS_INTERVAL  # a short run needs no lines about it

    def show(self, item: "client.WatchItem") -> None:
        from athanor import client

        match item:
            case client.LogEntry():
                self._line(lines.log(item))
            case client.Result():
                self._line(lines.result(item))
            case client.ProgressUpdated():
                if self._clock() >= self._progress_due:
                    self._progress_due = self._clock() + _PROGRESS_INTERVAL
                    self._line(f"progress {words.progress(item.progress)}")
            case client.RunUpdated():
                pass  # its events say it
            case _:
                if text := lines.lifecycle(item):
                    self._line(text)

    def interrupted(self, event: "client.Interruption") -> None:
        _say_once(event)

    def refresh(self) -> None:
        pass

    def close(self) -> None:
        pass

    def _line(self, text: str) -> None:
        print(text, flush=True)


class LiveView:
    """Log lines and results that scroll, over one line with state and progress that stays.

    Lines are gathered and drawn ten times a second: a run may log thousands a second, a terminal cannot draw as many.
    """

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._console = output.console()
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[state]}"),
            BarColumn(),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[message]}", markup=False),
            console=self._console,
            auto_refresh=False,
            transient=True,
        )
        self._task = self._progress.add_task("", total=None, state="…", count="", message="")
        self._waiting = list["Text"]()
        self._progress.start()

    def show(self, item: "client.WatchItem") -> None:
        from athanor import client

        match item:
            case client.LogEntry():
                self._line(lines.log(item), lines.LEVEL_STYLES[item.level.label])
            case client.Result():
                self._line(lines.result(item), "bold", cut=True)
            case client.ProgressUpdated():
                self._update_progress(item.progress)
            case client.RunUpdated():
                self._update_run(item.run)
            case _:
                if text := lines.lifecycle(item):
                    self._line(text, "blue")

    def interrupted(self, event: "client.Interruption") -> None:
        self._progress.update(self._task, message=f"{event.error}; waiting for it, the run goes on")

    def refresh(self) -> None:
        from rich.console import Group

        if self._waiting:
            self._console.print(Group(*self._waiting))
            self._waiting.clear()
        self._progress.refresh()

    def close(self) -> None:
        self.refresh()
        self._progress.stop()

    def _line(self, text: str, style: str, *, cut: bool = False) -> None:
        from rich.text import Text

        overflow = "ellipsis" if cut else "fold"
        self._waiting.append(Text(output.visible(text), style=style, no_wrap=cut, overflow=overflow))

    def _update_run(self, run: "client.RunRecord") -> None:
        style = words.STYLES.get(run.state.value, "")
        state = words.state(run)
        self._progress.update(self._task, state=f"[{style}]{state}[/]" if style else state, message="")
        if run.progress:
            self._update_progress(run.progress)

    def _update_progress(self, progress: "client.Progress") -> None:
        self._progress.update(
            self._task,
            total=progress.total,
            completed=progress.current,
            count=f"{progress.current}/{progress.total}" if progress.total else str(progress.current or ""),
            message=output.visible(progress.message.replace("\n", " ")),
        )


def choose(json: bool) -> View:
    """Return the view that fits who looks."""
    if json:
        return JsonView()
    return LiveView() if output.is_terminal() else PlainView()


def _say_once(event: "client.Interruption") -> None:
    if event.failures == 1:
        output.note(f"athanor: {event.error}; waiting for it, the run goes on")
