"""The append rule as a table, and as properties over any batch."""

from dataclasses import replace

import pytest
from athanor_orchestrator.domain.append_rule import (
    Acknowledge,
    Append,
    Decision,
    Drop,
    FenceIt,
    Ignore,
    Rewind,
    decide,
)
from athanor_orchestrator.domain.records import Lease, LeaseEnd
from hypothesis import given
from hypothesis import strategies as st

LEASE = Lease(
    id="lease",
    run_id="run",
    runner_id="runner",
    session_number=5,
    attempt=1,
    grant_time_us=0,
    renew_time_us=0,
    expire_time_us=0,
    first_sequence=2,
    last_sequence=10,
)


def over(end: LeaseEnd, **fields) -> Lease:
    return replace(LEASE, end=end, end_time_us=1, **fields)


@pytest.mark.parametrize(
    ("why", "lease", "current", "session", "first", "count", "expected"),
    [
        ("follows exactly", LEASE, "lease", 5, 11, 3, Append(0)),
        ("overlaps in part", LEASE, "lease", 5, 9, 5, Append(2)),
        ("is stored already", LEASE, "lease", 5, 8, 3, Append(3)),
        ("is stored and older", LEASE, "lease", 5, 2, 3, Append(3)),
        ("is empty", LEASE, "lease", 5, 11, 0, Append(0)),
        ("is empty and old", LEASE, "lease", 5, 3, 0, Append(0)),
        ("leaves a gap of one", LEASE, "lease", 5, 12, 1, Rewind(10)),
        ("leaves a large gap", LEASE, "lease", 5, 2**62, 1, Rewind(10)),
        ("names no lease that is known", None, "lease", 5, 11, 1, Ignore()),
        ("comes from a session that was superseded", LEASE, "lease", 4, 11, 1, Drop(superseded=True)),
        ("comes from a session that never took the lease up", LEASE, "lease", 6, 11, 1, Drop(superseded=False)),
        ("comes after the lease's own stored end", over(LeaseEnd.ENDED), None, 5, 11, 1, Acknowledge(10)),
        ("comes after it, in a later session", over(LeaseEnd.ENDED), "newer", 6, 11, 1, Acknowledge(10)),
        ("comes after it, from an older session", over(LeaseEnd.ENDED), None, 4, 11, 1, Drop(superseded=True)),
        ("is old and older than its session", over(LeaseEnd.LOST), None, 4, 11, 1, Drop(superseded=True)),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else None,
)
def test_a_batch(
    why: str, lease: Lease | None, current: str | None, session: int, first: int, count: int, expected: Decision
) -> None:
    assert decide(lease, current, 10, session, first, count) == expected


@pytest.mark.parametrize("end", [end for end in LeaseEnd if end is not LeaseEnd.ENDED])
@pytest.mark.parametrize("session", [5, 6])
def test_a_lease_that_is_over_is_fenced_with_the_reason(end: LeaseEnd, session: int) -> None:
    decision = decide(over(end), None, 10, session, 11, 1)
    assert isinstance(decision, FenceIt)
    assert decision.reason


def test_a_lease_that_is_no_longer_the_runs_is_fenced() -> None:
    assert isinstance(decide(LEASE, "another", 10, 5, 11, 1), FenceIt)
    assert isinstance(decide(LEASE, None, 10, 5, 11, 1), FenceIt)


@given(
    end=st.none() | st.sampled_from(list(LeaseEnd)),
    current=st.sampled_from(["lease", "another", None]),
    held=st.integers(1, 3),
    session=st.integers(1, 3),
    last=st.integers(0, 20),
    first=st.integers(1, 25),
    count=st.integers(0, 5),
)
def test_nothing_is_stored_but_by_the_live_holder_without_a_gap(
    end: LeaseEnd | None, current: str | None, held: int, session: int, last: int, first: int, count: int
) -> None:
    lease = replace(LEASE, end=end, session_number=held)
    decision = decide(lease, current, last, session, first, count)
    if isinstance(decision, Append):
        assert end is None
        assert current == lease.id
        assert session == held
        assert 0 <= decision.skip <= count
        # What is left begins right behind what is stored.
        assert decision.skip == count or first + decision.skip == last + 1
    if isinstance(decision, FenceIt):
        # A process is killed only for a lease that is over, never because a connection was replaced.
        assert end is not None or current != lease.id
        assert session >= held
