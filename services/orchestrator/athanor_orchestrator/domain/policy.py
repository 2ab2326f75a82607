"""How runs are to be executed: defaults, which of several layers wins, and what is not accepted."""

from dataclasses import fields, replace
from datetime import timedelta

from athanor_orchestrator.domain.errors import Violation
from athanor_orchestrator.domain.records import Policy, Run, RunState

SERVER_DEFAULT = Policy(
    timeout=None,
    cancel_grace_period=timedelta(seconds=10),
    max_attempts=1,
    retry_backoff=timedelta(seconds=5),
    lost_after=None,  # depends on max_attempts: see `for_attempt`
)

LOST_AFTER_WITH_ATTEMPTS_LEFT = timedelta(minutes=10)
LOST_AFTER_ON_THE_LAST_ATTEMPT = timedelta(hours=24)  # giving up then helps nobody

LONGEST_BACKOFF = timedelta(minutes=10)
LONGEST = timedelta(days=3650)  # of any other duration, so that a sum of times stays within 64 bits
MOST_ATTEMPTS = 1000
SHORTEST_LOST_AFTER = timedelta(seconds=60)  # beside the grace period


def resolve(*layers: Policy) -> Policy:
    """Return the policy of a run: for each field the first layer that says it, else the server's default.

    Two fields may be None in the answer: `timeout` is no limit, and `lost_after` is the default, which differs from
    attempt to attempt; see `for_attempt`.
    """
    said = {
        field.name: next(
            (value for layer in (*layers, SERVER_DEFAULT) if (value := getattr(layer, field.name)) is not None), None
        )
        for field in fields(Policy)
    }
    return Policy(**said)


def for_attempt(policy: Policy, attempt: int) -> Policy:
    """Return a run's policy as it holds for one of its attempts: every field but `timeout` is set.

    What was said holds for every attempt. By default a silent runner is given up soon while another attempt could
    follow, and late when none could.
    """
    if policy.lost_after is not None:
        return policy
    last = policy.max_attempts is None or attempt >= policy.max_attempts
    return replace(policy, lost_after=LOST_AFTER_ON_THE_LAST_ATTEMPT if last else LOST_AFTER_WITH_ATTEMPTS_LEFT)


def in_force(run: Run) -> Policy:
    """Return a run's policy as it holds for its attempt: the one under way, else the next, else the last there was."""
    waiting = run.state is RunState.PENDING
    return for_attempt(run.policy, run.attempt_count + 1 if waiting else max(run.attempt_count, 1))


def violations(policy: Policy, prefix: str) -> list[Violation]:
    """List what is wrong with a policy, each with its field path under `prefix` (for example `policy`).

    Fields that are not set are not judged, except that `lost_after` is measured against the grace period that holds
    when none is said. To judge several layers together, pass what `resolve` and `for_attempt` make of them.
    """
    found: list[Violation] = []

    def refuse(field: str, description: str) -> None:
        found.append(Violation(f"{prefix}.{field}" if prefix else field, description))

    if policy.timeout is not None and not timedelta() < policy.timeout <= LONGEST:
        refuse("timeout", "must be longer than 0 s and at most 3650 days; leave it out for no limit")
    if policy.cancel_grace_period is not None and not timedelta() <= policy.cancel_grace_period <= LONGEST:
        refuse("cancel_grace_period", "must be between 0 s and 3650 days")
    if policy.max_attempts is not None and not 1 <= policy.max_attempts <= MOST_ATTEMPTS:
        refuse("max_attempts", f"must be between 1 and {MOST_ATTEMPTS}")
    if policy.retry_backoff is not None and not timedelta() <= policy.retry_backoff <= LONGEST_BACKOFF:
        refuse("retry_backoff", "must be between 0 s and 10 minutes")
    if policy.lost_after is not None:
        grace = policy.cancel_grace_period
        if grace is None:
            grace = SERVER_DEFAULT.cancel_grace_period or timedelta()
        shortest = SHORTEST_LOST_AFTER + max(grace, timedelta())
        if not shortest <= policy.lost_after <= LONGEST:
            refuse(
                "lost_after",
                f"must be at least {shortest.total_seconds():g} s (60 s and the grace period) and at most 3650 days",
            )
    return found
