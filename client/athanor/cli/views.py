"""How a run that is followed is shown: live on a terminal, as plain lines in a pipe, as JSON Lines for programs."""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from athanor.cli import lines, output, paint, shapes, words

if TYPE_CHECKING:
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


class Written:
    """Writes to a pipe, or a file: what came since the last refresh in one go, a call for each line would take most of
    the time.
    """

    def interrupted(self, event: "client.Interruption") -> None:
        say_once(event)

    def refresh(self) -> None:
        sys.stdout.flush()
        output.check_reader()

    def close(self) -> None:
        sys.stdout.flush()


class JsonView(Written):
    """One JSON document a line."""

    def show(self, item: "client.WatchItem") -> None:
        output.document(shapes.watch_item(item), flush=False)


class PlainView(Written):
    """Lines. `prefix` comes before each of them; `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, prefix: str = "") -> None:
        self._clock = clock
        self._prefix = prefix
        self._colours = paint.wanted()
        self._progress_due = clock() + _PROGRESS_INTERVAL  # a short run needs no lines about it

    def show(self, item: "client.WatchItem") -> None:
        from athanor import client

        match item:
            case client.LogEntry():
                self._line(lines.log(item, colours=self._colours))
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

    def _line(self, text: str) -> None:
        print(self._prefix + text)


def choose(json: bool) -> View:
    """Return the view that fits who looks."""
    if json:
        return JsonView()
    if not output.is_terminal():
        return PlainView()
    from athanor.cli import live

    return live.LiveView()


def say_once(event: "client.Interruption") -> None:
    """Say on standard error that the orchestrator is being waited for, not each time that it is tried again."""
    if event.failures == 1:
        sys.stdout.flush()
        output.note(f"athanor: {event.error}; waiting for it, the run goes on")
