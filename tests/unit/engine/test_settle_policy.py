"""The policy of a new run: asked, else the author's, else the server's."""

from datetime import timedelta

import pytest
from athanor_orchestrator.domain.errors import InvalidFields
from athanor_orchestrator.domain.records import Policy
from athanor_orchestrator.engine.runs import settle_policy


def test_what_is_asked_wins_over_the_author_and_he_over_the_server() -> None:
    settled = settle_policy(
        Policy(timeout=timedelta(seconds=5)),
        Policy(timeout=timedelta(hours=1), cancel_grace_period=timedelta(seconds=30)),
    )
    assert settled == Policy(
        timeout=timedelta(seconds=5),
        cancel_grace_period=timedelta(seconds=30),
        max_attempts=1,
        retry_backoff=timedelta(seconds=5),
        lost_after=None,  # each attempt's own default
    )


@pytest.mark.parametrize("attempts", [1, 2, 1000])
def test_more_attempts_may_be_asked_for_and_an_author_may_allow_them(attempts: int) -> None:
    assert settle_policy(Policy(max_attempts=attempts), Policy()).max_attempts == attempts
    assert settle_policy(Policy(), Policy(max_attempts=attempts)).max_attempts == attempts
    assert settle_policy(Policy(max_attempts=1), Policy(max_attempts=attempts)).max_attempts == 1


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        (Policy(timeout=timedelta(0)), "policy.timeout"),
        (Policy(max_attempts=0), "policy.max_attempts"),
        (Policy(max_attempts=1001), "policy.max_attempts"),
        (Policy(cancel_grace_period=timedelta(seconds=-1)), "policy.cancel_grace_period"),
        (Policy(retry_backoff=timedelta(hours=1)), "policy.retry_backoff"),
        (Policy(lost_after=timedelta(seconds=69)), "policy.lost_after"),
        # The 10 minutes of a run with attempts left are less than 60 s and this grace period.
        (Policy(max_attempts=2, cancel_grace_period=timedelta(minutes=10)), "policy.lost_after"),
    ],
)
def test_a_policy_that_cannot_be_kept_is_refused_by_its_field(policy: Policy, field: str) -> None:
    with pytest.raises(InvalidFields) as caught:
        settle_policy(policy, Policy())
    assert [violation.field for violation in caught.value.violations] == [field]
