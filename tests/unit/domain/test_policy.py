"""Policies: which layer wins, and what is refused, by field."""

from datetime import timedelta

import pytest
from athanor_orchestrator.domain.policy import SERVER_DEFAULT, for_attempt, in_force, resolve, violations
from athanor_orchestrator.domain.records import Policy, RunState

from tests.support.rows import a_run, an_instance


def s(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def test_the_servers_defaults_hold_when_nothing_is_said() -> None:
    assert resolve() == Policy(None, s(10), 1, s(5), None)
    assert resolve(Policy(), Policy()) == resolve()


def test_for_each_field_the_first_layer_that_says_it_wins() -> None:
    request = Policy(max_attempts=4, retry_backoff=s(0))
    experiment = Policy(timeout=s(60), max_attempts=2, cancel_grace_period=s(0), lost_after=s(120))
    assert resolve(request, experiment) == Policy(s(60), s(0), 4, s(0), s(120))


SOON, LATE = timedelta(minutes=10), timedelta(hours=24)


@pytest.mark.parametrize(
    ("allowed", "attempt", "lost_after"),
    [(1, 1, LATE), (2, 1, SOON), (2, 2, LATE), (3, 2, SOON), (3, 3, LATE), (1000, 999, SOON), (1000, 1000, LATE)],
)
def test_a_silent_runner_is_given_up_sooner_while_attempts_are_left(
    allowed: int, attempt: int, lost_after: timedelta
) -> None:
    for policy in (resolve(Policy(max_attempts=allowed)), resolve(Policy(), Policy(max_attempts=allowed))):
        assert for_attempt(policy, attempt) == Policy(None, s(10), allowed, s(5), lost_after)


@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_what_was_said_holds_for_every_attempt(attempt: int) -> None:
    for said in (s(99), SOON, LATE):
        assert for_attempt(resolve(Policy(max_attempts=3, lost_after=said)), attempt).lost_after == said
        assert for_attempt(resolve(Policy(max_attempts=3), Policy(lost_after=said)), attempt).lost_after == said


@pytest.mark.parametrize(
    ("state", "used", "lost_after"),
    [
        (RunState.PENDING, 0, SOON),  # waits for the first of two
        (RunState.RUNNING, 1, SOON),
        (RunState.PENDING, 1, LATE),  # between them
        (RunState.RUNNING, 2, LATE),
        (RunState.FAILED, 2, LATE),
        (RunState.COMPLETED, 1, SOON),
        (RunState.CANCELLED, 0, SOON),  # before any
    ],
)
def test_a_run_shows_what_holds_for_its_attempt(state: RunState, used: int, lost_after: timedelta) -> None:
    run = a_run(an_instance(), state=state, attempt_count=used, policy=resolve(Policy(max_attempts=2)))
    assert in_force(run).lost_after == lost_after


def test_what_the_server_falls_back_to_is_valid() -> None:
    assert violations(SERVER_DEFAULT, "policy") == []
    for attempts in (1, 2, 1000):
        assert violations(for_attempt(resolve(Policy(max_attempts=attempts)), 1), "policy") == []


@pytest.mark.parametrize(
    ("policy", "fields"),
    [
        (Policy(), []),
        (Policy(timeout=s(0)), ["timeout"]),
        (Policy(timeout=s(-1)), ["timeout"]),
        (Policy(timeout=timedelta(microseconds=1)), []),
        (Policy(timeout=timedelta(days=3650)), []),
        (Policy(timeout=timedelta(days=3651)), ["timeout"]),
        (Policy(timeout=timedelta.max), ["timeout"]),
        (Policy(cancel_grace_period=s(0)), []),
        (Policy(cancel_grace_period=s(-0.1)), ["cancel_grace_period"]),
        (Policy(cancel_grace_period=timedelta.max), ["cancel_grace_period"]),
        (Policy(max_attempts=0), ["max_attempts"]),
        (Policy(max_attempts=-1), ["max_attempts"]),
        (Policy(max_attempts=1000), []),
        (Policy(max_attempts=1001), ["max_attempts"]),
        (Policy(retry_backoff=s(0)), []),
        (Policy(retry_backoff=s(600)), []),
        (Policy(retry_backoff=s(601)), ["retry_backoff"]),
        (Policy(retry_backoff=s(-1)), ["retry_backoff"]),
        (Policy(lost_after=s(70)), []),  # 60 s and the default grace period of 10 s
        (Policy(lost_after=s(69)), ["lost_after"]),
        (Policy(lost_after=s(60), cancel_grace_period=s(0)), []),
        (Policy(lost_after=s(119), cancel_grace_period=s(60)), ["lost_after"]),
        (Policy(lost_after=s(120), cancel_grace_period=s(60)), []),
        (Policy(lost_after=timedelta.max), ["lost_after"]),
        (
            Policy(s(0), s(-1), 0, s(-1), s(0)),
            ["timeout", "cancel_grace_period", "max_attempts", "retry_backoff", "lost_after"],
        ),
    ],
)
def test_every_field_that_is_wrong_is_named(policy: Policy, fields: list[str]) -> None:
    found = violations(policy, "policy")
    assert [violation.field for violation in found] == [f"policy.{field}" for field in fields]
    assert all(violation.description for violation in found)
    assert [violation.field for violation in violations(policy, "")] == fields
