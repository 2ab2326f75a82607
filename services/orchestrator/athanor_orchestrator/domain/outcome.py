"""What follows from the end of an attempt, whoever wrote that end."""

from dataclasses import dataclass, replace
from datetime import timedelta

from athanor_orchestrator.domain.policy import LONGEST_BACKOFF
from athanor_orchestrator.domain.records import AttemptOutcome, Failure, FailureKind, RunState

# Trying again cannot help: the experiment itself said that it failed, or the configuration fits no better next time.
FINAL_KINDS = frozenset({FailureKind.REPORTED, FailureKind.CONFIGURATION})
# It may be the runner's fault: another one may do better.
KINDS_OF_THE_PLACE = frozenset({FailureKind.LAUNCH, FailureKind.STORAGE})


@dataclass(frozen=True, slots=True)
class Consequence:
    """Where the run stands after an attempt."""

    state: RunState
    failure: Failure | None  # of the run: set when FAILED, and when CANCELLED was not clean
    next_attempt_time_us: int | None  # set when PENDING
    reason: str  # for people, in the StateChange


def after_attempt(
    *,
    outcome: AttemptOutcome,
    failure: Failure | None,
    cancel_requested: bool,
    log_complete: bool,
    attempts_used: int,
    max_attempts: int,
    backoff: timedelta,
    now_us: int,
) -> Consequence:
    """Decide what follows from the end of an attempt.

    `attempts_used` counts the attempt that ended. `backoff` is the wait before the second attempt; it doubles before
    each further one, up to `LONGEST_BACKOFF`.
    """
    completed = outcome is AttemptOutcome.COMPLETED
    if completed and log_complete:
        late = "; the cancellation came too late" if cancel_requested else ""
        return Consequence(RunState.COMPLETED, None, None, f"attempt {attempts_used} completed{late}")
    if cancel_requested and not completed:
        return Consequence(RunState.CANCELLED, failure, None, f"attempt {attempts_used} was cancelled")

    why = _failure_of(outcome, failure)
    # A run whose cancellation was requested is never claimed again, so it must not wait for another attempt.
    if why.kind not in FINAL_KINDS and attempts_used < max_attempts and not cancel_requested:
        wait = _wait(attempts_used, backoff)
        return Consequence(
            RunState.PENDING,
            None,
            now_us + wait // timedelta(microseconds=1),
            f"attempt {attempts_used} of {max_attempts} failed: {why.message}; "
            f"the next one in {wait.total_seconds():g} s",
        )
    return Consequence(RunState.FAILED, why, None, f"attempt {attempts_used} of {max_attempts} failed: {why.message}")


def _failure_of(outcome: AttemptOutcome, failure: Failure | None) -> Failure:
    if outcome is AttemptOutcome.COMPLETED:
        lost = Failure(FailureKind.STORAGE, "the experiment completed, but not all of its log is known to be here")
        return lost if failure is None else replace(lost, detail=failure.message)
    if failure is not None:
        return failure
    if outcome is AttemptOutcome.CANCELLED:
        return Failure(FailureKind.REPORTED, "the experiment stopped as cancelled, but nobody had asked for that")
    return Failure(FailureKind.PROCESS_EXIT, "the attempt failed without saying why")


def _wait(attempts_used: int, backoff: timedelta) -> timedelta:
    # Doubling is capped before it is computed: a thousandth attempt must not overflow.
    doublings = min(attempts_used - 1, 32)
    return min(backoff * 2**doublings, LONGEST_BACKOFF)
