"""Bringing a database's schema up to date, at start and under a lock."""

from pathlib import Path

import sqlalchemy
from sqlalchemy import column, select, table

from athanor_orchestrator.domain.errors import StorageIncompatible
from athanor_orchestrator.storage import schema
from athanor_orchestrator.storage.dialect import Dialect

SCRIPTS = Path(__file__).parent / "migrations"

_version = table("alembic_version", column("version_num", sqlalchemy.String()))


def upgrade(dialect: Dialect) -> None:
    """Migrate to this version's schema, in one transaction; does nothing to a database that has it.

    Raises `StorageIncompatible` when a newer version wrote the database, and what the driver raises.
    """
    with dialect.writer.connect() as connection:
        with connection.begin():
            if current_revision(connection) == schema.REVISION:
                return
        with connection.begin():
            dialect.lock_schema(connection)
            # Somebody else may have been at it meanwhile.
            if current_revision(connection) != schema.REVISION:
                _migrate(connection)


def current_revision(connection: sqlalchemy.Connection) -> str | None:
    """Return the revision of the schema, None when there is none."""
    if not sqlalchemy.inspect(connection).has_table(_version.name):
        return None
    return connection.execute(select(_version.c.version_num)).scalar_one_or_none()


def _migrate(connection: sqlalchemy.Connection) -> None:
    # Only here, because a database is nearly always up to date and Alembic takes its time to import.
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StorageIncompatible(f"a newer version of Athanor has written this database ({error})") from error
