"""What the completeness certificate is checked by: a checksum for each event, count and digest for each attempt.

Rows of before keep NULL: they are checked by the digest in their attempt's end alone.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; no row is written."""
    op.add_column("run_events", sa.Column("checksum", sa.BigInteger(), nullable=True))
    op.add_column("attempts", sa.Column("event_count", sa.BigInteger(), nullable=True))
    op.add_column("attempts", sa.Column("digest", sa.LargeBinary(), nullable=True))
