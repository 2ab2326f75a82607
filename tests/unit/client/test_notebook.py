"""What a notebook shows. Whole representations are kept in shown/: look at them in a browser before renewing them.

python -m tests.unit.client.test_notebook
"""

import threading
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import IPython
import IPython.display
import pytest
from athanor.client import (
    AttemptStarted,
    CodeVersion,
    Failure,
    FailureKind,
    InstanceRecord,
    LogEntry,
    LogLevel,
    Progress,
    ProgressUpdated,
    Results,
    RunState,
    RunUpdated,
    UnavailableError,
    WatchItem,
    _html,
    notebook,
)
from athanor.client.compare import compare
from athanor.client.notebook import LiveView, live

from tests.support.found import AT, result, result_text, run

SHOWN = Path(__file__).parent / "shown"
EVIL = '<script>alert("&")</script>'
RUNNING = run("r-1", {"lr": 0.1}, state=RunState.RUNNING, end_time=None, progress=Progress(3, 10, "epoch 3"))
FAILED = run(
    "r-2",
    {"lr": 0.1},
    state=RunState.FAILED,
    failure=Failure(FailureKind.EXCEPTION, "ValueError: no", "Traceback (most recent call last):\n  ..."),
    log_count=12,
    result_count=3,
)
INSTANCE = InstanceRecord(
    "i-1", "digits", "baseline", "as published", '{"lr": 0.1}', run_count=2, last_run_state=RunState.COMPLETED
)
RESULTS = Results([result("loss", 0.53219, 1), result("loss", 0.25, 2), result("eval", {"top": 5, "note": EVIL}, 3)])
COMPARISON = compare(
    [run("r-1", {"lr": 0.1}), run("r-2", {"lr": 0.1}), run("r-3", {"lr": 0.2}, instance="i-2", end_time=None)],
    {"r-1": [result("loss", 1)], "r-2": [result("loss", 2)], "r-3": [result("accuracy", 0.98765)]},
)
LINE = LogEntry(3, 1, AT, LogLevel.WARN, f"{EVIL}\x1b[31m")


def followed() -> LiveView:
    view = LiveView(lines=2)
    for item in (RunUpdated(RUNNING), LINE, result("loss", 0.25, 4), ProgressUpdated(Progress(4, 10))):
        view.take(item)
    return view


EXAMPLES: dict[str, Callable[[], str | None]] = {
    "run-running": lambda: RUNNING._repr_html_(),
    "run-failed": lambda: FAILED._repr_html_(),
    "instance": lambda: INSTANCE._repr_html_(),
    "results": lambda: RESULTS._repr_html_(),
    "comparison": lambda: COMPARISON._repr_html_(),
    "live": lambda: followed()._repr_html_(),
}


class Page(HTMLParser):
    """Reads HTML, and sees what should not be in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        self.faults += [f"{tag} is not closed" for tag in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        if tag in ("script", "style", "iframe", "object"):
            self.faults.append(f"there is a {tag}")
        for name, value in attrs:
            if name.startswith("on") or "javascript:" in (value or "") or name in ("src", "href"):
                self.faults.append(f"there is {name}={value}")
            if name == "style" and "background" in (value or ""):
                self.faults.append("a background is the page's own business")

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"{tag} is closed out of order")

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_is_shown_is_what_was_looked_at(name: str):
    assert f"{EXAMPLES[name]()}\n" == (SHOWN / f"{name}.html").read_text()


@pytest.mark.parametrize("name", EXAMPLES)
def test_it_is_whole_and_has_no_script_and_no_colour_of_the_page(name: str):
    page = Page(EXAMPLES[name]() or "")
    assert page.faults == []
    assert page.text


@pytest.mark.parametrize("text", ["<b>", "<b></i>", "<p onclick='x'></p>", "<script></script>", "<a href='x'></a>"])
def test_a_fault_of_a_page_is_noticed(text: str):
    assert Page(text).faults != []


@pytest.mark.parametrize(
    "shown",
    [
        notebook.run_html(run(EVIL, {EVIL: EVIL}, experiment=EVIL, failure=Failure(FailureKind.REPORTED, EVIL, EVIL))),
        notebook.run_html(run("r", {}, state=RunState.RUNNING, progress=Progress(1, None, EVIL))),
        notebook.run_html(run("r", {}, state=RunState.RUNNING, progress=Progress(1, 2, EVIL))),
        notebook.instance_html(InstanceRecord(EVIL, EVIL, EVIL, EVIL, f'{{"x": "{EVIL[:8]}"}}')),
        notebook.results_html(Results([result(EVIL, EVIL)])),
        notebook.comparison_html(
            compare([run(EVIL, {"x": EVIL}), run("r", {EVIL: 1}, instance=EVIL)], {EVIL: [result(EVIL, 1)]})
        ),
        followed()._repr_html_(),
    ],
)
def test_what_others_wrote_is_text(shown: str):
    assert Page(shown).faults == []
    assert "<script" in Page(shown).text


def test_control_characters_are_written_out():
    assert r"\x1b[31m" in followed()._repr_html_()
    assert Page(_html.escape("a\tb\nc\x00")).text == "a\tb\nc\\x00"


@pytest.mark.parametrize("colour", [*_html._STATES.values(), *_html._LEVELS.values()])
def test_every_colour_can_be_told_from_a_light_and_from_a_dark_page(colour: str):
    """Contrast as WCAG 2.2 defines it; 3 is what it asks for graphical objects (1.4.11)."""
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    luminance = sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    assert 1.05 / (luminance + 0.05) >= 3
    assert (luminance + 0.05) / 0.05 >= 3


def test_what_is_too_much_is_counted():
    many = Results([result(f"key-{index}", index, index) for index in range(1, 41)])
    shown = Page(many._repr_html_())
    assert shown.faults == []
    assert [index for index in range(1, 41) if f"key-{index}1" in shown.text] == [*range(1, 16), *range(26, 41)]
    assert "key-15115… 10 keys between: to_pandas() has allkey-26126" in shown.text
    long = Page(notebook.run_html(run("r", failure=Failure(FailureKind.REPORTED, "m", "x" * 30_000)))).text
    assert "(10000 characters more)" in long


def test_a_number_of_thousands_of_digits_does_not_break_a_view():
    digits = "1" + "0" * 5000
    assert Page(Results([result_text("k", digits)])._repr_html_()).faults == []
    assert digits in Page(notebook.run_html(run("r", configuration_json=f'{{"n": {digits}}}'))).text


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"state": RunState.RUNNING, "end_time": None}, "RUNNING, started 2026-01-02 03:04:05 UTC"),
        ({}, "COMPLETED after 1 min 01 s"),
        ({"state": RunState.RUNNING, "cancel_request_time": AT}, "cancellation was requested"),
        ({"state": RunState.CANCELLED, "cancel_request_time": AT}, "CANCELLED after 1 min 01 s"),
        ({"state": RunState.RUNNING, "unreachable_since": AT}, "its runner is silent since 03:04:05 UTC"),
        ({"state": RunState.PENDING, "start_time": None, "end_time": None}, "PENDING, seed 7"),
        ({"log_count": 2, "result_count": 1}, "2 log lines, 1 result"),
    ],
)
def test_how_a_run_stands(fields: dict[str, Any], text: str):
    assert text in Page(notebook.run_html(run("r", **fields))).text


class Screen:
    """Stands for what IPython's `display` puts below a cell."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, notebook: bool = True) -> None:
        self.shown: list[str] = []
        self.painters: set[str] = set()
        self.painted = threading.Event()
        self.broken = False
        self._notebook = notebook
        monkeypatch.setattr(IPython.display, "display", self.display)

    def display(self, view: LiveView, *, display_id: bool = False) -> "Screen | None":
        self.shown.append(Page(view._repr_html_()).text)
        return self if self._notebook and display_id else None

    def update(self, view: LiveView) -> None:
        self.painters.add(threading.current_thread().name)
        if self.broken and threading.current_thread() is not threading.main_thread():
            self.painted.set()
            raise RuntimeError("the kernel is gone")
        self.shown.append(Page(view._repr_html_()).text)
        self.painted.set()


def test_a_run_is_shown_live_to_its_end(monkeypatch: pytest.MonkeyPatch):
    screen = Screen(monkeypatch)
    ended = run("r-1")
    assert live([RunUpdated(RUNNING), LINE, RunUpdated(ended)], interval=60) is ended
    assert screen.shown[0] == "waiting for the run…"
    assert "COMPLETED" in screen.shown[-1]
    assert EVIL in screen.shown[-1]
    assert "no longer watched" not in screen.shown[-1]
    assert len(screen.shown) == 2  # not again for each item


def test_what_came_is_shown_although_nothing_else_comes(monkeypatch: pytest.MonkeyPatch):
    screen = Screen(monkeypatch)

    def watch() -> Iterator[WatchItem]:
        yield RunUpdated(RUNNING)
        yield LINE
        assert screen.painted.wait(30)  # the watch is silent until somebody has seen the line

    live(watch(), interval=0.001)
    assert any("3 of 10" in shown for shown in screen.shown)
    assert "athanor-live" in screen.painters
    assert not any(thread.name == "athanor-live" for thread in threading.enumerate())


def test_interrupting_the_cell_ends_the_watching_and_not_the_run(monkeypatch: pytest.MonkeyPatch):
    screen = Screen(monkeypatch)
    closed: list[bool] = []

    def watch() -> Iterator[WatchItem]:
        try:
            yield RunUpdated(RUNNING)
            raise KeyboardInterrupt
        finally:
            closed.append(True)

    assert live(watch(), interval=60) is RUNNING
    assert "no longer watched: the run goes on" in screen.shown[-1]
    assert closed == [True]


def test_a_watch_that_breaks_off_is_shown_as_far_as_it_came(monkeypatch: pytest.MonkeyPatch):
    screen = Screen(monkeypatch)

    def watch() -> Iterator[WatchItem]:
        yield RunUpdated(RUNNING)
        raise UnavailableError("localhost:7400", "gone", "")

    with pytest.raises(UnavailableError, match="gone"):
        live(watch(), interval=60)
    assert "3 of 10" in screen.shown[-1]


def test_the_watch_is_closed(monkeypatch: pytest.MonkeyPatch):
    Screen(monkeypatch)

    class Watch:
        closed = False

        def __iter__(self) -> Iterator[WatchItem]:
            return iter([RunUpdated(RUNNING)])

        def close(self) -> None:
            self.closed = True

    watch = Watch()
    live(watch, interval=60)
    assert watch.closed


@pytest.mark.parametrize(("last_sequence", "position"), [(0, 0), (1000, 0), (5000, 4000)])
def test_of_a_run_the_end_of_its_log_is_read(monkeypatch: pytest.MonkeyPatch, last_sequence: int, position: int):
    Screen(monkeypatch)
    asked: list[int] = []

    class Bound:
        def __init__(self) -> None:
            self.last_sequence = last_sequence

        def watch(self, *, after_sequence: int) -> Iterator[WatchItem]:
            asked.append(after_sequence)
            return iter([RunUpdated(RUNNING)])

    assert live(Bound(), interval=60) is RUNNING
    assert asked == [position]


def test_a_display_that_fails_is_told(monkeypatch: pytest.MonkeyPatch):
    screen = Screen(monkeypatch)
    screen.broken = True

    def watch() -> Iterator[WatchItem]:
        yield RunUpdated(RUNNING)
        assert screen.painted.wait(30)

    with pytest.raises(RuntimeError, match="the kernel is gone"):
        live(watch(), interval=0.001)


def test_outside_of_a_notebook_the_end_is_shown(monkeypatch: pytest.MonkeyPatch):
    screen = Screen(monkeypatch, notebook=False)
    live([RunUpdated(RUNNING), RunUpdated(run("r-1"))], interval=60)
    assert len(screen.shown) == 2
    assert "COMPLETED" in screen.shown[-1]


def test_at_a_terminal_the_end_is_shown_and_no_line_for_each_change(monkeypatch: pytest.MonkeyPatch):
    screen = Screen(monkeypatch)
    shell = type("TerminalInteractiveShell", (), {"__module__": "IPython.terminal.interactiveshell"})()
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    live([RunUpdated(RUNNING), RunUpdated(run("r-1"))], interval=0.001)
    assert len(screen.shown) == 2
    assert screen.painters == set()


def test_only_the_newest_lines_and_results_are_kept():
    view = LiveView(lines=2)
    view.take(RunUpdated(RUNNING))
    for number in range(1, 5):
        view.take(LogEntry(number, 1, AT, LogLevel.INFO, f"line {number}"))
        view.take(result(f"key-{number}", number, number))
    text = Page(view._repr_html_()).text
    assert [number for number in range(1, 5) if f"line {number}" in text] == [3, 4]
    assert [number for number in range(1, 5) if f"key-{number}" in text] == [3, 4]


def test_the_counts_are_of_what_has_come_and_not_of_the_last_time_that_the_run_was_given():
    view = LiveView(lines=2)
    view.take(RunUpdated(run("r-1", state=RunState.RUNNING, end_time=None, last_sequence=2, log_count=1)))
    assert "1 log line, 0 results" in Page(view._repr_html_()).text
    for sequence in range(3, 10):
        view.take(LogEntry(sequence, 1, AT, LogLevel.INFO, "a line"))
    view.take(result("loss", 0.25, 10))
    assert "8 log lines, 1 result" in Page(view._repr_html_()).text
    view.take(RunUpdated(run("r-1", last_sequence=12, log_count=9, result_count=2)))
    assert "9 log lines, 2 results" in Page(view._repr_html_()).text


def test_counts_that_are_not_known_are_not_shown():
    view = LiveView(lines=2)
    view.take(RunUpdated(run("r-1", state=RunState.RUNNING, end_time=None, last_sequence=2, log_count=1)))
    view.take(LogEntry(7, 1, AT, LogLevel.INFO, "of those that a filter left"))
    assert "log line" not in Page(view._repr_html_()).text


def test_results_that_a_later_attempt_supersedes_are_not_shown():
    view = LiveView(lines=5)
    view.take(RunUpdated(RUNNING))
    view.take(result("kept", 1, 2))
    view.take(result("dropped", 1, 4))
    view.take(AttemptStarted(5, 2, AT, "runner", CodeVersion(), restored_sequence=3))
    text = Page(view._repr_html_()).text
    assert "kept" in text
    assert "dropped" not in text


@pytest.mark.parametrize(
    ("items", "left", "text"),
    [
        ([], False, "<no run yet>"),
        ([RunUpdated(RUNNING)], False, "<run r-1: RUNNING>"),
        ([RunUpdated(RUNNING)], True, "<run r-1: RUNNING, no longer watched>"),
        ([RunUpdated(run("r-1"))], True, "<run r-1: COMPLETED>"),
    ],
)
def test_where_no_html_is_shown_a_line_says_how_it_stands(items: list[WatchItem], left: bool, text: str):
    view = LiveView(lines=5)
    for item in items:
        view.take(item)
    if left:
        view.leave()
    assert repr(view) == text


if __name__ == "__main__":
    for name, example in EXAMPLES.items():
        (SHOWN / f"{name}.html").write_text(f"{example()}\n")
