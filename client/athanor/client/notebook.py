"""What a notebook shows: runs, instances, results, comparisons, and a running run live.

The first four show themselves as the value of a cell. `live` follows a run in the cell below it:

    run.live()                                    `await run.live()` of the client that awaits
    live(client.runs.watch(id))                   any watch of the client that blocks
"""

import asyncio
import json
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from athanor.client import _extras, _text, _words, paths
from athanor.client import _html as html
from athanor.client._html import Html
from athanor.client._tally import Tally
from athanor.client.events import AttemptStarted, Event, LogEntry, ProgressUpdated, Result, RunUpdated, WatchItem
from athanor.client.resources import InstanceRecord, Progress, RunRecord

if TYPE_CHECKING:
    from athanor.client.compare import Comparison
    from athanor.client.results import Results

_ROWS = 30  # of a table; what is left out is counted, and in the frames
_METRICS = 8
_PATHS = 8
_BEHIND = 1000  # events that a live view begins before the log's end: enough for its newest lines, and soon read


class Watchable(Protocol):
    """A run that can be watched: what the client that blocks gives."""

    @property
    def last_sequence(self) -> int:
        """Of the newest event of its log that is known of."""
        ...

    def watch(self, *, after_sequence: int) -> Iterable[WatchItem]:
        """Follow it from that position of its log to its end."""
        ...


def run_html(run: RunRecord) -> str:
    """A run: how it stands, for how long, with what."""
    counts = run.log_count, run.result_count
    return html.block(*_run_lines(run, run.progress, counts), _configuration(run.configuration_json))


def instance_html(instance: InstanceRecord) -> str:
    """An instance: what it is of, how often it ran, its configuration."""
    last = [", the last ", html.state(instance.last_run_state)] if instance.last_run_state else []
    return html.block(
        html.line(html.bold(instance.name or instance.id), f" of {instance.experiment} ", html.code(instance.id)),
        html.line(html.faint(instance.description)) if instance.description else "",
        html.line(_words.count(instance.run_count, "run"), *last),
        _configuration(instance.configuration_json),
    )


def results_html(results: "Results") -> str:
    """Results: a line for each key, with its newest value."""
    first, last = _text.ends(list(results), _ROWS)
    rows: list[tuple[object, ...]]
    rows = [(key, len(results[key]), _words.value(results.last(key))) for key in (*first, *last)]
    if between := len(results) - len(rows):
        rows.insert(len(first), (html.faint(_text.keys_between(between)), "", ""))
    return html.block(
        html.line(
            html.bold(_words.count(len(results.records), "result")), f" under {_words.count(len(results), 'key')}"
        ),
        html.table(("key", "values", "last"), rows),
    )


def comparison_html(comparison: "Comparison") -> str:
    """A comparison: a line for each group of repeats, then for each run."""
    metrics = comparison.foremost(_METRICS)
    differing = comparison.paths[:_PATHS]
    return html.block(
        html.line(html.bold(_text.heading(comparison))),
        _repeats(comparison, metrics) if comparison.repeated else "",
        _runs(comparison, differing, metrics),
        _left_out(len(comparison.rows) - _ROWS, "run"),
        _left_out(len(comparison.metrics) - len(metrics), "metric"),
        _left_out(len(comparison.paths) - len(differing), "path"),
    )


def live(run: Watchable | Iterable[WatchItem], *, lines: int = 10, interval: float = 0.25) -> RunRecord | None:
    """Show a run below the cell while it goes on: state, progress, the newest log lines and results.

    `run` is a run of the client that blocks, of whose log the end is read, or a watch of one, which is read as it is
    and closed at the end. The view is renewed at most every `interval` seconds. It ends with the run; interrupting the
    cell (Ctrl-C) ends the watching only, and the run goes on. Returns the run as it was last seen. Raises what the
    watch raises, MissingExtraError without IPython.
    """
    with showing(lines, interval) as view:
        watch = run if isinstance(run, Iterable) else run.watch(after_sequence=near_end(run))
        try:
            for item in watch:
                view.take(item)
        finally:
            close = getattr(watch, "close", None)
            if close is not None:
                close()
    return view.run


@contextmanager
def showing(lines: int, interval: float) -> Generator["LiveView", None, None]:
    """Show a view below the cell while the block gives it what comes, as `live` does.

    Interrupting ends the block: Ctrl-C there, the cancellation of its task behind it too.
    """
    display: Callable[..., Any] = _extras.load("IPython.display").display
    view = LiveView(lines)
    handle = display(view, display_id=True)  # None outside of IPython
    if _in_terminal():
        handle = None  # which would print a line for each change
    painter = _Painter(handle.update if handle is not None else _nothing, view, interval)
    painter.start()
    try:
        yield view
    except KeyboardInterrupt:
        view.leave()
    except asyncio.CancelledError:
        view.leave()
        raise
    finally:
        painter.end()
        (handle.update if handle is not None else display)(view)
    if painter.failure is not None:
        raise painter.failure


def near_end(run: RunRecord | Watchable) -> int:
    """Return the position in a run's log from which a live view reads it."""
    return max(0, run.last_sequence - _BEHIND)


class LiveView:
    """A run as it is watched, for display. It may be shown by one thread while another one gives it what comes."""

    def __init__(self, lines: int) -> None:
        self.changed = threading.Event()  # something came; for who shows it
        self._lock = threading.Lock()
        self._run: RunRecord | None = None
        self._progress: Progress | None = None
        self._tally = Tally()
        self._log: deque[LogEntry] = deque(maxlen=lines)
        self._results: deque[Result] = deque(maxlen=lines)
        self._left = False

    @property
    def run(self) -> RunRecord | None:
        """The run as it was last given."""
        return self._run

    def take(self, item: WatchItem) -> None:
        """Take what the watch gave."""
        with self._lock:
            if isinstance(item, Event):
                self._tally.event(item)
            match item:
                case RunUpdated(run):
                    self._run = run
                    self._tally.run(run)
                    self._progress = run.progress or self._progress
                case ProgressUpdated(progress):
                    self._progress = progress
                case LogEntry():
                    self._log.append(item)
                case Result():
                    self._results.append(item)
                case AttemptStarted():
                    standing = [result for result in self._results if not item.supersedes(result)]
                    self._results = deque(standing, maxlen=self._results.maxlen)
                case _:
                    pass
        self.changed.set()

    def leave(self) -> None:
        """Say that the watching has ended and the run has not."""
        with self._lock:
            self._left = self._run is None or not self._run.ended

    def _repr_html_(self) -> str:
        with self._lock:
            if self._run is None:
                return html.block(html.line("no longer watched" if self._left else "waiting for the run…"))
            log = html.join(html.log_line(entry.time, entry.level, entry.message) for entry in self._log)
            results = [(result.key, _words.value(result.value)) for result in self._results]
            return html.block(
                *_run_lines(self._run, self._progress, self._tally.counts),
                html.line(html.faint("no longer watched: the run goes on")) if self._left else "",
                html.text_block(log) if log else "",
                html.table(("result", "value"), results),
            )

    def __repr__(self) -> str:
        with self._lock:
            if self._run is None:
                return "<no run yet>"
            return f"<run {self._run.id}: {self._run.state.value}{', no longer watched' if self._left else ''}>"


class _Painter(threading.Thread):
    """Shows a view again when it has changed: not more often than somebody can see, and never later than that."""

    def __init__(self, paint: Callable[[Any], Any], view: LiveView, interval: float) -> None:
        super().__init__(name="athanor-live", daemon=True)
        self.failure: Exception | None = None
        self._paint = paint
        self._view = view
        self._interval = interval
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(self._interval):
            if self._view.changed.is_set():
                self._view.changed.clear()
                try:
                    self._paint(self._view)
                except Exception as error:  # noqa: BLE001 - raised where somebody sees it
                    self.failure = error
                    return

    def end(self) -> None:
        """Stop, and wait until it has."""
        self._over.set()
        self.join()


def _run_lines(run: RunRecord, progress: Progress | None, counts: tuple[int, int] | None) -> list[Html]:
    duration = f" after {_words.span(run.duration)}" if run.duration is not None else ""
    started = f", started {run.start_time:%Y-%m-%d %H:%M:%S} UTC" if run.start_time and not run.ended else ""
    found = [
        html.line(html.bold(run.experiment), " run ", html.code(run.id)),
        html.line(html.state(run.state), duration, started, html.faint(f", seed {run.seed}")),
    ]
    if run.cancel_request_time and not run.ended:
        found.append(html.line("cancellation was requested"))
    if run.unreachable_since:
        found.append(html.line(f"its runner is silent since {run.unreachable_since:%H:%M:%S} UTC"))
    if progress is not None and not run.ended:
        found.append(html.progress(progress.current, progress.total, progress.message))
    if run.failure is not None:
        found.append(html.line(html.bold(run.failure.kind.value), f": {run.failure.message}"))
        if run.failure.detail:
            found.append(html.details("detail", html.text_block(run.failure.detail)))
    if counts is not None and any(counts):
        logs, results = counts
        found.append(html.line(html.faint(f"{_words.count(logs, 'log line')}, {_words.count(results, 'result')}")))
    return found


def _configuration(text: str) -> Html:
    if not text:
        return Html("")
    try:
        shown = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:  # a number of thousands of digits, which Python does not turn into one
        shown = text
    return html.details("configuration", html.text_block(shown))


def _repeats(comparison: "Comparison", metrics: Sequence[str]) -> Html:
    rows = [
        (group.label, *(_words.summary(group.summaries.get(name), len(group.rows)) for name in metrics))
        for group in comparison.groups[:_ROWS]
    ]
    return html.join(
        [
            html.line(html.faint(_words.interval_of(comparison.confidence))),
            html.table(("group", *metrics), rows),
            _left_out(len(comparison.groups) - len(rows), "group"),
        ]
    )


def _runs(comparison: "Comparison", differing: Sequence[str], metrics: Sequence[str]) -> Html:
    grouped = _text.tells_groups(comparison)
    labels = {row.run.id: group.label for group in comparison.groups for row in group.rows}
    header = (
        *("run", *(("group",) if grouped else ()), *(("experiment",) if comparison.of_several else ())),
        *("state", "duration", *differing, *metrics),
    )
    rows = [
        (
            html.code(row.run.id),
            *((labels[row.run.id],) if grouped else ()),
            *((row.run.experiment,) if comparison.of_several else ()),
            html.state(row.run.state),
            _words.span(row.run.duration) if row.run.duration is not None else "",
            *("" if (leaf := row.configuration[path]) is paths.MISSING else _words.value(leaf) for path in differing),
            *(_words.value(row.metrics[name]) if name in row.metrics else "" for name in metrics),
        )
        for row in comparison.rows[:_ROWS]
    ]
    return html.table(header, rows)


def _left_out(count: int, what: str) -> Html:
    return (
        html.line(html.faint(f"and {_words.count(count, f'more {what}')}: to_pandas() has all"))
        if count > 0
        else Html("")
    )


def _in_terminal() -> bool:
    """Whether this is IPython at a terminal, where nothing that was shown can be shown anew."""
    shell = _extras.load("IPython").get_ipython()
    return type(shell).__module__.startswith("IPython.terminal")


def _nothing(_: object) -> None:
    pass
