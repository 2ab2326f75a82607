"""Times, states and failures in words."""

from datetime import UTC, datetime, timedelta

import pytest
from athanor.cli import lines, words
from athanor.client import Attempt, AttemptOutcome, Failure, FailureKind, Progress, RunRecord, RunState

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0s"), (1.23, "1.2s"), (9.96, "10s"), (59.6, "1m 0s"), (190, "3m 10s"), (7500, "2h 5m"), (360000, "4d 4h"),
     (-1, "0.0s")],
)  # fmt: skip
def test_durations(seconds, text):
    assert words.duration(timedelta(seconds=seconds)) == text


def test_what_has_not_happened_is_empty():
    assert words.duration(None) == words.moment(None) == words.ago(None) == words.failure(None) == ""
    assert words.progress(None) == words.elapsed(RunRecord("r", "i", "e", RunState.PENDING)) == ""


def test_ago():
    assert words.ago(NOW - timedelta(minutes=5), NOW) == "5m 0s ago"


def test_flags_are_said_with_the_state_while_the_run_is_live():
    run = RunRecord("r", "i", "e", RunState.RUNNING, cancel_request_time=NOW, unreachable_since=NOW)
    assert words.state(run) == "RUNNING (cancelling, runner silent)"
    assert words.state(RunRecord("r", "i", "e", RunState.PENDING, next_attempt_time=NOW)).startswith(
        "PENDING (next attempt from "
    )
    assert words.state(RunRecord("r", "i", "e", RunState.COMPLETED, cancel_request_time=NOW)) == "COMPLETED"


def test_a_log_that_is_not_complete_is_said_wherever_the_run_is():
    lost = Attempt(1, "x", outcome=AttemptOutcome.FAILED, last_sequence=7)
    whole = Attempt(2, "x", outcome=AttemptOutcome.COMPLETED, last_sequence=12, log_complete=True)
    live = Attempt(3, "x", last_sequence=14)
    assert [words.log_of(one) for one in (lost, whole, live)] == [
        "NOT complete, it reaches to event 7",
        "complete",
        "event 14 so far",
    ]
    run = RunRecord("r", "i", "e", RunState.FAILED, attempts=(lost, whole), log_incomplete=True)
    assert words.state(run) == "FAILED (log not complete)"
    assert words.incomplete(run) == "the log of this run is NOT complete: attempt 1 reaches to event 7"
    assert words.incomplete(RunRecord("r", "i", "e", RunState.FAILED, log_incomplete=True)).endswith("NOT complete")
    assert words.incomplete(RunRecord("r", "i", "e", RunState.FAILED, attempts=(whole,))) == ""
    assert "NOT complete" in lines.summary(run)


def test_progress_and_failures():
    assert words.progress(Progress(3, 10, "fits")) == "3/10 fits"
    assert words.progress(Progress(3)) == "3"
    killed = Failure(FailureKind.PROCESS_EXIT, "killed", exit_status=-9)
    assert words.failure(killed) == "PROCESS_EXIT: killed (exit status -9)"


def test_counts():
    assert words.count(1, "run") == "1 run"
    assert words.count(0, "run") == "0 runs"
