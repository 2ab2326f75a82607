"""Listings fetch what is needed and no more."""

import pytest
from athanor.client import AsyncListing, Listing, Page


class Source:
    """Pages of numbers; the token of a page is its number."""

    def __init__(self, *pages: list[int]) -> None:
        self.pages = pages
        self.fetched: list[str] = []

    async def __call__(self, token: str) -> Page[int]:
        self.fetched.append(token)
        number = int(token or 0)
        last = number + 1 >= len(self.pages)
        return Page(tuple(self.pages[number]), "" if last else str(number + 1))


async def test_all_pages_are_joined():
    source = Source([1, 2], [], [3])
    assert [item async for item in AsyncListing(source)] == [1, 2, 3]
    assert await AsyncListing(source).all() == [1, 2, 3]


async def test_a_page_is_fetched_when_it_is_reached():
    source = Source([1, 2], [3])
    async for item in AsyncListing(source):
        if item == 2:
            break
    assert source.fetched == [""]


async def test_a_limit_stops_without_another_page():
    source = Source([1, 2], [3])
    assert await AsyncListing(source, limit=2).all() == [1, 2]
    assert source.fetched == [""]
    assert await AsyncListing(source, limit=0).all() == []


async def test_the_first():
    assert await AsyncListing(Source([], [7])).first() == 7
    assert await AsyncListing(Source([])).first() is None


async def test_pages_go_on_from_a_token():
    source = Source([1], [2], [3])
    assert [page.items async for page in AsyncListing(source).pages("1")] == [(2,), (3,)]


async def test_a_listing_can_be_iterated_again():
    listing = AsyncListing(Source([1], [2]))
    assert await listing.all() == await listing.all()


async def test_it_says_what_to_do_with_it():
    assert repr(AsyncListing(Source([1]))) == "AsyncListing(iterate over it, or call all(), first() or pages())"


def test_the_blocking_one_fetches_no_more_either():
    fetched = list[str]()

    def fetch(token: str) -> Page[int]:
        fetched.append(token)
        return Page((1, 2), "next") if not token else Page((3,))

    assert list(Listing(fetch)) == Listing(fetch).all() == [1, 2, 3]
    fetched.clear()
    assert Listing(fetch, limit=2).all() == [1, 2]
    assert Listing(fetch).first() == 1
    assert next(iter(Listing(fetch))) == 1
    assert fetched == ["", "", ""]
    assert repr(Listing(fetch)).startswith("Listing(iterate over it")


async def test_a_limit_is_kept_by_whatever_is_asked():
    source = Source([1, 2], [3, 4], [5])
    assert await AsyncListing(source, limit=0).first() is None
    assert [page async for page in AsyncListing(source, limit=0).pages()] == []
    assert source.fetched == []
    assert [page.items async for page in AsyncListing(source, limit=2).pages()] == [(1, 2)]
    assert source.fetched == [""]
    assert [page async for page in AsyncListing(source, limit=3).pages()] == [Page((1, 2), "1"), Page((3,))]


def test_a_limit_below_nothing_is_refused():
    with pytest.raises(ValueError, match="a limit is 0 or more, or None for all, not -1"):
        AsyncListing(Source([1]), limit=-1)
