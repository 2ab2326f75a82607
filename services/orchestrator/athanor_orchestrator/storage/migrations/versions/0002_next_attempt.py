"""An index for the runs that wait between two attempts: the dispatcher asks for the next of them again and again."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BETWEEN_ATTEMPTS = sa.text(
    "state = 1 AND lease_id IS NULL AND cancel_request_time_us IS NULL AND hide_time_us IS NULL"
    " AND next_attempt_time_us IS NOT NULL"
)


def upgrade() -> None:
    """Make it, and tell SQLite that it holds few of the many runs; see 0001."""
    op.create_index(
        "ix_runs_next_attempt",
        "runs",
        ["next_attempt_time_us"],
        unique=False,
        sqlite_where=BETWEEN_ATTEMPTS,
        postgresql_where=BETWEEN_ATTEMPTS,
    )
    if op.get_bind().dialect.name == "sqlite":
        statistics = sa.table("sqlite_stat1", sa.column("tbl"), sa.column("idx"), sa.column("stat"))
        op.bulk_insert(statistics, [{"tbl": "runs", "idx": "ix_runs_next_attempt", "stat": "100 1"}])
        op.execute("ANALYZE sqlite_schema")  # has this connection read it
