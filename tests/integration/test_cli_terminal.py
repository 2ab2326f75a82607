"""The `athanor` command at a terminal: what is drawn, and what Ctrl-C does."""

import re
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from athanor.cli import words
from athanor.v1 import instance_pb2, run_pb2, run_service_pb2

from tests.support.fake_orchestrator import Refusal
from tests.support.fake_thread import FakeThread
from tests.support.terminal import Terminal


@pytest.fixture
def server() -> Iterator[FakeThread]:
    with FakeThread() as server:
        server.do(server.fake.add_experiment, "hello")
        yield server


@pytest.fixture
def terminal(server: FakeThread) -> Iterator[object]:
    opened: list[Terminal] = []

    def open_terminal(*arguments: str, **options: Any) -> Terminal:
        opened.append(Terminal(server.target, *arguments, **options))
        return opened[-1]

    yield open_terminal
    for one in opened:
        one.close()


def started(server: FakeThread):
    deadline = time.monotonic() + 20
    while not server.fake.called("WatchRun"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return next(iter(server.fake.runs.values()))


def test_a_run_is_followed_live(server, terminal):
    shown = terminal("run", "hello")
    run = started(server)
    server.do(server.fake.begin, run)
    server.do(server.fake.log, run, "fitting \x1b[31m[bold]")
    run.progress = run_pb2.Progress(current=73, total=100, message="almost")
    server.do(server.fake.touch, run)
    shown.wait_for("73/100")
    shown.wait_for("almost")
    server.do(server.fake.result, run, "score", "0.50")
    server.do(server.fake.end, run)
    assert shown.wait() == 0
    assert "fitting \\x1b[31m[bold]" in shown.screen
    assert "score = 0.50" in shown.screen
    assert "COMPLETED" in shown.screen
    assert "\x1b[?25h" in shown.screen, "the cursor is back"


def test_ctrl_c_at_the_terminal_detaches(server, terminal):
    shown = terminal("run", "hello")
    run = started(server)
    server.do(server.fake.begin, run)
    shown.wait_for("RUNNING")
    shown.type("\x03")
    assert shown.wait() == 130
    assert f"athanor runs cancel {run.run.id}" in shown.screen
    assert "Traceback" not in shown.screen
    assert "\x1b[?25h" in shown.screen, "the cursor is back"
    assert server.fake.called("CancelRun") == []


def test_no_color_is_respected(server, terminal):
    def make() -> str:
        run = server.fake.add_run()
        server.fake.log(run, "red", 40)
        server.fake.end(run)
        return run.run.id

    id = server.do(make)
    coloured = terminal("logs", id)
    assert coloured.wait() == 0
    assert "\x1b[31m" in coloured.screen
    plain = terminal("logs", id, NO_COLOR="1")
    assert plain.wait() == 0
    assert "red" in plain.screen
    assert "\x1b[31m" not in plain.screen


def test_results_are_tables(server, terminal):
    def make() -> str:
        run = server.fake.add_run()
        for n in range(3):
            server.fake.result(run, f"fit/{n}", f'{{"accuracy": 0.9{n}, "matrix": [1, 2, 3, 4, 5], "model": "svm"}}')
        server.fake.result(run, "mean", "0.91")
        server.fake.end(run)
        return run.run.id

    shown = terminal("results", server.do(make), NO_COLOR="1")
    assert shown.wait() == 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.screen)
    assert [row.split() for row in text.splitlines()] == [
        ["RESULT", "accuracy", "model"],
        ["fit/0", "0.9", "svm"],
        ["fit/1", "0.91", "svm"],
        ["fit/2", "0.92", "svm"],
        [],
        ["RESULT", "VALUE"],
        ["mean", "0.91"],
        [],
        ["What", "is", "nested", "is", "left", "out:", "--key", "fit/0", "shows", "all", "of", "that."],
    ]


def test_of_very_many_results_a_terminal_shows_the_ends_and_reads_no_others(server, terminal):
    def make() -> str:
        run = server.fake.add_run()
        server.fake.begin(run)
        for n in range(1100):
            server.fake.result(run, f"fit/{n}", str(n))
        server.fake.result(run, "summary", '{"mean": 0.5, "pairs": {"a": {"rate": 0.25}}}')
        server.fake.end(run)
        return run.run.id

    id = server.do(make)
    shown = terminal("results", id, NO_COLOR="1")
    assert shown.wait() == 0
    keys = re.findall(r"^(fit/\d+|summary) ", shown.screen, re.MULTILINE)
    assert keys == [*(f"fit/{n}" for n in range(20)), *(f"fit/{n}" for n in range(1081, 1100)), "summary"]
    assert "… 1061 results between: --all shows them" in shown.screen
    assert "--key summary shows all of that" in shown.screen
    [call] = server.fake.called("ListResults")
    assert call.page_size == 20

    one = terminal("results", id, "--key", "summary", NO_COLOR="1")
    assert one.wait() == 0
    assert '\r\n               "rate": 0.25\r\n' in one.screen
    everything = terminal("results", id, "--all", NO_COLOR="1")
    assert everything.wait() == 0
    assert "fit/555 " in everything.screen


@pytest.mark.parametrize(
    ("columns", "name"),
    [
        (120, "a name that is as long as people make them"),
        (100, "a name that is as lon"),
        (80, "a name"),
        (66, None),
    ],
)
def test_the_name_of_the_instance_is_cut_first(server, terminal, columns, name):
    def make() -> None:
        server.fake.instances["i"] = instance_pb2.Instance(
            id="i", experiment="hello", name="a name that is as long as people make them"
        )
        for _ in range(3):
            run = server.fake.add_run(instance_id="i")
            server.fake.begin(run)
            run.run.progress.current, run.run.progress.total = 7, 10

    server.do(make)
    shown = terminal("runs", "list", columns=columns, NO_COLOR="1")
    assert shown.wait() == 0
    heading, *rows = shown.text.splitlines()
    assert all(len(row) <= columns for row in (heading, *rows))
    assert ("INSTANCE" in heading) is (name is not None)
    assert all(("RUNNING" in row, "7/10" in row, (name or "") in row) == (True, True, True) for row in rows)
    assert [call.id for call in server.fake.called("GetInstance")] == ["i"], "each is asked for once"


def test_a_dumb_terminal_gets_plain_lines(server, terminal):
    shown = terminal("run", "hello", TERM="dumb")
    run = started(server)
    server.do(server.fake.begin, run)
    server.do(server.fake.log, run, "fitting", 40)
    server.do(server.fake.end, run)
    assert shown.wait() == 0
    assert "error fitting" in shown.screen
    assert "\x1b" not in shown.screen


def test_a_line_that_is_longer_than_the_terminal_is_not_broken_and_the_status_fits(server, terminal):
    """Whoever copies it gets one line: the terminal wraps it, not the program."""
    shown = terminal("run", "hello", columns=40)
    run = started(server)
    server.do(server.fake.begin, run)
    server.do(server.fake.log, run, "研究" * 60)
    run.progress = run_pb2.Progress(current=1, total=3, message="モデル " * 30)
    server.do(server.fake.touch, run)
    shown.wait_for("1/3")
    server.do(server.fake.end, run)
    assert shown.wait() == 0
    assert "研究" * 60 in shown.screen
    for drawn in re.findall(r"[^\r\n]*1/3[^\r\n]*", shown.text):
        assert words.width(drawn) <= 40


def test_ten_thousand_lines_are_drawn_in_order_and_none_is_left_out(server, terminal):
    shown = terminal("run", "hello")
    run = started(server)

    def log() -> None:
        server.fake.batch_size = 1000
        server.fake.begin(run)
        for n in range(10_000):
            server.fake.log(run, f"line <{n}>")
        server.fake.end(run)

    server.do(log)
    assert shown.wait() == 0
    assert [int(n) for n in re.findall(r"line <(\d+)>", shown.screen)] == list(range(10_000))


def test_several_runs_have_a_line_each_and_ctrl_c_leaves_them_alone(server, terminal):
    shown = terminal("run", "hello", "--repeat", "3", "--seed", "5")
    deadline = time.monotonic() + 20
    while len(server.do(server.fake.called, "WatchRun")) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    first = next(iter(server.fake.runs.values()))
    server.do(server.fake.begin, first)
    server.do(server.fake.log, first, "said", 20)
    server.do(server.fake.log, first, "warned", 30)
    shown.wait_for(r"#1 +RUNNING")
    shown.wait_for(r"#3 +PENDING")
    shown.wait_for("#1 [0-9:]+ warn  warned")
    assert "said" not in shown.text
    shown.type("\x03")
    assert shown.wait() == 130
    assert "The 3 runs go on." in shown.text
    assert "Traceback" not in shown.text
    assert "\x1b[?25h" in shown.screen, "the cursor is back"
    assert server.fake.called("CancelRun") == []


def test_top_takes_the_screen_and_gives_it_back(server, terminal):
    run = server.do(server.fake.add_run)
    shown = terminal("top", "--interval", "0.2")
    shown.wait_for("0 running, 1 pending; 0 runners connected, 0 of 0 slots used")
    shown.wait_for("no connected runner has 'hello'")
    server.do(server.fake.begin, run)
    server.do(server.fake.send, "WatchRuns", run_service_pb2.WatchRunsResponse(run=run.run))
    shown.wait_for("1 running, 0 pending")
    server.do(server.fake.end, run)
    server.do(server.fake.send, "WatchRuns", run_service_pb2.WatchRunsResponse(run=run.run))
    shown.wait_for("COMPLETED")
    shown.type("\x03")
    assert shown.wait() == 130
    assert shown.screen.index("\x1b[?1049h") < shown.screen.index("\x1b[?1049l")
    assert "Traceback" not in shown.text


def test_top_waits_for_an_orchestrator_that_is_away_and_goes_on(server, terminal):
    run = server.do(server.fake.add_run)
    shown = terminal("top", "--interval", "0.2", columns=150)
    shown.wait_for("0 running, 1 pending")
    # The watch waits for ever only once it has had something: one that never reached anybody gives up after three
    # seconds, which is about when the loss is told. An orchestrator says something at once.
    other = run_pb2.Run(id="told by the watch alone", experiment="hello", state=run_pb2.RUN_STATE_RUNNING)
    server.do(server.fake.send, "WatchRuns", run_service_pb2.WatchRunsResponse(run=other))
    shown.wait_for("1 running, 1 pending")
    server.do(server.fake.kill)
    shown.wait_for("is not available: .*; waiting for it", timeout=40)
    server.do(server.fake.begin, run)
    server.do(server.fake.start)
    shown.wait_for("2 running, 0 pending", timeout=40)
    shown.type("\x03")
    assert shown.wait() == 130


def test_top_ends_with_what_the_orchestrator_says_when_that_is_no(server, terminal):
    shown = terminal("top", "--interval", "0.2")
    shown.wait_for("0 running, 0 pending")
    server.fake.refusals["ListRunners"].append(Refusal(grpc.StatusCode.PERMISSION_DENIED, "not you", "X"))
    assert shown.wait() == 5
    assert "athanor: not you" in shown.text.rsplit("\n", 3)[-2]
    assert "Traceback" not in shown.text


def test_top_without_an_orchestrator_says_so_where_it_can_be_read(terminal):
    shown = terminal("top", ATHANOR_TARGET="127.0.0.1:1")
    assert shown.wait() == 4
    assert "\x1b[?1049h" not in shown.screen
    assert "127.0.0.1:1 is not available" in shown.text


def test_runs_that_are_watched_scroll_above_how_many_there_are(server, terminal):
    shown = terminal("runs", "watch")
    run = run_pb2.Run(id="a", experiment="hello", state=run_pb2.RUN_STATE_RUNNING)
    server.do(server.fake.send, "WatchRuns", run_service_pb2.WatchRunsResponse(run=run))
    shown.wait_for("a  hello  RUNNING")
    shown.wait_for("1 running, 0 pending; Ctrl-C ends this")
    shown.type("\x03")
    assert shown.wait() == 130
    assert "\x1b[?25h" in shown.screen, "the cursor is back"


def test_on_a_narrow_terminal_the_status_keeps_to_one_line(server, terminal):
    shown = terminal("runs", "watch", columns=30)
    shown.wait_for("0 running, 0 pending")
    shown.type("\x03")
    assert shown.wait() == 130
    assert "Ctrl-C" not in shown.text


def test_ctrl_c_ends_the_waiting_for_a_cancellation_and_says_that_it_goes_on(server, terminal):
    run = server.do(server.fake.add_run)
    server.do(server.fake.begin, run)
    shown = terminal("runs", "cancel", run.run.id, "--wait")
    deadline = time.monotonic() + 20
    while not server.fake.called("WatchRun"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    shown.type("\x03")
    assert shown.wait() == 130
    assert f"the cancellation goes on; `athanor runs show {run.run.id}` shows how the run ends" in shown.text


def test_the_last_run_may_be_anothers_and_is_cancelled_when_somebody_has_said_yes(server, terminal):
    run = server.do(server.fake.add_run)
    server.do(server.fake.begin, run)
    for answer, status in (("n\r", 5), ("y\r", 0)):
        shown = terminal("runs", "cancel", "last", columns=200)
        shown.wait_for("[y/N]")
        assert f"cancel run {run.run.id} of {run.run.experiment}, created " in shown.text
        assert server.fake.called("CancelRun") == []
        shown.type(answer)
        assert shown.wait() == status
    assert len(server.fake.called("CancelRun")) == 1


def test_ctrl_c_while_a_log_is_followed_says_that_the_run_goes_on(server, terminal):
    run = server.do(server.fake.add_run)
    server.do(server.fake.begin, run)
    server.do(server.fake.log, run, "working")
    shown = terminal("logs", run.run.id, "-f")
    shown.wait_for("working")
    shown.type("\x03")
    assert shown.wait() == 130
    assert "athanor: interrupted; the run goes on" in shown.text


def test_a_deletion_is_asked_about(server, terminal):
    run = server.do(server.fake.add_run)
    shown = terminal("runs", "delete", run.run.id)
    shown.wait_for("y/N")
    shown.type("n\n")
    assert shown.wait() == 5
    assert server.fake.called("DeleteRun") == []
    sure = terminal("runs", "delete", run.run.id)
    sure.wait_for("y/N")
    sure.type("y\n")
    assert sure.wait() == 0
    assert len(server.fake.called("DeleteRun")) == 1


def test_what_a_run_was_named_or_said_cannot_drive_the_terminal_by_an_error(server, terminal):
    for last in "12":
        id = f"019a0000-0000-7000-8000-00000000000{last}"
        server.do(server.fake.add_run, "hello\x1b[31mevil", id)
    several = terminal("runs", "show", "019a")
    assert several.wait() == 2
    assert "hello\\x1b[31mevil" in several.screen
    failing = terminal("run", "hello")
    deadline = time.monotonic() + 20
    while not server.fake.called("WatchRun"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    run = list(server.fake.runs.values())[-1]
    server.do(server.fake.begin, run)
    failure = run_pb2.Failure(kind=run_pb2.Failure.KIND_EXCEPTION, message="ValueError: \x1b]0;OWNED\x07boom")
    server.do(server.fake.end, run, run_pb2.RUN_STATE_FAILED, failure)
    assert failing.wait() == 1
    assert "\\x1b]0;OWNED\\x07boom" in failing.screen
    assert "\x1b]0;OWNED" not in failing.screen


def test_a_verification_that_takes_its_time_shows_that_it_goes_on(server, terminal):
    run = server.do(server.fake.add_run)
    shown = terminal("runs", "verify", run.run.id)
    shown.wait_for(f"verifying run {run.run.id}")
    server.fake.certificates[run.run.id] = run_service_pb2.VerifyRunResponse(verdict=1, last_sequence=1, event_count=1)
    assert shown.wait() == 0
    assert "complete: 1 event, all that was recorded, unaltered" in shown.screen


def test_a_verification_can_be_given_up(server, terminal):
    run = server.do(server.fake.add_run)
    shown = terminal("runs", "verify", run.run.id)
    shown.wait_for("verifying run")
    shown.type("\x03")
    assert shown.wait() == 130
    assert "Traceback" not in shown.screen
