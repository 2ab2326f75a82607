"""How values, numbers and durations are said in short: in tables, labels and notebooks. Frames and files are exact."""

import json
import math
from collections.abc import Collection
from datetime import timedelta
from typing import Any

from athanor.client import _json
from athanor.client._statistics import Summary

# What would not be seen, or would move the cursor of a terminal, is written out.
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {9: "\\t", 10: "\\n", 13: "\\r"}


_ID, _SHORT_ID = 36, 13  # characters of a UUID; of a UUIDv7, its milliseconds, which nearly always differ


def short_ids(ids: Collection[str]) -> dict[str, str]:
    """Return for each id the shortest beginning, of at least 13 characters, that no other of them shares."""
    length = _SHORT_ID
    while length < _ID and len({id[:length] for id in ids}) < len(set(ids)):
        length += 1
    return {id: id[:length] for id in ids}


def value(value: Any, longest: int = 60) -> str:
    """Return any JSON value: a float to four digits, the rest as JSON. Text that is too long is without its middle,
    because names of models, and paths, differ at their ends as often as at their beginnings; JSON without its end.
    """
    if isinstance(value, float):
        return number(value)
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except ValueError:  # a number of thousands of digits is in it
        text = _json.written(value)
    if len(text) <= longest:
        return text
    end = (longest - 1) // 2 if isinstance(value, str) else 0
    return f"{text[: longest - 1 - end]}…{text[len(text) - end :]}"


def number(value: float) -> str:
    """Return a number to four digits, or to all of those before its point."""
    return f"{value:.0f}" if 9999.5 <= abs(value) < 1e9 else f"{value:.4g}"


def summary(summary: Summary | None, runs: int) -> str:
    """Return what repeats say together, `0.712 ± 0.015 (n=5)`, to two digits of the interval; empty for None.

    `runs` is how many the group has, which is said where not all of them are in.
    """
    if summary is None:
        return ""
    count = f"n={summary.count}" if summary.count == runs else f"n={summary.count} of {runs}"
    if summary.high is None:
        return f"{number(summary.mean)} ({count})"
    return f"{_interval(summary.mean, summary.high - summary.mean)} ({count})"


def interval_of(confidence: float) -> str:
    """Return what summaries are, as a heading."""
    return f"mean ± {confidence * 100:g} % interval of completed runs"


def count(number: int, noun: str) -> str:
    """Return a number of things: `1 run`, `2 runs`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def span(duration: timedelta) -> str:
    """Return a duration as people say it: `8.25 s`, `3 min 05 s`, `2 h 07 min`."""
    seconds = duration.total_seconds()
    if seconds < 59.95:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def plain(text: str) -> str:
    """Return text on one line, without anything that a terminal would obey."""
    return text.translate(_CONTROL)


def _interval(mean: float, reach: float) -> str:
    if reach > 0 and 1e-3 <= max(abs(mean), reach) < 1e9:
        # The last of two digits of the reach; those of the mean that lie below it say nothing.
        decimals = 1 - math.floor(math.log10(float(f"{reach:.1e}")))
        if decimals <= 9:
            return f"{mean:.{max(decimals, 0)}f} ± {reach:.{max(decimals, 0)}f}"
    return f"{number(mean)} ± {reach:.2g}"
