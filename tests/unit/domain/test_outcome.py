"""What follows from the end of an attempt, as a table."""

from datetime import timedelta

import pytest
from athanor_orchestrator.domain.outcome import Consequence, after_attempt
from athanor_orchestrator.domain.records import AttemptOutcome, Failure, FailureKind, RunState

COMPLETED, FAILED, CANCELLED = AttemptOutcome.COMPLETED, AttemptOutcome.FAILED, AttemptOutcome.CANCELLED
RAISED = Failure(FailureKind.EXCEPTION, "ValueError")
NOW_US = 1_000_000


def after(
    outcome: AttemptOutcome,
    failure: Failure | None = None,
    *,
    cancel: bool = False,
    whole: bool = True,
    used: int = 1,
    allowed: int = 1,
    backoff: timedelta = timedelta(seconds=5),
) -> Consequence:
    return after_attempt(
        outcome=outcome,
        failure=failure,
        cancel_requested=cancel,
        log_complete=whole,
        attempts_used=used,
        max_attempts=allowed,
        backoff=backoff,
        now_us=NOW_US,
    )


@pytest.mark.parametrize(
    ("why", "given", "state", "kind"),
    [
        ("it completed", after(COMPLETED), RunState.COMPLETED, None),
        ("it completed before the cancellation", after(COMPLETED, cancel=True), RunState.COMPLETED, None),
        ("it completed on the first of two", after(COMPLETED, allowed=2), RunState.COMPLETED, None),
        ("it failed", after(FAILED, RAISED), RunState.FAILED, FailureKind.EXCEPTION),
        ("it failed on the last", after(FAILED, RAISED, used=3, allowed=3), RunState.FAILED, FailureKind.EXCEPTION),
        ("it failed without a reason", after(FAILED), RunState.FAILED, FailureKind.PROCESS_EXIT),
        ("it was cancelled", after(CANCELLED, cancel=True), RunState.CANCELLED, None),
        (
            "it was cancelled by force",
            after(CANCELLED, RAISED, cancel=True),
            RunState.CANCELLED,
            FailureKind.EXCEPTION,
        ),
        ("it failed when cancelled", after(FAILED, RAISED, cancel=True), RunState.CANCELLED, FailureKind.EXCEPTION),
        (
            "it failed when cancelled, and attempts are left",
            after(FAILED, RAISED, cancel=True, allowed=9),
            RunState.CANCELLED,
            FailureKind.EXCEPTION,
        ),
        ("it lost some of its log", after(FAILED, RAISED, whole=False), RunState.FAILED, FailureKind.EXCEPTION),
        ("it completed without its log", after(COMPLETED, whole=False), RunState.FAILED, FailureKind.STORAGE),
        (
            "it completed without its log, cancelled, and attempts are left",
            after(COMPLETED, whole=False, cancel=True, allowed=9),
            RunState.FAILED,
            FailureKind.STORAGE,
        ),
        ("it stopped by itself as cancelled", after(CANCELLED, allowed=9), RunState.FAILED, FailureKind.REPORTED),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_the_run_ends(why: str, given: Consequence, state: RunState, kind: FailureKind | None) -> None:
    assert given.state is state
    assert (given.failure.kind if given.failure else None) == kind
    assert given.next_attempt_time_us is None
    assert given.reason


@pytest.mark.parametrize("kind", FailureKind)
def test_another_attempt_follows_unless_it_cannot_help(kind: FailureKind) -> None:
    given = after(FAILED, Failure(kind, "why"), used=1, allowed=2)
    if kind in (FailureKind.REPORTED, FailureKind.CONFIGURATION):
        assert given.state is RunState.FAILED
        assert given.failure == Failure(kind, "why")
    else:
        assert given == Consequence(
            RunState.PENDING, None, NOW_US + 5_000_000, "attempt 1 of 2 failed: why; the next one in 5 s"
        )


def test_a_lost_log_is_tried_again_like_any_other_failure() -> None:
    assert after(COMPLETED, whole=False, allowed=2).state is RunState.PENDING


@pytest.mark.parametrize(
    ("used", "seconds"), [(1, 5), (2, 10), (3, 20), (4, 40), (7, 320), (8, 600), (9, 600), (999, 600)]
)
def test_the_wait_doubles_up_to_ten_minutes(used: int, seconds: int) -> None:
    given = after(FAILED, RAISED, used=used, allowed=1000)
    assert given.next_attempt_time_us == NOW_US + seconds * 1_000_000


def test_no_backoff_is_no_wait() -> None:
    assert after(FAILED, RAISED, allowed=2, backoff=timedelta()).next_attempt_time_us == NOW_US


def test_a_cancellation_that_came_too_late_is_told() -> None:
    assert after(COMPLETED, cancel=True).reason == "attempt 1 completed; the cancellation came too late"
    assert "too late" not in after(COMPLETED).reason


def test_what_the_runner_said_is_kept_when_the_log_is_not_complete() -> None:
    given = after(COMPLETED, Failure(FailureKind.STORAGE, "the disk was full"), whole=False)
    assert given.failure is not None
    assert given.failure.detail == "the disk was full"
