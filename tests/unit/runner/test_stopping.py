"""When processes are told to end, and made to."""

import pytest
from athanor_runner.stopping import Decision, Facts, Step, decide

WAIT, TERM, KILL, DONE = Step.WAIT, Step.TERM, Step.KILL, Step.DONE


@pytest.mark.parametrize(
    ("facts", "now", "expected"),
    [
        pytest.param(Facts(False, False), 100, Decision(WAIT), id="it runs"),
        pytest.param(Facts(True, False), 100, Decision(DONE), id="it ended"),
        pytest.param(Facts(True, True, left_at=100), 100, Decision(TERM), id="it ended and left others"),
        pytest.param(Facts(False, False, cancelled_at=100), 100, Decision(WAIT, 110), id="cancelled"),
        pytest.param(Facts(False, False, cancelled_at=100, cancel_grace=0), 100, Decision(TERM), id="no grace"),
        pytest.param(Facts(False, False, cancelled_at=100), 110, Decision(TERM), id="grace is over"),
        pytest.param(Facts(True, False, cancelled_at=100), 110, Decision(DONE), id="cancelled and ended"),
        pytest.param(
            Facts(True, True, cancelled_at=100, left_at=102), 102, Decision(TERM), id="ended in its grace, left others"
        ),
        pytest.param(Facts(False, False, stopped_at=100), 100, Decision(TERM), id="timeout has no grace"),
        pytest.param(
            Facts(False, False, cancelled_at=100, stopped_at=103), 103, Decision(TERM), id="stopped in its grace"
        ),
        pytest.param(
            Facts(False, True, stopped_at=100, terminated_at=100), 104, Decision(WAIT, 105), id="between the signals"
        ),
        pytest.param(Facts(False, True, stopped_at=100, terminated_at=100), 105, Decision(KILL), id="SIGKILL is due"),
        pytest.param(Facts(True, True, stopped_at=100, terminated_at=100), 105, Decision(KILL), id="only others left"),
        pytest.param(Facts(True, False, stopped_at=100, terminated_at=100), 101, Decision(DONE), id="SIGTERM did it"),
        pytest.param(Facts(False, False, fenced=True), 100, Decision(KILL), id="fenced"),
        pytest.param(Facts(True, False, fenced=True), 100, Decision(DONE), id="fenced and gone"),
        pytest.param(Facts(False, False, left_at=105), 100, Decision(WAIT, 105), id="code ended, process hangs"),
        pytest.param(Facts(False, False, left_at=105), 105, Decision(TERM), id="code ended, process hung for too long"),
    ],
)
def test_decide(facts: Facts, now: float, expected: Decision) -> None:
    assert decide(facts, now) == expected
