"""When a lease is over by both witnesses: the rule alone, with times given."""

from dataclasses import replace
from datetime import timedelta

import pytest
from athanor_orchestrator.domain.records import Lease
from athanor_orchestrator.engine.observation import Observer

BEGIN_US = 1_700_000_000_000_000
INTERVAL = 5.0
LOST_AFTER = 60


def lease(renewed_at: float = 0.0) -> Lease:
    renewed_us = BEGIN_US + round(renewed_at * 1_000_000)
    return Lease(
        id="lease",
        run_id="run",
        runner_id="runner",
        session_number=1,
        attempt=1,
        grant_time_us=BEGIN_US,
        renew_time_us=renewed_us,
        expire_time_us=renewed_us + LOST_AFTER * 1_000_000,
        first_sequence=2,
        last_sequence=1,
        lost_after=timedelta(seconds=LOST_AFTER),
    )


class Watch:
    """An observer and the two clocks that it is shown."""

    def __init__(self) -> None:
        self.observer = Observer(INTERVAL)
        self.monotonic = 100.0
        self.wall = 0.0

    def pass_time(self, seconds: float, wall: float | None = None) -> None:
        self.monotonic += seconds
        self.wall += seconds if wall is None else wall

    def look(self, *leases: Lease) -> None:
        self.observer.look(self.monotonic, self.wall_us, leases)

    def rounds(self, count: int, one: Lease, every: float = INTERVAL) -> None:
        for _ in range(count):
            self.pass_time(every)
            self.look(one)

    @property
    def wall_us(self) -> int:
        return BEGIN_US + round(self.wall * 1_000_000)

    def over(self, one: Lease) -> bool:
        return self.observer.over(one, self.wall_us)


def test_a_lease_is_over_when_it_was_seen_unrenewed_for_as_long_as_the_policy_says():
    watch, one = Watch(), lease()
    watch.look(one)
    watch.rounds(12, one)
    assert watch.observer.silent(one) == 60
    assert not watch.over(one)  # expire_time is this very moment
    watch.rounds(1, one)
    assert watch.over(one)


def test_a_renewal_begins_anew():
    watch, one = Watch(), lease()
    watch.look(one)
    watch.rounds(11, one)
    renewed = lease(watch.wall)
    watch.rounds(12, renewed)
    assert not watch.over(renewed)
    watch.rounds(2, renewed)
    assert watch.over(renewed)


def test_the_database_alone_ends_nothing():
    # The orchestrator was away for a day, or its clock was moved.
    watch, one = Watch(), lease()
    watch.pass_time(24 * 3600)
    watch.look(one)
    watch.rounds(3, one)
    assert one.expire_time_us < watch.wall_us
    assert not watch.over(one)


def test_the_observer_alone_ends_nothing():
    watch, one = Watch(), lease()
    far = replace(one, expire_time_us=one.expire_time_us + 10**15)
    watch.look(far)
    watch.rounds(30, far)
    assert not watch.over(far)


@pytest.mark.parametrize(
    ("monotonic", "wall"),
    [
        (15.1, 15.1),  # a round that came late: the process was stopped
        (5, 3600),  # a closed laptop: the monotonic clock stood still, the wall clock did not
        (5, -3600),  # the wall clock was set back
        (5, 3605),  # or forward
    ],
    ids=["late", "suspended", "back", "forward"],
)
def test_a_round_that_came_late_or_saw_the_clock_jump_counts_for_nothing(monotonic, wall):
    watch, one = Watch(), lease()
    watch.look(one)
    watch.rounds(11, one)
    watch.pass_time(monotonic, wall)
    watch.look(one)
    assert watch.observer.silent(one) == 55
    assert watch.observer.observed == 0


def test_a_failed_round_leaves_out_the_time_around_it():
    watch, one = Watch(), lease()
    watch.look(one)
    watch.rounds(2, one)
    watch.pass_time(5)
    watch.observer.failed()
    watch.rounds(3, one)
    assert watch.observer.silent(one) == 20
    assert watch.observer.observed == 10


def test_rounds_a_little_late_count_in_full():
    watch, one = Watch(), lease()
    watch.look(one)
    watch.rounds(5, one, every=14.9)
    assert watch.over(one)


def test_after_all_interruptions_a_lost_one_ends_all_the_same():
    watch, one = Watch(), lease()
    watch.look(one)
    for _ in range(6):
        watch.rounds(2, one)
        watch.pass_time(1000)
        watch.look(one)
    assert watch.over(one)


def test_only_live_leases_are_remembered():
    watch, one = Watch(), lease()
    watch.look(one)
    watch.rounds(20, one)
    watch.look()
    assert watch.observer.silent(one) == 0
