"""Attempts, as `Run.attempts` shows them."""

from collections import defaultdict
from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, case, func, insert, select, update

from athanor_orchestrator.domain.records import Attempt, AttemptAccount, AttemptOutcome, ChangeKind, Failure
from athanor_orchestrator.storage import changes
from athanor_orchestrator.storage.aliases import AnyRow, AnySelect
from athanor_orchestrator.storage.columns import code_columns, code_of, failure_columns, failure_of
from athanor_orchestrator.storage.schema import attempts, leases, runs
from athanor_orchestrator.storage.transaction import Transaction

DETAILED = 8

_UNDER_WAY = attempts.c.outcome == int(AttemptOutcome.UNSPECIFIED)

# With every attempt: made once, because making a statement costs as much as carrying it out. What stands in no
# `values` is written when it is among the parameters.
_INSERT = insert(attempts)
_UPDATE = update(attempts).where(attempts.c.run_id == bindparam("run"), attempts.c.number == bindparam("place"))
_END = _UPDATE.where(_UNDER_WAY)


def insert_attempt(tx: Transaction, run_id: str, lease_id: str, attempt: Attempt) -> None:
    """Store an attempt of which the first event is being stored."""
    tx.connection.execute(
        _INSERT, {"run_id": run_id, "number": attempt.number, "lease_id": lease_id, **_columns(attempt)}
    )
    changes.note_runs(tx, [run_id])


def get_attempt(tx: Transaction, run_id: str, number: int) -> Attempt | None:
    """Return one attempt."""
    row = tx.connection.execute(_select().where(attempts.c.run_id == run_id, attempts.c.number == number)).one_or_none()
    return None if row is None else _attempt(row)


def update_attempt(tx: Transaction, run_id: str, attempt: Attempt) -> bool:
    """Write everything of an attempt but its number; False when there is no such attempt."""
    return tx.connection.execute(_UPDATE, {"run": run_id, "place": attempt.number, **_columns(attempt)}).rowcount > 0


def end_attempt(
    tx: Transaction,
    run_id: str,
    number: int,
    *,
    end_time_us: int,
    outcome: AttemptOutcome,
    failure: Failure | None,
    process_gone: bool,
    log_complete: bool,
    last_sequence: int,
    event_count: int,
    digest: bytes,
) -> bool:
    """Write how an attempt ended, and its log as the orchestrator has chained it, once; False when it had ended or is
    not there.
    """
    return (
        tx.connection.execute(
            _END,
            {
                "run": run_id,
                "place": number,
                "end_time_us": end_time_us,
                "outcome": int(outcome),
                "process_gone": process_gone,
                "log_complete": log_complete,
                "last_sequence": last_sequence,
                "event_count": event_count,
                "digest": digest,
                **failure_columns(failure),
            },
        ).rowcount
        > 0
    )


def list_attempts(tx: Transaction, run_ids: Collection[str]) -> dict[str, tuple[Attempt, ...]]:
    """Return the attempts of each of the runs, oldest first; runs without any are left out.

    Only the newest `DETAILED` of a run come with the details of their failures: a thousand tracebacks would not fit
    into any answer. The log has all of them.
    """
    found: dict[str, list[Attempt]] = defaultdict(list)
    if run_ids:
        for row in tx.connection.execute(_OF_RUNS, {"ids": list(run_ids)}):
            found[row.run_id].append(_attempt(row))
    return {run_id: tuple(made) for run_id, made in found.items()}


def with_incomplete_logs(tx: Transaction, run_ids: Collection[str]) -> set[str]:
    """Return those of the runs of which an attempt has ended whose log is not known to be complete."""
    if not run_ids:
        return set()
    query = select(attempts.c.run_id).where(
        attempts.c.run_id.in_(list(run_ids)), ~_UNDER_WAY, attempts.c.log_complete.is_(False)
    )
    return set(tx.connection.execute(query).scalars())


def accounts_of(tx: Transaction, run_id: str) -> list[AttemptAccount]:
    """Return what is kept of each attempt's log beside the log itself, oldest first."""
    rows = tx.connection.execute(
        _select(
            func.coalesce(leases.c.event_count, attempts.c.event_count).label("counted"),
            func.coalesce(leases.c.digest, attempts.c.digest).label("chained"),
        )
        .where(attempts.c.run_id == run_id)
        .order_by(attempts.c.number)
    )
    return [
        AttemptAccount(
            number=row.number,
            outcome=AttemptOutcome(row.outcome),
            log_complete=bool(row.log_complete),
            last_sequence=row.reached,
            event_count=row.counted,
            digest=None if row.chained is None else bytes(row.chained),
        )
        for row in rows
    ]


def _select(*columns: ColumnElement[Any], detail: ColumnElement[Any] = attempts.c.failure_detail) -> AnySelect:
    """Select attempts, each with how far its log has `reached`: of one under way its lease knows that.

    `detail` stands for the detail of the failure, which may be left out.
    """
    reached = func.coalesce(leases.c.last_sequence, attempts.c.last_sequence).label("reached")
    others = [column for column in attempts.c if column.name != "failure_detail"]
    return select(*others, detail, reached, *columns).outerjoin(
        leases, and_(leases.c.id == attempts.c.lease_id, _UNDER_WAY)
    )


def _of_runs() -> AnySelect:
    is_new = runs.c.attempt_count - attempts.c.number < DETAILED
    detail = case((is_new, attempts.c.failure_detail), else_="").label("failure_detail")
    return (
        _select(detail=detail)
        .join(runs, runs.c.id == attempts.c.run_id)
        .where(attempts.c.run_id.in_(bindparam("ids", expanding=True)))
        .order_by(attempts.c.run_id, attempts.c.number)
    )


_OF_RUNS = _of_runs()  # with every page of a watch: made once


def put_process_gone(tx: Transaction, lease_ids: Collection[str]) -> list[str]:
    """Note on the attempts under these leases that no process is left; returns the ids of the runs that changed."""
    if not lease_ids:
        return []
    changed = set(
        tx.connection.execute(
            update(attempts)
            .where(attempts.c.lease_id.in_(list(lease_ids)), attempts.c.process_gone.is_(False))
            .values(process_gone=True)
            .returning(attempts.c.run_id)
        ).scalars()
    )
    changes.note_runs(tx, changed, ChangeKind.AFTERMATH)
    return sorted(changed)


def _columns(attempt: Attempt) -> dict[str, Any]:
    return {
        "runner_id": attempt.runner_id,
        **code_columns(attempt.code),
        "start_time_us": attempt.start_time_us,
        "end_time_us": attempt.end_time_us,
        "outcome": int(attempt.outcome),
        **failure_columns(attempt.failure),
        "process_gone": attempt.process_gone,
        "log_complete": attempt.log_complete,
        "last_sequence": attempt.last_sequence,
    }


def _attempt(row: AnyRow) -> Attempt:
    return Attempt(
        number=row.number,
        runner_id=row.runner_id,
        code=code_of(row),
        start_time_us=row.start_time_us,
        end_time_us=row.end_time_us,
        outcome=AttemptOutcome(row.outcome),
        failure=failure_of(row),
        process_gone=bool(row.process_gone),
        log_complete=bool(row.log_complete),
        last_sequence=row.reached,
    )
