"""Run by Alembic with the connection that `storage.migration` hands over, inside its transaction."""

from alembic import context
from athanor_orchestrator.storage.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite's DDL is transactional too, as long as the transaction was begun explicitly, and ours is.
    transactional_ddl=True,
)
context.run_migrations()
