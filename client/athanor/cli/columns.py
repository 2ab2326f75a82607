"""Which columns of a wide table a terminal has room for, and how wide each of them is.

What names something is cut before a number is left out, and no number is ever cut: half of one is another.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from athanor.cli import words

NOTHING = "-"  # in the cell of a row that has nothing there
_GAP = 2  # columns of the terminal behind each column of the table
_NARROW = 11  # to which a name, a heading or the value of a setting may be cut


@dataclass(frozen=True)
class Column:
    """One column: its heading, a cell for each row, and how narrow it may become."""

    name: str
    cells: tuple[str, ...]
    least: int

    @property
    def width(self) -> int:
        """What it takes when nothing of it is cut."""
        return _widest((self.name, *self.cells))

    @property
    def filled(self) -> int:
        """How many of its cells have something."""
        return sum(cell != NOTHING for cell in self.cells)

    def narrowed(self, width: int) -> "Column":
        """The same, cut to `width`."""
        return Column(cut(self.name, width), tuple(cut(cell, width) for cell in self.cells), width)


def whole(name: str, cells: Iterable[str]) -> Column:
    """A column of which nothing is cut."""
    every = tuple(cells)
    return Column(name, every, _widest((name, *every)))


def text(name: str, cells: Iterable[str]) -> Column:
    """A column that is cut where there is little room."""
    every = tuple(cells)
    return Column(name, every, min(_NARROW, _widest((name, *every))))


def number(name: str, cells: Iterable[str]) -> Column:
    """A column of which only the heading is cut."""
    every = tuple(cells)
    return Column(name, every, max(_widest(every), min(_NARROW, words.width(name))))


def fitting(columns: Sequence[Column], always: Collection[int], wanted: Iterable[int], width: int) -> dict[int, Column]:
    """Return by their places those columns that have room in `width`, in order and as wide as there is room for.

    `always` are places of those that are there in any case, `wanted` of the others, the most wanted first.
    """
    chosen = set(always)
    room = width - sum(columns[place].least + _GAP for place in chosen)
    for place in wanted:
        if columns[place].least + _GAP <= room:
            chosen.add(place)
            room -= columns[place].least + _GAP
    widths = {place: columns[place].least for place in sorted(chosen)}
    while room > 0 and (cramped := [place for place in widths if widths[place] < columns[place].width]):
        for place in cramped[:room]:
            widths[place] += 1
        room -= len(cramped)
    return {place: columns[place].narrowed(wide) for place, wide in widths.items()}


def taken(columns: Iterable[Column]) -> int:
    """How much of a terminal they take side by side."""
    return sum(column.width + _GAP for column in columns) - _GAP


def cut(text: str, width: int) -> str:
    """Return `text` in `width` columns, without its middle when it is longer: names differ at either end."""
    if words.width(text) <= width:
        return text
    end = (width - 1) // 2
    return f"{_beginning(text, width - 1 - end)}…{_beginning(text[::-1], end)[::-1]}"


def _beginning(text: str, width: int) -> str:
    while words.width(text) > width:
        text = text[:-1] if len(text) <= 2 * width else text[: 2 * width]
    return text


def _widest(texts: Iterable[str]) -> int:
    return max(map(words.width, texts), default=0)
