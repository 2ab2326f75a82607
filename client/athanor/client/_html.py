"""Small pieces of HTML for notebooks: no script, no style sheet, no colour that is lost on a light or a dark page."""

import html
from collections.abc import Iterable, Sequence
from datetime import datetime

from athanor.client.enums import LogLevel, RunState

# Each has a contrast of 3 to 1 and more with white and with black. What they say is in words beside them too.
_GREEN, _RED, _BLUE, _AMBER, _GREY = "#2e9e5b", "#d9534f", "#3b82f6", "#b7791f", "#808080"
_STATES = {
    RunState.PENDING: _AMBER,
    RunState.RUNNING: _BLUE,
    RunState.COMPLETED: _GREEN,
    RunState.FAILED: _RED,
    RunState.CANCELLED: _GREY,
    RunState.UNKNOWN: _GREY,
}
_LEVELS = {LogLevel.DEBUG: _GREY, LogLevel.INFO: _BLUE, LogLevel.WARN: _AMBER, LogLevel.ERROR: _RED}

# What would not be seen, or would make a page invalid, is written out.
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code not in (9, 10)}
_CELL = "padding:0 1em 0 0;text-align:left"
_HEAD = f"{_CELL};border-bottom:1px solid #80808080"
_LONGEST = 20_000  # characters of one text


class Html(str):
    """Text that is HTML already; any other text is escaped where it is put into a page."""

    __slots__ = ()


def escape(value: object) -> Html:
    """Return anything as HTML."""
    if isinstance(value, Html):
        return value
    text = str(value)
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}… ({len(text) - _LONGEST} characters more)"
    return Html(html.escape(text.translate(_CONTROL)))


def join(pieces: Iterable[object]) -> Html:
    """Return the pieces one behind the other."""
    return Html("".join(map(escape, pieces)))


def block(*pieces: object) -> Html:
    """Return pieces below each other, as one representation."""
    return join([Html('<div style="line-height:1.4">'), *pieces, Html("</div>")])


def line(*pieces: object) -> Html:
    """Return one line."""
    return join([Html("<div>"), *pieces, Html("</div>")])


def faint(text: object) -> Html:
    """Return something that is said beside."""
    return join([Html('<span style="opacity:0.7">'), text, Html("</span>")])


def bold(text: object) -> Html:
    """Return something that the eye should find."""
    return join([Html("<b>"), text, Html("</b>")])


def code(text: object) -> Html:
    """Return an id, or a name of code."""
    return join([Html("<code>"), text, Html("</code>")])


def state(value: RunState) -> Html:
    """Return a state with a mark in its colour."""
    return join([Html(f'<span style="color:{_STATES[value]}">●</span> '), value.value])


def log_line(time: datetime, level: LogLevel, message: str) -> Html:
    """Return a log entry on a line."""
    mark = Html(f'<span style="color:{_LEVELS[level]}">')
    return join([faint(f"{time:%H:%M:%S}"), " ", mark, f"{level.label:<5}", Html("</span> "), message, "\n"])


def text_block(text: object, *, height: int = 20) -> Html:
    """Return text as it is, at most `height` lines high before it scrolls."""
    style = f"margin:0.3em 0;white-space:pre-wrap;max-height:{height * 1.4:g}em;overflow:auto"
    return join([Html(f'<pre style="{style}">'), text, Html("</pre>")])


def details(title: str, inner: object) -> Html:
    """Return something that is shown when it is asked for."""
    return join([Html("<details><summary>"), title, Html("</summary>"), inner, Html("</details>")])


def progress(current: int, total: int | None, message: str) -> Html:
    """Return a bar, where it is known how far the way is, and the figures."""
    if total is None:
        return line(f"{current} done", faint(f" {message}") if message else "")
    bar = Html(f'<progress value="{min(current, total)}" max="{total}"></progress> ')
    return line(bar, f"{current} of {total}", faint(f" {message}") if message else "")


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Html:
    """Return a table; without rows nothing."""
    lines = list(rows)
    if not lines:
        return Html("")
    head = join(join([Html(f'<th style="{_HEAD}">'), name, Html("</th>")]) for name in header)
    body = [join(join([Html(f'<td style="{_CELL}">'), cell, Html("</td>")]) for cell in row) for row in lines]
    return join(
        [
            Html('<table style="border-collapse:collapse;margin:0.3em 0 0.7em"><thead><tr>'),
            head,
            Html("</tr></thead><tbody>"),
            *(join([Html("<tr>"), row, Html("</tr>")]) for row in body),
            Html("</tbody></table>"),
        ]
    )
