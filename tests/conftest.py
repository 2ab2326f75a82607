"""Fixtures that tests of several parts share; each is defined under tests/support/."""

from tests.support.databases import (
    backend,
    database,
    database_url,
    empty_database_url,
    open_database,
    postgresql_server,
    postgresql_stock,
    sqlite_template,
)

__all__ = [
    "backend",
    "database",
    "database_url",
    "empty_database_url",
    "open_database",
    "postgresql_server",
    "postgresql_stock",
    "sqlite_template",
]
