"""Writing for people and for programs.

On a terminal tables and colours; in a pipe plain lines, columns in line, nothing cut. For colours see `paint`.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from athanor.cli import jsontext, words
from athanor.cli.paint import visible

if TYPE_CHECKING:
    from rich.console import Console

LIMIT = 50  # rows of a listing, unless told otherwise
_STATES = ("STATE", "LAST")  # columns that hold the state of a run
_IDS = ("ID", "RUN")
_LINE = 60  # characters of the values of a list that share a line
_GAP = 2  # spaces between columns
_LEAST = 8  # characters below which a column that may be cut is left out
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


def check_reader() -> None:
    """Raise BrokenPipeError when whoever read the output has gone: nothing else tells while nothing is written."""
    import select

    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)  # what is reported unasked: errors
        events = poll.poll(0)
    except (OSError, ValueError):  # it is no file
        return
    if any(event & select.POLLERR for _, event in events):
        raise BrokenPipeError


def unread() -> None:
    """Whoever read the output has gone (`| head`): write nothing more, also not what is still to be flushed."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, wrap: bool = False, cut: bool = False, first: str = ""
) -> None:
    """Print rows under their headings. On a narrow terminal the last column is wrapped, with `wrap` each of them, with
    `cut` none: then the last one is cut, of what another command shows whole, but `first` the column of that name; and
    those that are empty in each row are left out where that one would have no room.
    """
    if is_terminal():
        columns, rows, widest = _narrowed(columns, rows, first)
        _terminal_table(columns, rows, wrap, cut, widest)
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


def _narrowed(
    columns: Sequence[str], rows: Sequence[Sequence[str]], first: str
) -> tuple[Sequence[str], Sequence[Sequence[str]], dict[str, int]]:
    """Return what there is room for, and the width of the column `first`.

    Where too little is left for that one, those that are empty in each row go first, and then it does.
    """
    if first not in columns:
        return columns, rows, {}
    place = columns.index(first)
    widths = [max(words.width(row[index]) for row in (columns, *rows)) for index in range(len(columns))]
    widths[-1] = min(widths[-1], _NARROW)
    room = console().width - sum(width + _GAP for index, width in enumerate(widths) if index != place)
    if room >= min(widths[place], _LEAST):
        return columns, rows, {first: min(widths[place], room)}
    if rows and len(kept := [index for index in range(len(columns)) if any(row[index] for row in rows)]) < len(columns):
        return _narrowed(*_only(kept, columns, rows), first)
    return *_only([index for index in range(len(columns)) if index != place], columns, rows), {}


def _only(
    kept: Sequence[int], columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    return [columns[index] for index in kept], [[row[index] for index in kept] for row in rows]


def _terminal_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], wrap: bool, cut: bool, widest: Mapping[str, int]
) -> None:
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, header_style="bold", pad_edge=False, padding=(0, _GAP, 0, 0), expand=cut)
    for index, name in enumerate(columns):
        if wrap or (index == len(columns) - 1 and not cut):
            longest = max((words.width(row[index]) for row in rows), default=0)
            grid.add_column(name, overflow="fold", min_width=min(_NARROW, max(longest, len(name))))
        else:
            # The last one is cut before any other loses a character.
            # Half of an id is none, and a state is read first: these are whole, however narrow the terminal is.
            kept = (words.width(row[index].partition(" ")[0]) for row in rows if name in (*_STATES, *_IDS))
            grid.add_column(
                name,
                no_wrap=True,
                overflow="ellipsis",
                ratio=1 if index == len(columns) - 1 else None,
                min_width=max(kept, default=None),
                max_width=widest.get(name),
            )
    for row in rows:
        cells = [Text(visible(cell).replace("\n", " ")) for cell in row]
        for name, cell in zip(columns, cells, strict=True):
            if name in _STATES:
                cell.stylize(words.STYLES.get(cell.plain.partition(" ")[0], ""))
        grid.add_row(*cells)
    console().print(grid)


def pretty(json_text: str) -> str:
    """Return JSON text on several lines, every number as it is written, a list of plain values like a paragraph."""
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
    text = re.sub(r'"\\u0000(\d+)\\u0000"', lambda match: numbers[int(match[1])], text)
    # No line of JSON breaks inside of a text: what stands between these brackets are whole values.
    return re.sub(r"(?m)^( *)(.*)\[\n([^\[\]{}]+?)\n *\]", lambda match: _filled(*match.groups()), text)


def _filled(indent: str, before: str, values: str) -> str:
    """A list on one line where it fits, else on as few as it takes."""
    lines = [""]
    for value in map(str.strip, values.split("\n")):
        joined = f"{lines[-1]} {value}".lstrip()
        if words.width(joined) <= _LINE:
            lines[-1] = joined
        else:
            lines.append(value)
    if len(lines) == 1:
        return f"{indent}{before}[{lines[0]}]"
    inner = "".join(f"\n{indent}  {line}" for line in lines if line)
    return f"{indent}{before}[{inner}\n{indent}]"


def confirmed(question: str, yes: bool) -> bool:
    """Ask a person at a terminal, unless `--yes` has decided. Raises typer.BadParameter where nobody can be asked."""
    if yes:
        return True
    import typer

    if not sys.stdin.isatty():
        raise typer.BadParameter(f"nobody can be asked {question!r}: add --yes")
    return typer.confirm(visible(question))
