"""The first schema."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Id = sa.String(36).with_variant(sa.VARCHAR(36, collation="C"), "postgresql")
Name = sa.Text().with_variant(sa.TEXT(collation="C"), "postgresql")
JsonText = sa.Text().with_variant(postgresql.JSON(), "postgresql")
ROOM = {"fillfactor": "70"}


def where(condition: Any) -> dict[str, Any]:
    """Make an index partial on both databases."""
    return {"sqlite_where": condition, "postgresql_where": condition}


# What SQLite's planner is to take for granted: rows in all, then rows for each value of the first column, of the first
# two, and so on. Without it SQLite takes a partial index for no better than the primary key, and reads a whole log to
# find its errors. Measured in kind, not in number; PostgreSQL keeps such figures by itself.
PROPORTIONS = {
    ("instances", "sqlite_autoindex_instances_1"): "10000 1",
    ("instances", "ix_instances_experiment"): "10000 1000 1",
    ("instance_labels", "sqlite_autoindex_instance_labels_1"): "20000 2 1",
    ("instance_labels", "ix_instance_labels_key"): "20000 2000 100 1",
    ("runs", "sqlite_autoindex_runs_1"): "100000 1",
    ("runs", "ix_runs_instance"): "100000 20 1",
    ("runs", "ix_runs_instance_state"): "100000 20 10 1",
    ("runs", "ix_runs_experiment"): "100000 5000 1",
    ("runs", "ix_runs_experiment_state"): "100000 5000 1000 1",
    ("runs", "ix_runs_state"): "100000 20000 1",
    ("runs", "ix_runs_claimable"): "1000 100 100 1",
    ("runs", "ix_runs_hidden"): "100 1",
    ("run_configurations", "sqlite_autoindex_run_configurations_1"): "100000 1",
    ("run_labels", "sqlite_autoindex_run_labels_1"): "200000 2 1",
    ("run_labels", "ix_run_labels_key"): "200000 20000 1000 1",
    ("leases", "sqlite_autoindex_leases_1"): "100000 1",
    ("leases", "ix_leases_run"): "100000 1 1",
    ("leases", "ix_leases_live"): "100 10 1",
    ("leases", "ix_leases_ended"): "100000 1",
    ("attempts", "sqlite_autoindex_attempts_1"): "100000 1 1",
    ("attempts", "ix_attempts_lease"): "100000 1",
    ("run_events", "sqlite_autoindex_run_events_1"): "10000000 10000 1",
    ("run_events", "ix_run_events_notable"): "500000 500 1",
    ("run_results", "sqlite_autoindex_run_results_1"): "1000000 1000 1",
    ("run_results", "ix_run_results_key"): "1000000 1000 50 1",
}


def upgrade() -> None:
    """Make every table, and tell SQLite how they will be filled."""
    create_tables()
    if op.get_bind().dialect.name == "sqlite":
        op.execute("ANALYZE")  # makes the table that is written to
        statistics = sa.table("sqlite_stat1", sa.column("tbl"), sa.column("idx"), sa.column("stat"))
        op.execute(sa.delete(statistics))
        rows = [{"tbl": table, "idx": index, "stat": stat} for (table, index), stat in PROPORTIONS.items()]
        op.bulk_insert(statistics, rows)
        op.execute("ANALYZE sqlite_schema")  # has this connection read it


def create_tables() -> None:
    """Make every table."""
    op.create_table(
        "discovery_errors",
        sa.Column("runner_id", Id, nullable=False),
        sa.Column("module", Name, nullable=False),
        sa.Column("session_number", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("runner_id", "module"),
    )
    op.create_table(
        "experiments",
        sa.Column("name", Name, nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("configuration_schema_json", sa.Text(), nullable=False),
        sa.Column("default_configuration_json", sa.Text(), nullable=False),
        sa.Column("code_digest", sa.Text(), nullable=False),
        sa.Column("code_module", sa.Text(), nullable=False),
        sa.Column("code_distribution", sa.Text(), nullable=False),
        sa.Column("code_git_commit", sa.Text(), nullable=False),
        sa.Column("code_git_dirty", sa.Boolean(), nullable=False),
        sa.Column("policy_timeout_us", sa.BigInteger(), nullable=True),
        sa.Column("policy_cancel_grace_period_us", sa.BigInteger(), nullable=True),
        sa.Column("policy_max_attempts", sa.Integer(), nullable=True),
        sa.Column("policy_retry_backoff_us", sa.BigInteger(), nullable=True),
        sa.Column("policy_lost_after_us", sa.BigInteger(), nullable=True),
        sa.Column("create_time_us", sa.BigInteger(), nullable=False),
        sa.Column("update_time_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "instances",
        sa.Column("id", Id, nullable=False),
        sa.Column("experiment", Name, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("configuration_json", JsonText, nullable=False),
        sa.Column("labels_json", sa.Text(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("create_time_us", sa.BigInteger(), nullable=False),
        sa.Column("update_time_us", sa.BigInteger(), nullable=False),
        sa.Column("run_count", sa.BigInteger(), nullable=False),
        sa.Column("last_run_id", Id, nullable=True),
        sa.Column("last_run_state", sa.Integer(), nullable=True),
        sa.Column("last_run_time_us", sa.BigInteger(), nullable=True),
        sa.Column("hide_time_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        postgresql_with=ROOM,
    )
    op.create_index("ix_instances_experiment", "instances", ["experiment", "id"], unique=False)
    op.create_table(
        "leases",
        sa.Column("id", Id, nullable=False),
        sa.Column("run_id", Id, nullable=False),
        sa.Column("runner_id", Id, nullable=False),
        sa.Column("session_number", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("grant_time_us", sa.BigInteger(), nullable=False),
        sa.Column("renew_time_us", sa.BigInteger(), nullable=False),
        sa.Column("expire_time_us", sa.BigInteger(), nullable=False),
        sa.Column("lost_after_us", sa.BigInteger(), nullable=False),
        sa.Column("first_sequence", sa.BigInteger(), nullable=False),
        sa.Column("last_sequence", sa.BigInteger(), nullable=False),
        sa.Column("event_count", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("end_reason", sa.Text(), nullable=True),
        sa.Column("end_time_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        postgresql_with=ROOM,
    )
    op.create_index(
        "ix_leases_ended", "leases", ["end_time_us"], unique=False, **where(sa.text("end_time_us IS NOT NULL"))
    )
    op.create_index(
        "ix_leases_live", "leases", ["runner_id", "id"], unique=False, **where(sa.text("end_time_us IS NULL"))
    )
    op.create_index("ix_leases_run", "leases", ["run_id", "id"], unique=False)
    op.create_table(
        "requests",
        sa.Column("request_id", Name, nullable=False),
        sa.Column("body_hash", sa.LargeBinary(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("create_time_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("request_id"),
    )
    op.create_index("ix_requests_create_time", "requests", ["create_time_us"], unique=False)
    op.create_table(
        "run_events",
        sa.Column("run_id", Id, nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("level", sa.Integer(), nullable=True),
        sa.Column("key", Name, nullable=True),
        sa.Column("time_us", sa.BigInteger(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "sequence"),
    )
    op.create_index(
        "ix_run_events_notable",
        "run_events",
        ["run_id", "sequence"],
        unique=False,
        **where(sa.text("(kind <> 7 OR level >= 30)")),
    )
    op.create_table(
        "run_results",
        sa.Column("run_id", Id, nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("key", Name, nullable=True),
        sa.Column("value", JsonText, nullable=True),
        sa.Column("time_us", sa.BigInteger(), nullable=False),
        sa.Column("superseded", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "sequence"),
    )
    op.create_index("ix_run_results_key", "run_results", ["run_id", "key", "sequence"], unique=False)
    op.create_table(
        "runner_experiments",
        sa.Column("runner_id", Id, nullable=False),
        sa.Column("experiment", Name, nullable=False),
        sa.Column("session_number", sa.BigInteger(), nullable=False),
        sa.Column("definition_hash", sa.LargeBinary(), nullable=False),
        sa.Column("code_digest", sa.Text(), nullable=False),
        sa.Column("code_module", sa.Text(), nullable=False),
        sa.Column("code_distribution", sa.Text(), nullable=False),
        sa.Column("code_git_commit", sa.Text(), nullable=False),
        sa.Column("code_git_dirty", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("runner_id", "experiment"),
    )
    op.create_index("ix_runner_experiments_experiment", "runner_experiments", ["experiment", "runner_id"], unique=False)
    op.create_table(
        "runners",
        sa.Column("id", Id, nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("session_number", sa.BigInteger(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("connected", sa.Boolean(), nullable=False),
        sa.Column("draining", sa.Boolean(), nullable=False),
        sa.Column("last_seen_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        postgresql_with=ROOM,
    )
    op.create_table(
        "instance_labels",
        sa.Column("instance_id", Id, nullable=False),
        sa.Column("key", Name, nullable=False),
        sa.Column("value", Name, nullable=False),
        sa.ForeignKeyConstraint(["instance_id"], ["instances.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("instance_id", "key"),
    )
    op.create_index("ix_instance_labels_key", "instance_labels", ["key", "value", "instance_id"], unique=False)
    op.create_table(
        "runs",
        sa.Column("id", Id, nullable=False),
        sa.Column("instance_id", Id, nullable=False),
        sa.Column("experiment", Name, nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.Column("policy_timeout_us", sa.BigInteger(), nullable=True),
        sa.Column("policy_cancel_grace_period_us", sa.BigInteger(), nullable=True),
        sa.Column("policy_max_attempts", sa.Integer(), nullable=True),
        sa.Column("policy_retry_backoff_us", sa.BigInteger(), nullable=True),
        sa.Column("policy_lost_after_us", sa.BigInteger(), nullable=True),
        sa.Column("seed", sa.Text(), nullable=False),
        sa.Column("labels_json", sa.Text(), nullable=False),
        sa.Column("create_time_us", sa.BigInteger(), nullable=False),
        sa.Column("lease_id", Id, nullable=True),
        sa.Column("attempt_count", sa.Integer(), nullable=False),
        sa.Column("next_attempt_time_us", sa.BigInteger(), nullable=True),
        sa.Column("progress_current", sa.BigInteger(), nullable=True),
        sa.Column("progress_total", sa.BigInteger(), nullable=True),
        sa.Column("progress_message", sa.Text(), nullable=True),
        sa.Column("failure_kind", sa.Integer(), nullable=True),
        sa.Column("failure_message", sa.Text(), nullable=True),
        sa.Column("failure_detail", sa.Text(), nullable=True),
        sa.Column("failure_exit_status", sa.Integer(), nullable=True),
        sa.Column("last_sequence", sa.BigInteger(), nullable=False),
        sa.Column("log_count", sa.BigInteger(), nullable=False),
        sa.Column("result_count", sa.BigInteger(), nullable=False),
        sa.Column("cancel_request_time_us", sa.BigInteger(), nullable=True),
        sa.Column("cancel_reason", sa.Text(), nullable=False),
        sa.Column("unreachable_since_us", sa.BigInteger(), nullable=True),
        sa.Column("start_time_us", sa.BigInteger(), nullable=True),
        sa.Column("end_time_us", sa.BigInteger(), nullable=True),
        sa.Column("hide_time_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["instance_id"],
            ["instances.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        postgresql_with=ROOM,
    )
    op.create_index(
        "ix_runs_claimable",
        "runs",
        ["experiment", "state", "id"],
        unique=False,
        **where(sa.text("state = 1 AND lease_id IS NULL AND cancel_request_time_us IS NULL AND hide_time_us IS NULL")),
    )
    op.create_index("ix_runs_experiment", "runs", ["experiment", "id"], unique=False)
    op.create_index("ix_runs_experiment_state", "runs", ["experiment", "state", "id"], unique=False)
    op.create_index("ix_runs_hidden", "runs", ["id"], unique=False, **where(sa.text("hide_time_us IS NOT NULL")))
    op.create_index("ix_runs_instance", "runs", ["instance_id", "id"], unique=False)
    op.create_index("ix_runs_instance_state", "runs", ["instance_id", "state", "id"], unique=False)
    op.create_index("ix_runs_state", "runs", ["state", "id"], unique=False)
    op.create_table(
        "attempts",
        sa.Column("run_id", Id, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("lease_id", Id, nullable=False),
        sa.Column("runner_id", Id, nullable=False),
        sa.Column("code_digest", sa.Text(), nullable=False),
        sa.Column("code_module", sa.Text(), nullable=False),
        sa.Column("code_distribution", sa.Text(), nullable=False),
        sa.Column("code_git_commit", sa.Text(), nullable=False),
        sa.Column("code_git_dirty", sa.Boolean(), nullable=False),
        sa.Column("start_time_us", sa.BigInteger(), nullable=True),
        sa.Column("end_time_us", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.Integer(), nullable=False),
        sa.Column("failure_kind", sa.Integer(), nullable=True),
        sa.Column("failure_message", sa.Text(), nullable=True),
        sa.Column("failure_detail", sa.Text(), nullable=True),
        sa.Column("failure_exit_status", sa.Integer(), nullable=True),
        sa.Column("process_gone", sa.Boolean(), nullable=False),
        sa.Column("log_complete", sa.Boolean(), nullable=False),
        sa.Column("last_sequence", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "number"),
    )
    op.create_index("ix_attempts_lease", "attempts", ["lease_id"], unique=False)
    op.create_table(
        "run_configurations",
        sa.Column("run_id", Id, nullable=False),
        sa.Column("configuration_json", JsonText, nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_table(
        "run_labels",
        sa.Column("run_id", Id, nullable=False),
        sa.Column("key", Name, nullable=False),
        sa.Column("value", Name, nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "key"),
    )
    op.create_index("ix_run_labels_key", "run_labels", ["key", "value", "run_id"], unique=False)
