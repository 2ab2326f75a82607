"""The schema, one for both databases.

Times are 64-bit microseconds since the epoch, durations 64-bit microseconds. Texts compare byte by byte on both
databases, so that a listing has one order. Migrations under `migrations/` make it; a test compares the two.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    cast,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import UserDefinedType

from athanor_orchestrator.domain.records import EventKind, RunState

REVISION = "0004"  # of the newest migration

Id = String(36).with_variant(postgresql.VARCHAR(36, collation="C"), "postgresql")
Name = Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


class _PostgresqlJson(UserDefinedType[str]):
    """PostgreSQL's json, in and out as text: SQLAlchemy's own type would parse it, and so change it."""

    cache_ok = True

    def get_col_spec(self, **kw: object) -> str:
        return "JSON"

    def column_expression(self, colexpr: ColumnElement[Any]) -> ColumnElement[Any]:
        return cast(colexpr, Text)


# JSON that keeps the very text it was given: PostgreSQL's json does, and takes `->` and `->>` like SQLite's text.
JsonText = Text().with_variant(_PostgresqlJson(), "postgresql")

# Rows that are updated in place find room on their own page (PostgreSQL, heap-only tuples).
_ROOM = {"fillfactor": "70"}

metadata = MetaData()


def _code() -> list[Column[str] | Column[bool]]:
    return [
        Column("code_digest", Text, nullable=False),
        Column("code_module", Text, nullable=False),
        Column("code_distribution", Text, nullable=False),
        Column("code_git_commit", Text, nullable=False),
        Column("code_git_dirty", Boolean, nullable=False),
    ]


def _policy() -> list[Column[int]]:
    return [
        Column("policy_timeout_us", BigInteger),
        Column("policy_cancel_grace_period_us", BigInteger),
        Column("policy_max_attempts", Integer),
        Column("policy_retry_backoff_us", BigInteger),
        Column("policy_lost_after_us", BigInteger),
    ]


def _failure() -> list[Column[int] | Column[str]]:
    return [
        Column("failure_kind", Integer),
        Column("failure_message", Text),
        Column("failure_detail", Text),
        Column("failure_exit_status", Integer),
    ]


experiments = Table(
    "experiments",
    metadata,
    Column("name", Name, primary_key=True),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("configuration_schema_json", Text, nullable=False),
    Column("default_configuration_json", Text, nullable=False),
    *_code(),
    *_policy(),
    Column("create_time_us", BigInteger, nullable=False),
    Column("update_time_us", BigInteger, nullable=False),
)

runners = Table(
    "runners",
    metadata,
    Column("id", Id, primary_key=True),
    Column("display_name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("session_number", BigInteger, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("connected", Boolean, nullable=False),
    Column("draining", Boolean, nullable=False),
    Column("drain_request_time_us", BigInteger),
    Column("last_seen_us", BigInteger, nullable=False),
    postgresql_with=_ROOM,
)

# What each runner has. A row counts while its session is the runner's newest; older ones stay, so that a runner that
# comes back with what it had before is not taken for one with news.
runner_experiments = Table(
    "runner_experiments",
    metadata,
    Column("runner_id", Id, nullable=False),
    Column("experiment", Name, nullable=False),
    Column("session_number", BigInteger, nullable=False),
    Column("definition_hash", LargeBinary, nullable=False),
    *_code(),
    PrimaryKeyConstraint("runner_id", "experiment"),
    Index("ix_runner_experiments_experiment", "experiment", "runner_id"),
)

discovery_errors = Table(
    "discovery_errors",
    metadata,
    Column("runner_id", Id, nullable=False),
    Column("module", Name, nullable=False),
    Column("session_number", BigInteger, nullable=False),
    Column("error", Text, nullable=False),
    PrimaryKeyConstraint("runner_id", "module"),
)

instances = Table(
    "instances",
    metadata,
    Column("id", Id, primary_key=True),
    Column("experiment", Name, nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("configuration_json", JsonText, nullable=False),
    Column("labels_json", Text, nullable=False),
    Column("etag", Text, nullable=False),
    Column("create_time_us", BigInteger, nullable=False),
    Column("update_time_us", BigInteger, nullable=False),
    Column("run_count", BigInteger, nullable=False),
    Column("last_run_id", Id),
    Column("last_run_state", Integer),
    Column("last_run_time_us", BigInteger),
    Column("hide_time_us", BigInteger),
    Index("ix_instances_experiment", "experiment", "id"),
    postgresql_with=_ROOM,
)

instance_labels = Table(
    "instance_labels",
    metadata,
    Column("instance_id", Id, ForeignKey(instances.c.id, ondelete="CASCADE"), nullable=False),
    Column("key", Name, nullable=False),
    Column("value", Name, nullable=False),
    PrimaryKeyConstraint("instance_id", "key"),
    Index("ix_instance_labels_key", "key", "value", "instance_id"),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("instance_id", Id, ForeignKey(instances.c.id), nullable=False),
    Column("experiment", Name, nullable=False),
    Column("state", Integer, nullable=False),
    *_policy(),
    Column("seed", Text, nullable=False),  # 64 bits without a sign, in decimal: neither database has such a type
    Column("labels_json", Text, nullable=False),
    Column("create_time_us", BigInteger, nullable=False),
    Column("lease_id", Id),
    Column("attempt_count", Integer, nullable=False),
    Column("next_attempt_time_us", BigInteger),
    Column("progress_current", BigInteger),
    Column("progress_total", BigInteger),
    Column("progress_message", Text),
    *_failure(),
    Column("last_sequence", BigInteger, nullable=False),
    Column("log_count", BigInteger, nullable=False),
    Column("result_count", BigInteger, nullable=False),
    Column("cancel_request_time_us", BigInteger),
    Column("cancel_reason", Text, nullable=False),
    Column("unreachable_since_us", BigInteger),
    Column("start_time_us", BigInteger),
    Column("end_time_us", BigInteger),
    Column("hide_time_us", BigInteger),
    Index("ix_runs_instance", "instance_id", "id"),
    Index("ix_runs_instance_state", "instance_id", "state", "id"),
    Index("ix_runs_experiment", "experiment", "id"),
    Index("ix_runs_experiment_state", "experiment", "state", "id"),
    Index("ix_runs_state", "state", "id"),
    postgresql_with=_ROOM,
)

# What makes a run claimable but for its time, spelled as in the index: SQLite uses a partial index for the same words
# alone.
# `state` is among the columns too: SQLite prefers any index that has more of the columns that are compared.
CLAIMABLE = text(
    f"state = {RunState.PENDING.value} AND lease_id IS NULL AND cancel_request_time_us IS NULL AND hide_time_us IS NULL"
)
Index(
    "ix_runs_claimable",
    runs.c.experiment,
    runs.c.state,
    runs.c.id,
    sqlite_where=CLAIMABLE,
    postgresql_where=CLAIMABLE,
)
# Runs between two attempts: few, however many wait for a first one.
BETWEEN_ATTEMPTS = text(f"{CLAIMABLE.text} AND next_attempt_time_us IS NOT NULL")
Index(
    "ix_runs_next_attempt",
    runs.c.next_attempt_time_us,
    sqlite_where=BETWEEN_ATTEMPTS,
    postgresql_where=BETWEEN_ATTEMPTS,
)
Index(
    "ix_runs_hidden",
    runs.c.id,
    sqlite_where=runs.c.hide_time_us.is_not(None),
    postgresql_where=runs.c.hide_time_us.is_not(None),
)

# Beside the run's row, not in it: SQLite rewrites a row as a whole, and a configuration may be large.
run_configurations = Table(
    "run_configurations",
    metadata,
    Column("run_id", Id, ForeignKey(runs.c.id, ondelete="CASCADE"), primary_key=True),
    Column("configuration_json", JsonText, nullable=False),
)

run_labels = Table(
    "run_labels",
    metadata,
    Column("run_id", Id, ForeignKey(runs.c.id, ondelete="CASCADE"), nullable=False),
    Column("key", Name, nullable=False),
    Column("value", Name, nullable=False),
    PrimaryKeyConstraint("run_id", "key"),
    Index("ix_run_labels_key", "key", "value", "run_id"),
)

# No foreign key to runs: a lease outlives its run as a tombstone.
leases = Table(
    "leases",
    metadata,
    Column("id", Id, primary_key=True),
    Column("run_id", Id, nullable=False),
    Column("runner_id", Id, nullable=False),
    Column("session_number", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("grant_time_us", BigInteger, nullable=False),
    Column("renew_time_us", BigInteger, nullable=False),
    Column("expire_time_us", BigInteger, nullable=False),
    Column("lost_after_us", BigInteger, nullable=False),
    Column("first_sequence", BigInteger, nullable=False),
    Column("last_sequence", BigInteger, nullable=False),
    Column("event_count", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("end_reason", Text),
    Column("end_time_us", BigInteger),
    Index("ix_leases_run", "run_id", "id"),
    postgresql_with=_ROOM,
)
Index(
    "ix_leases_live",
    leases.c.runner_id,
    leases.c.id,
    sqlite_where=leases.c.end_time_us.is_(None),
    postgresql_where=leases.c.end_time_us.is_(None),
)
Index(
    "ix_leases_ended",
    leases.c.end_time_us,
    sqlite_where=leases.c.end_time_us.is_not(None),
    postgresql_where=leases.c.end_time_us.is_not(None),
)

attempts = Table(
    "attempts",
    metadata,
    Column("run_id", Id, ForeignKey(runs.c.id, ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("lease_id", Id, nullable=False),
    Column("runner_id", Id, nullable=False),
    *_code(),
    Column("start_time_us", BigInteger),
    Column("end_time_us", BigInteger),
    Column("outcome", Integer, nullable=False),
    *_failure(),
    Column("process_gone", Boolean, nullable=False),
    Column("log_complete", Boolean, nullable=False),
    Column("last_sequence", BigInteger, nullable=False),
    # As the orchestrator had them when the attempt ended; NULL while it is under way, and where it ended before 0002.
    Column("event_count", BigInteger),
    Column("digest", LargeBinary),
    PrimaryKeyConstraint("run_id", "number"),
    Index("ix_attempts_lease", "lease_id"),
)

# No foreign key here nor on results: one check for each event would cost more than the event. `deletion` sees to it.
run_events = Table(
    "run_events",
    metadata,
    Column("run_id", Id, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("kind", Integer, nullable=False),
    Column("level", Integer),
    Column("key", Name),
    Column("time_us", BigInteger, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("checksum", BigInteger),  # CRC-32 of the payload; NULL in rows of before 0002
    PrimaryKeyConstraint("run_id", "sequence"),
)

# The few among the many: what is not a log entry, and log entries that tell of trouble. As text, like CLAIMABLE.
TROUBLE_LEVEL = 30
NOTABLE = text(f"(kind <> {EventKind.LOG.value} OR level >= {TROUBLE_LEVEL})")
Index(
    "ix_run_events_notable",
    run_events.c.run_id,
    run_events.c.sequence,
    sqlite_where=NOTABLE,
    postgresql_where=NOTABLE,
)

run_results = Table(
    "run_results",
    metadata,
    Column("run_id", Id, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("key", Name),
    Column("value", JsonText),
    Column("time_us", BigInteger, nullable=False),
    Column("superseded", Boolean, nullable=False),
    PrimaryKeyConstraint("run_id", "sequence"),
    Index("ix_run_results_key", "run_id", "key", "sequence"),
)

# What happened to runs and instances lately, for those who watch all of them; see `storage.changes`. No foreign keys:
# of what was deleted this is all that is left.
changes = Table(
    "changes",
    metadata,
    Column("position", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True),
    Column("time_us", BigInteger, nullable=False),
    Column("resource", Integer, nullable=False),
    Column("resource_id", Id, nullable=False),
    Column("kind", Integer, nullable=False),
    Column("instance_id", Text, nullable=False),
    Column("experiment", Text, nullable=False),
    Column("labels_json", Text, nullable=False),
)

requests = Table(
    "requests",
    metadata,
    Column("request_id", Name, primary_key=True),
    Column("body_hash", LargeBinary, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("create_time_us", BigInteger, nullable=False),
    Index("ix_requests_create_time", "create_time_us"),
)
