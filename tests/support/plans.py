"""What a database means to do for a query."""

from collections.abc import Callable
from typing import Any

import sqlalchemy
from athanor_orchestrator.storage.transaction import Transaction
from sqlalchemy import event


def plans_of(tx: Transaction, query: Callable[[Transaction], object]) -> str:
    """Return the plans of every statement that `query` executes."""
    statements: list[tuple[str, Any]] = []

    def collect(
        connection: sqlalchemy.Connection, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> None:
        statements.append((statement, parameters))

    event.listen(tx.connection, "before_cursor_execute", collect)
    query(tx)
    event.remove(tx.connection, "before_cursor_execute", collect)
    postgresql = tx.connection.dialect.name == "postgresql"
    explain = "EXPLAIN " if postgresql else "EXPLAIN QUERY PLAN "
    lines: list[str] = []
    for statement, parameters in statements:
        if "clock_timestamp" not in statement:
            rows = tx.connection.exec_driver_sql(explain + statement, parameters)
            lines += [row[0] if postgresql else row[3] for row in rows]
    assert lines
    return "\n".join(lines)
