"""Runs of a period, out of pages that begin with the newest."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from athanor.client import AsyncListing, Page, RunRecord, RunState
from athanor.client._period import Period

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def at(*hours: int, token: str = "") -> Page:
    made = [NOON + timedelta(hours=hour) for hour in hours]
    return Page(tuple(RunRecord("r", "i", "hello", RunState.PENDING, create_time=time) for time in made), token)


def hours(page: Page) -> list[int]:
    return [round((run.create_time - NOON) / timedelta(hours=1)) for run in page.items]


@pytest.mark.parametrize(
    ("since", "until", "kept"),
    [(None, None, [3, 2, 1, 0]), (1, None, [3, 2, 1]), (None, 2, [1, 0]), (1, 2, [1]), (2, 2, []), (3, 1, [])],
)
def test_since_is_in_it_and_until_is_not(since, until, kept):
    bounds = [None if hour is None else NOON + timedelta(hours=hour) for hour in (since, until)]
    assert hours(Period.of(*bounds).cut(at(3, 2, 1, 0))) == kept


def test_a_timedelta_is_so_long_ago():
    assert Period.of(timedelta(hours=1), timedelta(0), NOON) == Period(NOON - timedelta(hours=1), NOON)
    assert Period.of(timedelta.max, None, NOON).since == datetime.min.replace(tzinfo=UTC)


def test_another_time_zone_is_the_same_moment():
    east = timezone(timedelta(hours=2))
    assert hours(Period.of(NOON.astimezone(east), None).cut(at(1, 0, -1))) == [1, 0]


async def test_nothing_is_fetched_behind_the_first_that_is_older():
    pages = [at(5, 4, token="1"), at(3, 2, token="2"), at(1, 0, token="3")]
    fetched = list[str]()
    period = Period.of(NOON + timedelta(hours=3), NOON + timedelta(hours=5))

    async def fetch(token: str) -> Page:
        fetched.append(token)
        return period.cut(pages[int(token or 0)])

    found = await AsyncListing(fetch).all()
    assert hours(Page(tuple(found))) == [4, 3]
    assert fetched == ["", "1"]
    assert all(newer.create_time > older.create_time for newer, older in pairwise(found))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (NOON.replace(tzinfo=None), r"since has no time zone: 2026-05-01 12:00:00. With .astimezone\(\) it has"),
        (timedelta(hours=-1), "since is how long ago, 0 or more, not"),
        ("1h", "since is a datetime with a time zone, or how long ago as a timedelta, not '1h'"),
        (3600, "since is a datetime with a time zone"),
    ],
)
def test_what_is_no_time_is_refused_in_words(value, text):
    with pytest.raises((TypeError, ValueError), match=text):
        Period.of(value, None)
