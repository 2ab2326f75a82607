"""Several runs that are followed at once."""

from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from typing import Any, cast

import pytest
import typer
from athanor import client
from athanor.cli import exits, launch, many, output
from athanor.client import RunRecord, RunState
from rich.console import Console

AT = (1, datetime(2026, 1, 1, tzinfo=UTC))  # of the first attempt
PENDING, RUNNING = RunState.PENDING, RunState.RUNNING
COMPLETED, FAILED, CANCELLED = RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED


def runs(*states: RunState) -> list[RunRecord]:
    return [RunRecord(f"r{number}", "i", "hello", state) for number, state in enumerate(states)]


@pytest.mark.parametrize(
    ("states", "status"),
    [
        ([COMPLETED, COMPLETED], exits.OK),
        ([COMPLETED, CANCELLED], exits.CANCELLED),
        ([CANCELLED, FAILED, COMPLETED], exits.FAILED),
    ],
)
def test_the_worst_is_the_exit_status(states, status):
    assert many.exit_status(runs(*states)) == status


def test_the_summary_counts_the_outcomes():
    text = many.summary(runs(COMPLETED, FAILED, COMPLETED, CANCELLED))
    assert text.splitlines()[0] == "4 runs: 1 FAILED, 1 CANCELLED, 2 COMPLETED"
    assert "athanor runs list --instance i" in text
    assert "athanor compare i" in text
    assert text.splitlines()[-1].split() == ["log", "of", "#2", "athanor", "logs", "r1"]
    assert "athanor logs" not in many.summary(runs(COMPLETED, CANCELLED))


def test_where_there_is_no_room_for_all_those_that_go_on_are_shown_in_their_order():
    some = runs(COMPLETED, PENDING, RUNNING, FAILED, RUNNING, PENDING)
    assert many.first_of(some, 6) == [0, 1, 2, 3, 4, 5]
    assert many.first_of(some, 3) == [1, 2, 4]
    assert many.first_of(some, 1) == [2]


def test_each_run_has_a_seed_of_its_own():
    start = launch.Start(7, {}, {}, 3, False, False)
    assert [start.seed_of(index) for index in range(3)] == [7, 8, 9]
    assert launch.Start(2**64 - 2, {}, {}, 2, False, False).seed_of(1) == 2**64 - 1
    assert launch.Start(None, {}, {}, 2, False, False).seed_of(1) is None


def test_a_last_seed_that_there_is_not_is_refused():
    with pytest.raises(typer.BadParameter, match=r"of 3 runs would go up to 18446744073709551617, and the last there"):
        launch.Start(2**64 - 1, {}, {}, 3, False, False)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Console:
    console = Console(file=StringIO(), force_terminal=True, width=80, height=9, color_system=None, markup=False)
    monkeypatch.setattr(output, "console", lambda: console)
    return console


def drawn(screen: Console, board: many.Board) -> str:
    """What the board draws now."""
    file = cast(Any, screen.file)
    file.truncate(file.seek(0))
    board.refresh()
    return file.getvalue()


def test_results_that_a_later_attempt_supersedes_are_not_counted(screen: Console):
    running = RunRecord("r0", "i", "hello", RUNNING, start_time=datetime.now(UTC), last_sequence=1)
    board = many.Board([running])
    view = board.view(0)

    def begin(sequence: int, attempt: int, restored_sequence: int = 0) -> client.AttemptStarted:
        version = client.CodeVersion()
        return client.AttemptStarted(sequence, attempt, AT[1], "", version, restored_sequence=restored_sequence)

    for attempt in (1, 2, 3):
        view.show(begin(2 * attempt, attempt))
        view.show(client.Result(2 * attempt + 1, attempt, AT[1], "score", "0.5"))
    assert "1 result " in drawn(screen, board)
    view.show(begin(8, 4, restored_sequence=6))
    assert "result" not in drawn(screen, board), "which of them stand is not known"
    view.show(client.RunUpdated(replace(running, last_sequence=8, result_count=2)))
    assert "2 results " in drawn(screen, board)
    board.close()


def test_a_line_for_each_run_below_what_is_to_be_read(screen: Console):
    board = many.Board(runs(*[PENDING] * 8))
    view = board.view(1)
    view.show(client.RunUpdated(RunRecord("r1", "i", "hello", RUNNING, start_time=datetime.now(UTC))))
    view.show(client.LogEntry(1, *AT, client.LogLevel.INFO, "not shown"))
    view.show(client.LogEntry(2, *AT, client.LogLevel.WARN, "odd \x1b[31m"))
    view.show(client.Result(3, *AT, "score", "0.5"))
    view.show(client.ProgressUpdated(client.Progress(3, 9, "fit")))
    text = drawn(screen, board)
    board.close()
    assert "#2 " in text
    assert "warn  odd \\x1b[31m" in text
    assert "not shown" not in text
    assert "1 result  3/9 fit" in text
    assert "and 3 more, 1 RUNNING, 7 PENDING in all" in text
