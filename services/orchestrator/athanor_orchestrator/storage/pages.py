"""Keyset pages: a listing goes on from the last item that was seen, never from a count."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a listing."""

    items: Sequence[T]
    more: bool  # there are items behind the last one of this page


def cut(rows: Sequence[T], limit: int) -> Page[T]:
    """Make a page of rows that were asked for with `limit` + 1."""
    return Page(rows[:limit], len(rows) > limit)
