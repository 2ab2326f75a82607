"""Runs as rows: their columns to records and back."""

from typing import Any, TypedDict

from sqlalchemy import select

from athanor_orchestrator.domain.records import Attempt, Failure, Progress, Run, RunState
from athanor_orchestrator.storage.aliases import AnyRow, AnySelect
from athanor_orchestrator.storage.columns import clean, failure_columns, failure_from, labels_of, policy_from_us
from athanor_orchestrator.storage.schema import run_configurations, runs

_COLUMNS = len(runs.columns)

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
    """Make a run of a row that begins with the columns of `runs`, and of what is kept beside it."""
    # By their order: by its name each of them takes as long as all of them together.
    (
        id,
        instance_id,
        experiment,
        state,
        timeout_us,
        cancel_grace_period_us,
        max_attempts,
        retry_backoff_us,
        lost_after_us,
        seed,
        labels_json,
        create_time_us,
        lease_id,
        attempt_count,
        next_attempt_time_us,
        progress_current,
        progress_total,
        progress_message,
        failure_kind,
        failure_message,
        failure_detail,
        failure_exit_status,
        last_sequence,
        log_count,
        result_count,
        cancel_request_time_us,
        cancel_reason,
        unreachable_since_us,
        start_time_us,
        end_time_us,
        _hide_time_us,
    ) = row[:_COLUMNS]
    progress = None
    if progress_current is not None:
        progress = Progress(progress_current, progress_total, progress_message)
    return Run(
        id=id,
        instance_id=instance_id,
        experiment=experiment,
        state=RunState(state),
        configuration_json=configuration_json,
        policy=policy_from_us(timeout_us, cancel_grace_period_us, max_attempts, retry_backoff_us, lost_after_us),
        seed=int(seed),
        labels=labels_of(labels_json),
        create_time_us=create_time_us,
        lease_id=lease_id,
        attempt_count=attempt_count,
        attempts=made,
        next_attempt_time_us=next_attempt_time_us,
        progress=progress,
        failure=failure_from(failure_kind, failure_message, failure_detail, failure_exit_status),
        last_sequence=last_sequence,
        log_count=log_count,
        result_count=result_count,
        cancel_request_time_us=cancel_request_time_us,
        cancel_reason=cancel_reason,
        unreachable_since_us=unreachable_since_us,
        start_time_us=start_time_us,
        end_time_us=end_time_us,
        log_incomplete=any(attempt.outcome and not attempt.log_complete for attempt in made),
    )
