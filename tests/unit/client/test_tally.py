"""How many log lines and results a run has, by what a watch of it has given."""

import pytest
from athanor.client import AttemptStarted, CodeVersion, Event, LogEntry, LogLevel, RunRecord, RunState
from athanor.client._tally import Tally

from tests.support.found import AT, result, run


def standing(last_sequence: int, logs: int = 0, results: int = 0) -> RunRecord:
    return run("r", state=RunState.RUNNING, last_sequence=last_sequence, log_count=logs, result_count=results)


def log(sequence: int) -> LogEntry:
    return LogEntry(sequence, 1, AT, LogLevel.INFO, "a line")


def started(sequence: int, attempt: int, restored_sequence: int = 0) -> AttemptStarted:
    return AttemptStarted(sequence, attempt, AT, "runner", CodeVersion(), restored_sequence=restored_sequence)


def told(*items: RunRecord | Event) -> tuple[int, int] | None:
    tally = Tally()
    for item in items:
        if isinstance(item, Event):
            tally.event(item)
        else:
            tally.run(item)
    return tally.counts


@pytest.mark.parametrize(
    ("items", "counts"),
    [
        ([], None),
        ([standing(0)], (0, 0)),
        ([standing(9, 5, 2)], (5, 2)),
        ([standing(1), started(2, 1), log(3), result("k", 1, 4), log(5)], (2, 1)),
        # What the run has told already is not counted again: a watch may begin far before.
        ([standing(9, 5, 2), log(8), result("k", 1, 9), log(10)], (6, 2)),
        # The run is read beside its log, and may be older than what has been given of it.
        ([standing(1), log(2), log(3), standing(2, 1)], (2, 0)),
        ([standing(1), log(2), standing(9, 5, 2), log(3)], (5, 2)),
    ],
)
def test_what_the_log_has_behind_the_run_is_counted(
    items: list[RunRecord | Event], counts: tuple[int, int] | None
) -> None:
    assert told(*items) == counts


@pytest.mark.parametrize(
    ("items", "counts"),
    [
        ([standing(9, 5, 2), started(10, 2)], (5, 0)),  # from the beginning: nothing recorded before stands
        ([standing(9, 5, 2), started(10, 2), result("k", 1, 11)], (5, 1)),
        ([standing(9, 5, 0), started(10, 2, 7), log(11)], (6, 0)),
        ([standing(9, 5, 2), started(10, 2, 7), log(11)], None),  # which of the two were recorded behind 7?
        ([standing(9, 5, 2), started(10, 2, 7), log(11), standing(10, 5, 1)], None),
        ([standing(9, 5, 2), started(10, 2, 7), log(11), standing(11, 6, 1), log(12)], (7, 1)),
    ],
)
def test_a_new_attempt_supersedes_results(items: list[RunRecord | Event], counts: tuple[int, int] | None) -> None:
    assert told(*items) == counts


def test_where_a_filter_leaves_events_out_they_are_not_known_until_the_run_is_given_again() -> None:
    assert told(standing(3, 2), log(4)) == (3, 0)
    assert told(standing(3, 2), log(4), log(6)) is None
    assert told(standing(3, 2), log(4), log(6), log(7)) is None
    assert told(standing(3, 2), log(4), log(6), standing(8, 5, 1)) == (5, 1)
