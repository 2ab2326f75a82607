"""Runs of a period, out of a listing that begins with the newest."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Self, TypeAlias, TypeVar

from athanor.client._page import Page
from athanor.client.resources import RunRecord

When: TypeAlias = datetime | timedelta  # a time, or how long ago

Run = TypeVar("Run", bound=RunRecord)


@dataclass(frozen=True)
class Period:
    """From `since` on, until before `until`; None: no bound."""

    since: datetime | None = None
    until: datetime | None = None

    @classmethod
    def of(cls, since: When | None, until: When | None, now: datetime | None = None) -> Self:
        """The period that a caller means. Raises TypeError, and ValueError for a time without a time zone."""
        now = now or datetime.now(UTC)
        return cls(_moment(since, "since", now), _moment(until, "until", now))

    def cut(self, page: Page[Run]) -> Page[Run]:
        """Return a page with what is of the period alone; the last one, when what follows is older."""
        made = [(run, run.create_time or datetime.max.replace(tzinfo=UTC)) for run in page.items]
        items = tuple(
            run
            for run, at in made
            if (self.since is None or at >= self.since) and (self.until is None or at < self.until)
        )
        over = self.since is not None and any(at < self.since for _, at in made)
        return replace(page, items=items, next_page_token="" if over else page.next_page_token)


def _moment(value: When | None, name: str, now: datetime) -> datetime | None:
    match value:
        case None:
            return None
        case timedelta():
            return _ago(value, name, now)
        case datetime() if value.utcoffset() is None:
            raise ValueError(
                f"{name} has no time zone: {value}. With .astimezone() it has this machine's; "
                "timedelta(hours=1) is an hour ago"
            )
        case datetime():
            return value
        case _:  # of a caller who does not check types
            raise TypeError(f"{name} is a datetime with a time zone, or how long ago as a timedelta, not {value!r}")


def _ago(value: timedelta, name: str, now: datetime) -> datetime:
    if value < timedelta(0):
        raise ValueError(f"{name} is how long ago, 0 or more, not {value!r}")
    try:
        return now - value
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)
