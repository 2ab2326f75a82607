"""Listing the newest of what has something in common, by the index that leads by it, whatever the planner believes.

Told that a column equals a value, PostgreSQL takes any index in the order of ids for as good, and reads past every
newer row of others: of what happened long ago that is the whole table. Told that it lies between the value and itself,
and that the order is by column and id, it has one index alone that does both.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, tuple_

from athanor_orchestrator.storage.aliases import AnySelect

Common = Sequence[tuple[ColumnElement[Any], Any]]
"""Columns and the value of each; an index has them in front of the id. May be empty."""


def newest(query: AnySelect, common: Common, ids: ColumnElement[str], before_id: str | None) -> AnySelect:
    """Select what has the values in common and is older than `before_id` (None: all), the newest first."""
    columns, values = [column for column, _ in common], [value for _, value in common]
    if columns:
        query = query.where(tuple_(*columns) >= tuple_(*values))
        if before_id is None:
            query = query.where(tuple_(*columns) <= tuple_(*values))
    if before_id is not None:
        query = query.where(tuple_(*columns, ids) < tuple_(*values, before_id) if columns else ids < before_id)
    return query.order_by(*(column.desc() for column in columns), ids.desc())
