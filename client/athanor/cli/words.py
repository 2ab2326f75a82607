"""Times, durations and states in words for people."""

import unicodedata
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from athanor.client import Attempt, Failure, Progress, RunRecord

STYLES = {
    "PENDING": "yellow",
    "RUNNING": "cyan",
    "COMPLETED": "green",
    "FAILED": "red",
    "CANCELLED": "magenta",
}


def moment(value: datetime | None) -> str:
    """A time of this machine's time zone."""
    return "" if value is None else value.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def recent(value: datetime | None, now: datetime | None = None) -> str:
    """A time of this machine's time zone, as short as it can be: of today without the day."""
    if value is None:
        return ""
    here, today = value.astimezone(), (now or datetime.now(UTC)).astimezone().date()
    return here.strftime("%H:%M:%S" if here.date() == today else "%Y-%m-%d %H:%M")


def clock(value: datetime) -> str:
    """A time of day of this machine's time zone; who reads it knows the day."""
    return _clock(int(value.timestamp()))


@lru_cache(maxsize=64)  # a log has thousands of lines of one second
def _clock(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).astimezone().strftime("%H:%M:%S")


def ago(value: datetime | None, now: datetime | None = None) -> str:
    """How long ago it was."""
    if value is None:
        return ""
    return f"{duration((now or datetime.now(UTC)) - value)} ago"


def duration(value: timedelta | None) -> str:
    """A duration in two units at most: `1.2s`, `3m 10s`, `2h 5m`, `3d 4h`."""
    if value is None:
        return ""
    seconds = max(0.0, value.total_seconds())
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    days, rest = divmod(whole, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}h {minutes}m"
    return f"{minutes}m {rest}s" if minutes else f"{rest}s"


def state(run: "RunRecord") -> str:
    """The state with what changes its meaning."""
    notes = list[str]()
    if run.cancel_request_time and not run.ended:
        notes.append("cancelling")
    if run.unreachable_since and not run.ended:
        notes.append("runner silent")
    if run.next_attempt_time:
        notes.append(f"next attempt from {clock(run.next_attempt_time)}")
    if run.log_incomplete:
        notes.append("log not complete")
    return f"{run.state.value} ({', '.join(notes)})" if notes else run.state.value


def log_of(attempt: "Attempt") -> str:
    """How far the log of an attempt reaches."""
    if attempt.outcome is None:
        return f"event {attempt.last_sequence} so far" if attempt.last_sequence else "no event so far"
    return "complete" if attempt.log_complete else f"NOT complete, it reaches to event {attempt.last_sequence}"


def incomplete(run: "RunRecord") -> str:
    """What is to be said beside the log of a run, or beside its results, when that is not complete; else empty."""
    if not run.log_incomplete:
        return ""
    reach = [
        f"attempt {one.number} reaches to event {one.last_sequence}"
        for one in run.attempts
        if one.outcome is not None and not one.log_complete
    ]
    return "the log of this run is NOT complete" + (f": {', '.join(reach)}" if reach else "")


def progress(value: "Progress | None") -> str:
    """Progress in figures."""
    if value is None:
        return ""
    count = f"{value.current}/{value.total}" if value.total else str(value.current)
    return f"{count} {value.message}".rstrip()


def failure(value: "Failure | None") -> str:
    """A failure in one line."""
    if value is None:
        return ""
    status = f" (exit status {value.exit_status})" if value.exit_status is not None else ""
    return f"{value.kind.value}: {value.message}{status}"


def failed(run: "RunRecord") -> str:
    """What is to be said below the log of a run that failed, and where the rest of it is; empty for any other."""
    if run.state.value != "FAILED" or run.failure is None:
        return ""
    more = "has its traceback" if run.failure.detail.strip() else "shows how"
    return f"run {run.id} FAILED: {one_line(failure(run.failure))}; `athanor runs show {run.id}` {more}"


def count(number: int, noun: str) -> str:
    """`1 result`, `2 results`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def elapsed(run: "RunRecord") -> str:
    """How long it took, or has taken so far."""
    if run.start_time is None:
        return ""
    return duration((run.end_time or datetime.now(UTC)) - run.start_time)


def one_line(text: str) -> str:
    """`text` without its line breaks."""
    return " ".join(text.split())


def width(text: str) -> int:
    """How many columns of a terminal `text` takes: a Chinese or Japanese character two, a combining one none."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Me", "Mn"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
