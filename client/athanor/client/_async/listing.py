"""Listings: pages that are fetched as they are needed."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

from athanor.client._page import Page

Item = TypeVar("Item")


class AsyncListing(Generic[Item]):
    """Items of a listing, as an asynchronous iterator: `async for run in client.runs.list(): ...`.

    Each iteration begins at the start. A page is fetched when it is reached, so leaving early costs nothing more.
    """

    def __init__(self, fetch: Callable[[str], Awaitable[Page[Item]]], *, limit: int | None = None) -> None:
        if limit is not None and limit < 0:
            raise ValueError(f"a limit is 0 or more, or None for all, not {limit}")
        self._fetch = fetch
        self._limit = limit

    def __aiter__(self) -> AsyncIterator[Item]:
        return (item async for page in self.pages() for item in page.items)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(iterate over it, or call all(), first() or pages())"

    async def pages(self, page_token: str = "") -> AsyncIterator[Page[Item]]:
        """Iterate over whole pages, from the one that `page_token` stands for, up to the limit in all.

        A page that the limit cuts short has no `next_page_token`: going on from it would leave some out.
        """
        left = self._limit
        while left is None or left > 0:
            page = await self._fetch(page_token)
            if left is not None:
                if len(page.items) > left:
                    page = Page(page.items[:left])
                left -= len(page.items)
            yield page
            if not page.next_page_token:
                return
            page_token = page.next_page_token

    async def all(self) -> list[Item]:
        """Return every item as a list. Of a long log that is much: iterate instead."""
        return [item async for item in self]

    async def first(self) -> Item | None:
        """Return the first item, None when there is none."""
        async for item in self:
            return item
        return None
