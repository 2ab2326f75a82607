"""Pages are bounded by number and by size, and never empty while there is something to send."""

import pytest
from athanor_orchestrator.engine.listing import gather
from athanor_orchestrator.storage.pages import Page


def page(sizes: list[int], *, limit: int, max_bytes: int, start: int = -1) -> tuple[list[int], bool]:
    def fetch(after: int, count: int) -> Page[int]:
        rest = list(range(after + 1, len(sizes)))
        return Page(rest[:count], len(rest) > count)

    found = gather(fetch, start, key=lambda n: n, size=lambda n: sizes[n], limit=limit, max_bytes=max_bytes)
    return list(found.items), found.more


@pytest.mark.parametrize(
    ("sizes", "limit", "max_bytes", "count", "more"),
    [
        ([], 10, 100, 0, False),
        ([1] * 5, 10, 100, 5, False),
        ([1] * 10, 10, 100, 10, False),
        ([1] * 11, 10, 100, 10, True),
        ([1] * 200, 200, 1000, 200, False),
        ([1] * 201, 200, 1000, 200, True),
        ([60] * 5, 10, 100, 1, True),
        ([50] * 5, 10, 100, 2, True),
        ([500, 1], 10, 100, 1, True),
        ([500], 10, 100, 1, False),
    ],
)
def test_a_page_ends_by_number_or_by_size(sizes: list[int], limit: int, max_bytes: int, count: int, more: bool) -> None:
    assert page(sizes, limit=limit, max_bytes=max_bytes) == (list(range(count)), more)


def test_pages_one_after_the_other_give_everything_once() -> None:
    sizes = [7 * n % 90 for n in range(300)]
    seen: list[int] = []
    more = True
    while more:
        items, more = page(sizes, limit=40, max_bytes=300, start=seen[-1] if seen else -1)
        seen += items
    assert seen == list(range(300))
