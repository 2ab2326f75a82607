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
        self._fetch = fetch
        self._limit = limit

    def __aiter__(self) -> AsyncIterator[Item]:
        return self._items()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(iterate over it, or call all(), first() or pages())"

    async def pages(self, page_token: str = "") -> AsyncIterator[Page[Item]]:
        """Iterate over whole pages, from the one that `page_token` stands for."""
        while True:
            page = await self._fetch(page_token)
            yield page
            if not page.next_page_token:
                return
            page_token = page.next_page_token

    async def all(self) -> list[Item]:
        """Return every item as a list. Of a long log that is much: iterate instead."""
        return [item async for item in self]

    async def first(self) -> Item | None:
        """Return the first item, None when there is none."""
        page = await self._fetch("")
        while not page.items and page.next_page_token:
            page = await self._fetch(page.next_page_token)
        return page.items[0] if page.items else None

    async def _items(self) -> AsyncIterator[Item]:
        left = self._limit
        if left is not None and left <= 0:
            return
        async for page in self.pages():
            for item in page.items:
                yield item
                if left is not None:
                    left -= 1
                    if not left:
                        return
