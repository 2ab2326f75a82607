"""What a notebook shows: runs, instances, results, comparisons, and a running run live.

The first four show themselves as the value of a cell. `live` follows a run in the cell below it:

    run.live()                                    `await run.live()` of the client that awaits
    live(client.runs.watch(id))                   any watch of the client that blocks
"""

import asyncio
import json
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from athanor.client import _extras, paths
from athanor.client import _html as html
from athanor.client._html import Html
from athanor.client._statistics import Summary
from athanor.client.events import AttemptStarted, LogEntry, ProgressUpdated, Result, RunUpdated, WatchItem
from athanor.client.resources import InstanceRecord, Progress, RunRecord

if TYPE_CHECKING:
    from athanor.client.compare import Comparison, Group, Row
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
    return html.block(*_run_lines(run, run.progress), _configuration(run.configuration_json))


def instance_html(instance: InstanceRecord) -> str:
    """An instance: what it is of, how often it ran, its configuration."""
    last = [", the last ", html.state(instance.last_run_state)] if instance.last_run_state else []
    return html.block(
        html.line(html.bold(instance.name or instance.id), f" of {instance.experiment} ", html.code(instance.id)),
        html.line(html.faint(instance.description)) if instance.description else "",
        html.line(html.count(instance.run_count, "run"), *last),
        _configuration(instance.configuration_json),
    )


def results_html(results: "Results") -> str:
    """Results: a line for each key, with its newest value."""
    shown = list(results)[:_ROWS]
    rows = [(key, len(results[key]), html.value(results.last(key))) for key in shown]
    return html.block(
        html.line(html.bold(html.count(len(results.records), "result")), f" under {html.count(len(results), 'key')}"),
        html.table(("key", "values", "last"), rows),
        _left_out(len(results) - len(shown), "keys"),
    )


def comparison_html(comparison: "Comparison") -> str:
    """A comparison: a line for each run, then for each group of repeats."""
    metrics = comparison.metrics[:_METRICS]
    differing = comparison.paths[:_PATHS]
    header = ("run", "group", "state", "duration", *differing, *metrics)
    labels = {row.run.id: group.label for group in comparison.groups for row in group.rows}
    rows = [_comparison_row(row, labels[row.run.id], differing, metrics) for row in comparison.rows[:_ROWS]]
    groups = [(group.label, *_group_cells(group, metrics)) for group in comparison.groups[:_ROWS]]
    repeated = any(len(group.rows) > 1 for group in comparison.groups)
    runs, differences = html.count(len(comparison.rows), "run"), html.count(len(comparison.paths), "difference")
    return html.block(
        html.line(html.bold(runs), f", {differences}"),
        html.table(header, rows),
        _left_out(len(comparison.rows) - len(rows), "runs"),
        html.line(f"mean ± {comparison.confidence * 100:g} % interval (completed runs)") if repeated else "",
        html.table(("group", *metrics), groups) if repeated else "",
        _left_out(len(comparison.groups) - len(groups), "groups") if repeated else "",
        _left_out(len(comparison.metrics) - len(metrics), "metrics"),
        _left_out(len(comparison.paths) - len(differing), "differences"),
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
            match item:
                case RunUpdated(run):
                    self._run = run
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
            results = [(result.key, html.value(result.value)) for result in self._results]
            return html.block(
                *_run_lines(self._run, self._progress),
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


def _run_lines(run: RunRecord, progress: Progress | None) -> list[Html]:
    duration = f" after {html.span(run.duration)}" if run.duration is not None else ""
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
    if run.log_count or run.result_count:
        counts = html.count(run.log_count, "log line"), html.count(run.result_count, "result")
        found.append(html.line(html.faint(", ".join(counts))))
    return found


def _configuration(text: str) -> Html:
    if not text:
        return Html("")
    try:
        shown = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:  # a number of thousands of digits, which Python does not turn into one
        shown = text
    return html.details("configuration", html.text_block(shown))


def _comparison_row(row: "Row", label: str, differing: Iterable[str], metrics: Iterable[str]) -> list[object]:
    run = row.run
    return [
        html.code(run.id),
        label,
        html.state(run.state),
        html.span(run.duration) if run.duration is not None else "",
        *("" if value is paths.MISSING else html.value(value) for value in map(row.configuration.get, differing)),
        *(html.value(row.metrics[name]) if name in row.metrics else "" for name in metrics),
    ]


def _group_cells(group: "Group", metrics: Iterable[str]) -> list[str]:
    return [_summary(group.summaries.get(name)) for name in metrics]


def _summary(summary: Summary | None) -> str:
    if summary is None:
        return ""
    if summary.high is None:
        return f"{summary.mean:.4g} (n=1)"
    return f"{summary.mean:.4g} ± {summary.high - summary.mean:.2g} (n={summary.count})"


def _left_out(count: int, what: str) -> Html:
    return html.line(html.faint(f"and {count} more {what}: to_pandas() has all")) if count > 0 else Html("")


def _nothing(_: object) -> None:
    pass
