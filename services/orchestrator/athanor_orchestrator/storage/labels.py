"""Selecting by labels: the first one leads through its index, in the order of ids; the others are looked up."""

from collections.abc import Mapping

from sqlalchemy import ColumnElement, Table, insert, select

from athanor_orchestrator.storage.aliases import AnySelect
from athanor_orchestrator.storage.newest import Common
from athanor_orchestrator.storage.transaction import Transaction


def narrow(
    query: AnySelect, ids: ColumnElement[str], table: Table, owner: str, labels: Mapping[str, str]
) -> tuple[AnySelect, Common, ColumnElement[str]]:
    """Keep only rows that carry all `labels`; `table` holds them, its column `owner` names the row.

    Returns the query, what the rows have in common by the index that leads to them, and the column to page and order
    by: of the labels when there are any, else none and `ids`.
    """
    common: Common = ()
    order = ids
    for place, (key, value) in enumerate(sorted(labels.items())):
        if place == 0:
            query = query.join(table, table.c[owner] == ids)
            common = ((table.c.key, key), (table.c.value, value))
            order = table.c[owner]
        else:
            other = table.alias(f"label_{place}")
            query = query.where(
                select(other.c.key).where(other.c[owner] == ids, other.c.key == key, other.c.value == value).exists()
            )
    return query, common, order


def put(tx: Transaction, table: Table, owner: str, owner_id: str, labels: Mapping[str, str]) -> None:
    """Write the labels of a new row."""
    if labels:
        tx.connection.execute(
            insert(table), [{owner: owner_id, "key": key, "value": value} for key, value in labels.items()]
        )
