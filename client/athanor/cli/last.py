"""The last value of each key that a run has recorded, for the end of following it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from athanor.cli import jsontext, words

if TYPE_CHECKING:
    from athanor.client import AsyncClient, Result, RunRecord

_KEYS = 8  # that are shown
_LONGEST = 60  # characters of a value
_READ = 1000  # results that are read for it: of a million nobody waits for all


async def values(client: "AsyncClient", run: "RunRecord") -> str:
    """Return a line for each of the keys recorded last; empty when there is none, or when they cannot be had now."""
    from athanor.client import AthanorError

    if not run.result_count:
        return ""
    try:
        return shown(await _read(client, run), run)
    except AthanorError:
        return ""  # how the run ended is said all the same


async def _read(client: "AsyncClient", run: "RunRecord") -> "Sequence[Result]":
    """Results that stand, oldest first: all, or the newest of very many."""
    if run.result_count <= _READ:
        return await client.runs.results(run.id).all()
    return await newest(client, run, _READ)


async def newest(client: "AsyncClient", run: "RunRecord", limit: int) -> "Sequence[Result]":
    """Return at most `limit` results, oldest first: the newest of the last attempt, which nothing has superseded."""
    from athanor.client import EventFilter, EventKind, Result

    of_last = EventFilter(kinds=(EventKind.RESULT,), attempt=len(run.attempts))
    events = await client.runs.events(run.id, filter=of_last, descending=True, limit=limit).all()
    return [item for item in reversed(events) if isinstance(item, Result)]


def shown(results: "Sequence[Result]", run: "RunRecord") -> str:
    """The last values in lines; `results` are in the order in which they were recorded."""
    last: dict[str, Result] = {}
    for item in results:
        last.pop(item.key, None)  # the place of a key is that of its last value
        last[item.key] = item
    items = list(last.values())[-_KEYS:]
    width = max((words.width(item.key) for item in items), default=0)
    lines = [f"  {item.key}{' ' * (width - words.width(item.key))}  {_short(item)}" for item in items]
    if len(results) < run.result_count or len(last) > len(items):
        more = f"{words.count(len(last) - len(items), 'more key')}" if len(results) == run.result_count else "more"
        lines.append(f"  and {more}: athanor results {run.id}")
    return "\n".join(lines)


def _short(item: "Result") -> str:
    value = jsontext.dumps(jsontext.Raw(item.value_json))
    return value if len(value) <= _LONGEST else value[: _LONGEST - 1] + "…"
