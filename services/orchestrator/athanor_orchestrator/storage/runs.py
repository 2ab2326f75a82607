"""Runs. Every transaction about a run locks its row first, several runs in the order of their ids."""

from collections.abc import Collection, Mapping
from typing import TypedDict, Unpack

from athanor_orchestrator.domain.records import Failure, Progress, Run, RunState
from athanor_orchestrator.storage.pages import Page
from athanor_orchestrator.storage.transaction import Transaction


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


def insert_run(tx: Transaction, run: Run) -> None:
    """Store a new run as it is (without attempts), and count it on its instance, whose newest run it becomes."""
    raise NotImplementedError


def get_run(tx: Transaction, run_id: str) -> Run | None:
    """Return one run with configuration and attempts."""
    raise NotImplementedError


def list_runs(
    tx: Transaction,
    *,
    instance_id: str = "",
    experiment: str = "",
    states: Collection[RunState] = (),
    labels: Mapping[str, str] | None = None,
    before_id: str | None = None,
    limit: int,
    full: bool = False,
    max_bytes: int | None = None,
) -> Page[Run]:
    """Return runs, newest first, those older than `before_id`; what is empty selects everything.

    Only `full` ones carry configuration ("" otherwise) and attempts. `max_bytes` bounds the configurations of a full
    page, which holds at least one run all the same.
    """
    raise NotImplementedError


def lock_run(tx: Transaction, run_id: str) -> Run | None:
    """Return one run, locked until the commit, with its configuration and without its attempts."""
    raise NotImplementedError


def lock_runs(tx: Transaction, run_ids: Collection[str]) -> dict[str, Run]:
    """Lock runs in the order of their ids and return those that exist, by id, without configuration ("") and attempts.

    This is the one for the path of events; hidden runs do not exist.
    """
    raise NotImplementedError


def transition(
    tx: Transaction, run_id: str, from_states: Collection[RunState], to: RunState, **columns: Unpack[RunColumns]
) -> bool:
    """Move a run to a state if it is in one of `from_states` (compare-and-set), writing `columns` with it.

    False means that somebody else won, or that there is no such run: read again. Keeps the instance's
    `last_run_state`. Whether the transition may be tried is the caller's to check (`run_state.check`).
    """
    raise NotImplementedError


def update_run(tx: Transaction, run_id: str, **columns: Unpack[RunColumns]) -> bool:
    """Write `columns` on a run; False when there is no such run."""
    raise NotImplementedError


def request_cancel(tx: Transaction, run_id: str, reason: str, now_us: int) -> bool:
    """Set the request for cancellation of a live run; False when it was set before, the run has ended or is not there."""
    raise NotImplementedError


def put_progress(tx: Transaction, progress: Mapping[str, Progress]) -> None:
    """Write the latest progress of runs, by run id. Ended runs keep what they have."""
    raise NotImplementedError


def set_unreachable(tx: Transaction, run_ids: Collection[str], since_us: int | None) -> list[str]:
    """Set (unless it is set) or clear when the runner that holds the runs fell silent; returns the ids that changed."""
    raise NotImplementedError


def hide_run(tx: Transaction, run_id: str) -> bool:
    """Take a run out of every answer at once, also out of its instance's statistics; False when it is not there.

    Its leases stay as tombstones, as if they had ended now. The caller has made sure that it is not live.
    """
    raise NotImplementedError


def claimable(
    tx: Transaction, experiments: Collection[str], limit: int, not_runs: Collection[str] = ()
) -> list[Run]:
    """Return the oldest runs of `experiments` that may be given to a runner now, locked, with configuration.

    PENDING, no lease, cancellation not requested, `next_attempt_time` past. Runs that another orchestrator holds
    locked are passed over, so no two get the same.
    """
    raise NotImplementedError


def next_claim_time_us(tx: Transaction) -> int | None:
    """Return the earliest `next_attempt_time_us` that is still ahead, of all runs that wait for one; None: none waits."""
    raise NotImplementedError
