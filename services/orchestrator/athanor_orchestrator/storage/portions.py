"""Ids in portions that fit into one statement: a runner may name as many as fit into a message."""

from collections.abc import Collection, Iterator

AT_ONCE = 10_000  # PostgreSQL takes 65535 parameters in one statement, SQLite 32766 unless it was built for more


def portions(ids: Collection[str]) -> Iterator[list[str]]:
    """Yield `ids` in their order, at most `AT_ONCE` at a time."""
    all_ids = list(ids)
    for start in range(0, len(all_ids), AT_ONCE):
        yield all_ids[start : start + AT_ONCE]
