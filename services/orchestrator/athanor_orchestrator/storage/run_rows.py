"""Runs as rows: their columns to records and back."""

from typing import Any, TypedDict

from sqlalchemy import select

from athanor_orchestrator.domain.records import Attempt, Failure, Progress, Run, RunState
from athanor_orchestrator.storage.aliases import AnyRow, AnySelect
from athanor_orchestrator.storage.columns import clean, failure_columns, failure_of, labels_of, policy_of
from athanor_orchestrator.storage.schema import run_configurations, runs

VISIBLE = runs.c.hide_time_us.is_(None)


class RunColumns(TypedDict, total=False):
    """What may be written on a run beside its state; the names are those of `Run`."""

    lease_id: str | None
    attempt_count: int
    next_attempt_time_us: int | None
    progress: Progress | None
    failure: Failure | None
    last_sequence: int
    log_count: int
    result_count: int
    cancel_request_time_us: int | None
    cancel_reason: str
    unreachable_since_us: int | None
    start_time_us: int | None
    end_time_us: int | None


def with_configuration() -> AnySelect:
    """Return the query for runs together with their configurations."""
    return select(runs, run_configurations.c.configuration_json).join(
        run_configurations, run_configurations.c.run_id == runs.c.id
    )


def progress_columns(progress: Progress | None) -> dict[str, Any]:
    """Return the columns of progress, or of none."""
    if progress is None:
        return {"progress_current": None, "progress_total": None, "progress_message": None}
    return {
        "progress_current": progress.current,
        "progress_total": progress.total,
        "progress_message": clean(progress.message),
    }


def run_columns(columns: RunColumns) -> dict[str, Any]:
    """Spread the fields of `Run` that are several columns."""
    spread: dict[str, Any] = dict(columns)
    if "progress" in columns:
        del spread["progress"]
        spread |= progress_columns(columns["progress"])
    if "failure" in columns:
        del spread["failure"]
        spread |= failure_columns(columns["failure"])
    if "cancel_reason" in columns:
        spread["cancel_reason"] = clean(columns["cancel_reason"])
    return spread


def run_of(row: AnyRow, configuration_json: str = "", made: tuple[Attempt, ...] = ()) -> Run:
    """Make a run of a row of `runs`, and of what is kept beside it."""
    progress = None
    if row.progress_current is not None:
        progress = Progress(row.progress_current, row.progress_total, row.progress_message)
    return Run(
        id=row.id,
        instance_id=row.instance_id,
        experiment=row.experiment,
        state=RunState(row.state),
        configuration_json=configuration_json,
        policy=policy_of(row),
        seed=int(row.seed),
        labels=labels_of(row.labels_json),
        create_time_us=row.create_time_us,
        lease_id=row.lease_id,
        attempt_count=row.attempt_count,
        attempts=made,
        next_attempt_time_us=row.next_attempt_time_us,
        progress=progress,
        failure=failure_of(row),
        last_sequence=row.last_sequence,
        log_count=row.log_count,
        result_count=row.result_count,
        cancel_request_time_us=row.cancel_request_time_us,
        cancel_reason=row.cancel_reason,
        unreachable_since_us=row.unreachable_since_us,
        start_time_us=row.start_time_us,
        end_time_us=row.end_time_us,
        log_incomplete=any(attempt.outcome and not attempt.log_complete for attempt in made),
    )
