"""How a run that is followed is shown."""

import json
from datetime import UTC, datetime

import pytest
from athanor import client
from athanor.cli import lines, live, output, views

AT = (3, 1, datetime(2026, 1, 1, tzinfo=UTC))
RUN = client.RunRecord("r", "i", "hello", client.RunState.RUNNING)


def test_lines_in_a_pipe(capsys):
    view = views.PlainView()
    view.show(client.RunUpdated(RUN))
    view.show(client.LogEntry(*AT, client.LogLevel.INFO, "hello", '{"i": 1}', "stdout"))
    view.show(client.Result(*AT, "score", "0.50"))
    view.show(client.StateChanged(*AT, client.RunState.RUNNING, "started"))
    view.show(client.UnknownEvent(*AT))
    view.close()
    shown = [line[9:] for line in capsys.readouterr().out.splitlines()]
    assert shown == ['info  stdout: hello  {"i": 1}', "result score = 0.50", "run   RUNNING: started"]


def test_what_happens_between_attempts_is_said(capsys):
    view = views.PlainView()
    reason = "attempt 1 of 3 failed: ran past its timeout; the next one in 5 s"
    view.show(client.AttemptStarted(3, 1, AT[2], "one", client.CodeVersion()))
    view.show(client.StateChanged(9, 0, AT[2], client.RunState.PENDING, reason))
    view.show(client.AttemptStarted(10, 2, AT[2], "two", client.CodeVersion(), restored_sequence=7))
    view.show(client.AttemptStarted(20, 3, AT[2], "one", client.CodeVersion()))
    assert [line[9:] for line in capsys.readouterr().out.splitlines()] == [
        "run   attempt 1 started on runner one",
        f"run   PENDING: {reason}",
        "run   attempt 2 started on runner two, from the checkpoint at event 7: results behind it no longer count",
        "run   attempt 3 started on runner one, from the beginning: earlier results no longer count",
    ]


def test_progress_in_a_pipe_is_a_line_now_and_then(capsys):
    now = [100.0]
    view = views.PlainView(clock=lambda: now[0])
    for n in range(100):
        now[0] += 0.1
        view.show(client.ProgressUpdated(client.Progress(n, 100)))
    out = capsys.readouterr().out.splitlines()
    assert 1 <= len(out) <= 2
    assert out[0] in ("progress 49/100", "progress 50/100")


def test_json_lines(capsys):
    view = views.JsonView()
    view.show(client.RunUpdated(RUN))
    view.show(client.LogEntry(*AT, client.LogLevel.INFO, "a\nb"))
    view.show(client.ProgressUpdated(client.Progress(1)))
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [list(line) for line in shown] == [["run"], ["event"], ["progress"]]


@pytest.mark.parametrize("view", [views.PlainView(), views.JsonView()])
def test_an_outage_is_said_once_and_not_among_the_data(view, capsys):
    away = client.UnavailableError("h:1", "connection refused", "")
    for failures in range(1, 4):
        view.interrupted(client.Interruption(away, failures, 0.1))
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "h:1" in said.err
    assert "the run goes on" in said.err


def test_the_live_view_draws_log_lines_over_one_line_of_progress(monkeypatch):
    from io import StringIO

    from rich.console import Console

    screen = Console(file=StringIO(), force_terminal=True, width=100, color_system=None, markup=False)
    monkeypatch.setattr(output, "console", lambda: screen)
    view = live.LiveView()
    view.show(client.RunUpdated(RUN))
    for n in range(1000):
        view.show(client.LogEntry(*AT, client.LogLevel.INFO, f"line {n} [bold]\x1b[31m"))
    view.show(client.ProgressUpdated(client.Progress(73, 100, "fitting")))
    view.refresh()
    view.close()
    drawn = screen.file.getvalue()
    assert "line 0 [bold]\\x1b[31m" in drawn
    assert "line 999 " in drawn
    assert "73/100" in drawn
    assert "fitting" in drawn
    assert "RUNNING" in drawn


def test_the_end_of_a_run_in_words():
    failure = client.Failure(client.FailureKind.EXCEPTION, "ValueError: boom", "Traceback ...\nValueError: boom")
    run = client.RunRecord("r", "i", "e", client.RunState.FAILED, failure=failure, result_count=1, log_count=2)
    assert lines.summary(run) == (
        "run r FAILED: 1 result, 2 log lines\nEXCEPTION: ValueError: boom\nTraceback ...\nValueError: boom"
    )
    late = client.RunRecord("r", "i", "e", client.RunState.COMPLETED, cancel_request_time=AT[2])
    assert "came too late" in lines.summary(late)


def test_of_a_long_result_a_line_is_shown_and_all_of_it_with_json(capsys):
    long = client.Result(*AT, "k", "1" * 5000)
    views.PlainView().show(long)
    shown = capsys.readouterr().out[9:]
    assert shown == f"result k = {'1' * 200}… (4800 more characters: see athanor results)\n"
    assert lines.result(client.Result(*AT, "k", "1" * 200)).endswith(f"= {'1' * 200}")
    views.JsonView().show(long)
    assert f'"value": {"1" * 5000}}}' in capsys.readouterr().out
