"""A run that is followed on a terminal: its log scrolls, one line with state and progress stays below."""

from typing import TYPE_CHECKING

from athanor.cli import lines, output, paint, words

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from athanor import client


class Scroll:
    """Lines that are gathered, and drawn above what is live in one go: a run may log many thousands a second.

    They are written as they are. What is longer than the terminal is wide is wrapped by the terminal, so that whoever
    copies it gets one line.
    """

    def __init__(self, console: "Console") -> None:
        self.colours = paint.wanted()
        self._console = console
        self._waiting = list[str]()

    def add(self, text: str, style: str = "") -> None:
        """Take a line, or several, in one style; control characters are written out."""
        shown = paint.visible(text)
        self.add_painted(paint.painted(shown, style) if self.colours else shown)

    def add_painted(self, text: str) -> None:
        """Take a line that holds its own colours."""
        self._waiting.append(text)

    def flush(self) -> None:
        """Draw them."""
        if self._waiting:
            self._console.print(self, crop=False)
            self._waiting.clear()

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        from rich.segment import Segment

        yield Segment("\n".join(self._waiting) + "\n")


class LiveView:
    """Log lines and results that scroll, over one line that stays. Drawn ten times a second, see `Scroll`."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
        from rich.table import Column

        self._console = output.console()
        self._scroll = Scroll(self._console)
        self._run: client.RunRecord | None = None
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[state]}"),
            BarColumn(bar_width=max(8, min(40, self._console.width // 4))),
            TextColumn("{task.fields[count]}"),
            TextColumn("{task.fields[elapsed]}", markup=False),
            TextColumn(
                "{task.fields[message]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)
            ),
            console=self._console,
            auto_refresh=False,
            transient=True,
            expand=True,
        )
        self._task = self._progress.add_task("", total=None, state="…", count="", message="", elapsed="")
        self._progress.start()

    def show(self, item: "client.WatchItem") -> None:
        from athanor import client

        match item:
            case client.LogEntry():
                self._show_log(item)
            case client.Result():
                self._scroll.add(lines.result(item), "bold")
            case client.ProgressUpdated():
                self._update_progress(item.progress)
            case client.RunUpdated():
                self._update_run(item.run)
            case _:
                if text := lines.lifecycle(item):
                    self._scroll.add(text, "blue")

    def interrupted(self, event: "client.Interruption") -> None:
        self._progress.update(self._task, message=f"{event.error}; waiting for it, the run goes on")

    def refresh(self) -> None:
        self._scroll.flush()
        if self._run and not self._run.ended:
            self._progress.update(self._task, elapsed=words.elapsed(self._run))
        self._progress.refresh()

    def close(self) -> None:
        self._scroll.flush()
        self._progress.stop()

    def _show_log(self, entry: "client.LogEntry") -> None:
        if self._scroll.colours:
            self._scroll.add_painted(lines.log(entry, colours=True))
        else:
            self._scroll.add(lines.log(entry))

    def _update_run(self, run: "client.RunRecord") -> None:
        self._run = run
        style = words.STYLES.get(run.state.value, "")
        state = words.state(run)
        if not run.ended and len(run.attempts) > 1:
            state += f" attempt {len(run.attempts)}"
        self._progress.update(self._task, state=f"[{style}]{state}[/]" if style else state, message="")
        if run.progress:
            self._update_progress(run.progress)

    def _update_progress(self, progress: "client.Progress") -> None:
        self._progress.update(
            self._task,
            total=progress.total,
            completed=progress.current,
            count=f"{progress.current}/{progress.total}" if progress.total else str(progress.current or ""),
            message=words.one_line(paint.visible(progress.message)),
        )
