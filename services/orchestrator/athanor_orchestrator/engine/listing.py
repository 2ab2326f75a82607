"""Pages bounded by number and by size: a page of large items is a short one, and reading it takes little memory."""

from collections.abc import Callable
from typing import TypeVar

from athanor_orchestrator.storage.pages import Page

T = TypeVar("T")
K = TypeVar("K")

PAGE_BYTES = 1024 * 1024  # about, of what a page carries
_AT_ONCE = 25  # items that are read before their size is looked at


def gather(
    fetch: Callable[[K, int], Page[T]],
    start: K,
    *,
    key: Callable[[T], K],
    size: Callable[[T], int],
    limit: int,
    max_bytes: int = PAGE_BYTES,
    at_once: int = _AT_ONCE,
) -> Page[T]:
    """Make a page of at most `limit` items and about `max_bytes`, at least one item if there is any.

    `fetch(position, limit)` reads what is behind a position, `key` is the position of an item. `at_once` are read
    before their size is looked at.
    """
    items: list[T] = []
    room = max_bytes
    position = start
    while True:
        part = fetch(position, min(at_once, limit - len(items)))
        for item in part.items:
            room -= size(item)
            if items and room < 0:
                return Page(items, more=True)
            items.append(item)
            position = key(item)
        if not part.more or len(items) >= limit:
            return Page(items, part.more)


def size_of(*texts: str | None) -> int:
    """Return how many bytes texts take in a message, and a little for what is around them."""
    return 100 + sum(len(text.encode()) for text in texts if text)
