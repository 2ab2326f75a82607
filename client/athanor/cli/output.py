"""Writing for people and for programs.

On a terminal tables and colours; in a pipe plain lines, columns in line, nothing cut. For colours see `paint`.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from athanor.cli import jsontext, words
from athanor.cli.paint import visible

if TYPE_CHECKING:
    from rich.console import Console

LIMIT = 50  # rows of a listing, unless told otherwise
_STATES = ("STATE", "LAST")  # columns that hold the state of a run
_IDS = ("ID", "RUN")
_NARROW = 20  # characters that a column which is wrapped keeps


def is_terminal() -> bool:
    """Whether a person looks at standard output."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def console() -> "Console":
    """The terminal. Nothing is guessed from the text: no markup, no emoji, no highlighting."""
    from rich.console import Console

    return Console(markup=False, emoji=False, highlight=False)


def line(text: str = "") -> None:
    """Print one line, or several."""
    print(visible(text) if is_terminal() else text)


def note(text: str) -> None:
    """Say something beside the data, on standard error."""
    print(visible(text) if sys.stderr.isatty() else text, file=sys.stderr, flush=True)


def caution(text: str) -> None:
    """Say on standard error what a reader of the data must know; nothing when there is nothing to say."""
    if text:
        sys.stdout.flush()
        note(f"athanor: {text}")


def busy(text: str) -> AbstractContextManager[object]:
    """Show that something goes on, on a terminal, for as long as it does."""
    return console().status(text) if is_terminal() else nullcontext()


def document(value: Any, *, flush: bool = True) -> None:
    """Print one JSON document on one line, at once unless `flush` is false."""
    print(jsontext.dumps(value), flush=flush)


def more(shown: int, limit: int, noun: str) -> None:
    """Say that a listing was cut where nobody asked for it; `shown` counts one more than it shows when it was."""
    if limit == LIMIT < shown:
        caution(f"there are more {noun}s than these {limit}; --limit N shows N of them")


def unread() -> None:
    """Whoever read the output has gone (`| head`): write nothing more, also not what is still to be flushed."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, wrap: bool = False, cut: bool = False) -> None:
    """Print rows under their headings. On a narrow terminal the last column is wrapped, with `wrap` each of them, with
    `cut` none: then the last one is cut, of what another command shows whole.
    """
    if is_terminal():
        _terminal_table(columns, rows, wrap, cut)
        return
    lines = [[cell.replace("\n", " ") for cell in row] for row in (columns, *rows)]
    widths = [max(words.width(row[index]) for row in lines) for index in range(len(columns))]
    for row in lines:
        cells = (cell + " " * (width - words.width(cell)) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def fields(pairs: Sequence[tuple[str, str]]) -> None:
    """Print named values in line; those that are empty are left out."""
    shown = [(name, text) for name, text in pairs if text]
    width = max((len(name) for name, _ in shown), default=0)
    for name, text in shown:
        first, *rest = text.split("\n")
        line(f"{name:<{width}}  {first}")
        for more in rest:
            line(f"{'':<{width}}  {more}")


def _terminal_table(columns: Sequence[str], rows: Sequence[Sequence[str]], wrap: bool, cut: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0), expand=cut)
    for index, name in enumerate(columns):
        if wrap or (index == len(columns) - 1 and not cut):
            longest = max((words.width(row[index]) for row in rows), default=0)
            grid.add_column(name, overflow="fold", min_width=min(_NARROW, max(longest, len(name))))
        else:
            # The last one is cut before any other loses a character.
            # Half of an id is none, and a state is read first: these are whole, however narrow the terminal is.
            kept = (words.width(row[index].partition(" ")[0]) for row in rows if name in (*_STATES, *_IDS))
            least, ratio = max(kept, default=None), 1 if index == len(columns) - 1 else None
            grid.add_column(name, no_wrap=True, overflow="ellipsis", ratio=ratio, min_width=least)
    for row in rows:
        cells = [Text(visible(cell).replace("\n", " ")) for cell in row]
        for name, cell in zip(columns, cells, strict=True):
            if name in _STATES:
                cell.stylize(words.STYLES.get(cell.plain.partition(" ")[0], ""))
        grid.add_row(*cells)
    console().print(grid)


def pretty(json_text: str) -> str:
    """Return JSON text on several lines, every number as it is written."""
    import json
    import re

    if not json_text:
        return ""
    # Each number is stood in for, and put back as the text it was.
    numbers = list[str]()

    def keep(number: str) -> str:
        numbers.append(number)
        return f"\x00{len(numbers) - 1}\x00"

    value = json.loads(json_text, parse_int=keep, parse_float=keep)
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return re.sub(r'"\\u0000(\d+)\\u0000"', lambda match: numbers[int(match[1])], text)


def confirmed(question: str, yes: bool) -> bool:
    """Ask a person at a terminal, unless `--yes` has decided. Raises typer.BadParameter where nobody can be asked."""
    if yes:
        return True
    import typer

    if not sys.stdin.isatty():
        raise typer.BadParameter(f"nobody can be asked {question!r}: add --yes")
    return typer.confirm(visible(question))
