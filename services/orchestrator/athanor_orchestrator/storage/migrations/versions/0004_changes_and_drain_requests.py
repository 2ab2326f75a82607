"""The journal of changes, and an operator's wish that a runner take no more."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

Id = sa.String(36).with_variant(sa.VARCHAR(36, collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table, and the column."""
    journal = op.create_table(
        "changes",
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("time_us", sa.BigInteger(), nullable=False),
        sa.Column("resource", sa.Integer(), nullable=False),
        sa.Column("resource_id", Id, nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("instance_id", sa.Text(), nullable=False),
        sa.Column("experiment", sa.Text(), nullable=False),
        sa.Column("labels_json", sa.Text(), nullable=False),
    )
    # Never empty: a watch always has an entry to stand behind, and sees by it that nothing was forgotten since.
    first = {"time_us": 0, "resource": 1, "resource_id": "", "kind": 1}
    op.bulk_insert(journal, [{**first, "instance_id": "", "experiment": "", "labels_json": "{}"}])
    op.add_column("runners", sa.Column("drain_request_time_us", sa.BigInteger()))
