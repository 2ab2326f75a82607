"""What `athanor top` knows of runs and runners, and why a run waits."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from athanor.cli import pending, picture
from athanor.client import (
    Begun,
    Failure,
    FailureKind,
    Progress,
    RunChanged,
    RunDeleted,
    RunnerRecord,
    RunRecord,
    RunState,
    Synced,
)

AT = datetime(2026, 1, 1, tzinfo=UTC)
RUNNER = RunnerRecord("w", "box", connected=True, slots=2, experiments=("hello",))


def run(id: str, state: RunState = RunState.RUNNING, *, minutes: int = 0, **fields) -> RunRecord:
    return RunRecord(id, "i", "hello", state, create_time=AT + timedelta(minutes=minutes), **fields)


@pytest.mark.parametrize(
    ("changes", "runners", "reason"),
    [
        ({}, [RUNNER], ""),
        ({}, [], "no connected runner has 'hello'"),
        ({}, [replace(RUNNER, connected=False)], "no connected runner has 'hello'"),
        ({}, [replace(RUNNER, experiments=("other",))], "no connected runner has 'hello'"),
        ({}, [replace(RUNNER, draining=True)], "every runner that has it is draining"),
        ({}, [replace(RUNNER, run_ids=("a", "b"))], "waits for a free slot"),
        ({}, [replace(RUNNER, run_ids=("a", "b")), replace(RUNNER, id="x", draining=True)], "waits for a free slot"),
        ({}, [replace(RUNNER, run_ids=("a", "b")), replace(RUNNER, id="x")], ""),
        ({"next_attempt_time": AT}, [replace(RUNNER, run_ids=("a", "b"))], "waits for a free slot"),
    ],
)
def test_why_a_run_waits(changes, runners, reason):
    assert pending.why(run("r", RunState.PENDING, **changes), runners, AT) == reason


def test_a_run_between_attempts_says_when_it_goes_on():
    waiting = run("r", RunState.PENDING, next_attempt_time=AT + timedelta(seconds=1))
    assert pending.why(waiting, [RUNNER], AT).startswith("waits for its next attempt, from ")


def test_what_runs_comes_first_then_what_waits_then_what_has_just_ended():
    now = picture.Picture()
    items = [
        run("ended first", RunState.COMPLETED, end_time=AT),
        run("ended last", RunState.FAILED, end_time=AT + timedelta(1)),
        run("waits", RunState.PENDING),
        run("younger", minutes=2),
        run("older", minutes=1),
    ]
    for item in items:
        now.take(RunChanged(item), 0)
    assert [item.id for item in now.sorted_runs()] == ["older", "younger", "waits", "ended last", "ended first"]


def test_the_rate_is_what_came_between_two_looks():
    now = picture.Picture()
    now.measure([run("r", last_sequence=100)], [], 10)
    assert now.run_rows({})[0][4] == ""
    now.measure([run("r", last_sequence=350)], [], 12)
    assert now.run_rows({})[0][4] == "125"


@pytest.mark.parametrize(("value", "text"), [(None, ""), (0.0, "0"), (0.25, "0.2"), (9.5, "9.5"), (12345.6, "12346")])
def test_a_rate_in_words(value, text):
    assert picture.rate(value) == text


def test_what_has_ended_stays_for_a_minute():
    now = picture.Picture()
    now.take(RunChanged(run("r", RunState.COMPLETED)), 100)
    now.measure([], [], 159)
    assert list(now.runs) == ["r"]
    now.measure([], [], 161)
    assert not now.runs


def test_a_listing_that_is_older_than_the_watch_does_not_bring_a_run_back_to_life():
    now = picture.Picture()
    now.take(RunChanged(run("r", RunState.COMPLETED)), 1)
    now.measure([run("r")], [], 2)
    assert now.runs["r"].state is RunState.COMPLETED


def test_progress_stays_when_the_watch_tells_of_a_change_without_it():
    now = picture.Picture()
    now.measure([run("r", progress=Progress(3, 9, "fit"))], [RUNNER], 1)
    now.take(RunChanged(run("r", cancel_request_time=AT)), 2)
    row = now.run_rows({"r": "short"})[0]
    assert (row[0], row[2], row[-1]) == ("short", "RUNNING (cancelling)", "3/9 fit")


def test_after_an_interruption_what_is_gone_is_dropped():
    now = picture.Picture()
    for id in ("a", "b", "c"):
        now.take(RunChanged(run(id)), 0)
    for item in (RunDeleted("c"), Begun(), RunChanged(run("a")), Synced()):
        now.take(item, 1)
    assert list(now.runs) == ["a"]


def test_a_failure_and_the_runner_are_shown():
    now = picture.Picture()
    failed = run("f", RunState.FAILED, failure=Failure(FailureKind.EXCEPTION, "ValueError: boom"))
    now.measure([run("r"), failed], [replace(RUNNER, run_ids=("r",)), replace(RUNNER, id="x", connected=False)], 1)
    assert now.run_rows({})[0][6] == "box"
    assert now.run_rows({})[1][-1] == "EXCEPTION: ValueError: boom"
    assert now.headline() == "1 running, 0 pending; 1 runner connected, 1 of 2 slots used"
    assert [row[2] for row in now.runner_rows({})] == ["connected", "away"]
