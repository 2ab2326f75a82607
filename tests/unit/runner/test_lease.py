"""How long a runner counts on its leases, and when it does not trust what it reads."""

from athanor_runner.lease import Pulse, self_stop_time


def test_an_attempt_that_can_be_followed_stops_at_nine_tenths() -> None:
    assert self_stop_time(renewed_at=100, lost_after=600, attempt=1, max_attempts=2) == 640


def test_the_last_attempt_never_stops_by_itself() -> None:
    assert self_stop_time(100, 600, attempt=1, max_attempts=1) is None
    assert self_stop_time(100, 600, attempt=3, max_attempts=3) is None


def test_leases_are_counted_from_when_the_answered_heartbeat_was_sent() -> None:
    pulse = Pulse(5, answered_at=0, beaten_at=0)
    first, second = pulse.beat(5), pulse.beat(10)
    assert pulse.answered(second) == 10
    assert pulse.answered_at == 10
    assert pulse.answered(first) is None  # an older one says nothing more
    assert pulse.answered(99) is None
    assert pulse.answered_at == 10


def test_silence_is_counted_from_the_newest_answer() -> None:
    pulse = Pulse(5, answered_at=3, beaten_at=3)
    pulse.beat(8)
    assert pulse.silent_for(33) == 30


def test_a_loop_that_stood_still_trusts_nothing_before_a_later_heartbeat_is_answered() -> None:
    """The assignment lay in the socket while the machine slept: its lease may be another's by now."""
    pulse = Pulse(5, answered_at=0, beaten_at=0)
    before = pulse.beat(5)
    assert pulse.awake(20)
    assert not pulse.awake(20.1)  # the reader comes first: no heartbeat has been sent since

    after = pulse.beat(20.1)
    assert not pulse.awake(20.1)
    pulse.answered(before)
    assert not pulse.awake(20.2)
    pulse.answered(after)
    assert pulse.awake(20.3)


def test_what_was_sent_and_never_answered_is_not_kept() -> None:
    pulse = Pulse(5, answered_at=0, beaten_at=0)
    for moment in range(5, 500, 5):
        nonce = pulse.beat(moment)
    pulse.answered(nonce)
    assert pulse._sent == {}
