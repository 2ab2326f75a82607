"""What a runner is told."""

from pathlib import Path

import pytest
from athanor.experiment.assignment import WhenFull
from athanor_runner import __main__ as program
from athanor_runner.settings import Launch, Timings, default_state_folder, size_from, timings_from


def test_timings_come_from_the_environment() -> None:
    timings = timings_from({"ATHANOR_RUNNER_KILL_DELAY": "0.5", "ATHANOR_RUNNER_SPOOL_LIMIT_BYTES": "1000"})
    assert timings == Timings(kill_delay=0.5, spool_limit_bytes=1000)
    assert isinstance(timings.spool_limit_bytes, int)
    assert timings_from({}) == Timings()


@pytest.mark.parametrize("text", ["x", "0", "-1", "nan", "inf", "1.5e"])
def test_a_timing_that_is_no_positive_number_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="ATHANOR_RUNNER_KILL_DELAY"):
        timings_from({"ATHANOR_RUNNER_KILL_DELAY": text})


def test_the_default_state_folder_is_the_users_own() -> None:
    assert default_state_folder({"XDG_DATA_HOME": "/data"}) == Path("/data/athanor/runner")
    assert default_state_folder({}) == Path.home() / ".local/share/athanor/runner"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "nowhere"], "--target must be HOST:PORT, not 'nowhere'"),
        (["--target", "host:http"], "--target must be HOST:PORT, not 'host:http'"),
        (["--target", "a:1,b"], "--target must be HOST:PORT, not 'b'"),
        (["--target", "a:1,"], "--target must be HOST:PORT, not ''"),
        (["--slots", "0"], "--slots must be at least 1, not 0"),
        (["--spool-limit", "much"], "--spool-limit: 'much' is no size such as 500MiB or 2GiB"),
        (["--spool-limit", "0"], "--spool-limit: '0' is no size such as 500MiB or 2GiB"),
        (["--stop-grace", "-1"], "--stop-grace must not be negative, not -1"),
        (["--stop-grace", "nan"], "--stop-grace must not be negative, not nan"),
        (["--path", "/no/such/folder"], "--path /no/such/folder is not a folder"),
    ],
)
def test_nonsense_is_refused_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        program._parse(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"athanor-runner: error: {message}"


def test_several_targets_are_separated_by_commas() -> None:
    assert program._parse(["--target", "a:1, [::1]:2,a:1"]).targets == ("a:1", "[::1]:2")
    assert program._parse([]).targets == ("127.0.0.1:7400",)


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("65536B", 65536), ("2K", 2048), ("1.5MiB", 3 << 19), ("2 GiB", 2 << 30), ("1tb", 1 << 40)],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert size_from(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "-1", "1e9", "0.2", "1 XiB", "\u0661"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        size_from(text)


def test_what_a_full_spool_does_is_told_by_flag_then_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    told = program._parse(["--spool-limit", "3MiB"])
    assert (told.timings.spool_limit_bytes, told.when_spool_full) == (3 << 20, WhenFull.WAIT)
    monkeypatch.setenv("ATHANOR_RUNNER_WHEN_SPOOL_FULL", "drop")
    monkeypatch.setenv("ATHANOR_RUNNER_SPOOL_LIMIT_BYTES", "1000")
    told = program._parse([])
    assert (told.timings.spool_limit_bytes, told.when_spool_full) == (1000, WhenFull.DROP)
    assert program._parse(["--when-spool-full", "wait"]).when_spool_full is WhenFull.WAIT


def test_a_variable_that_says_nonsense_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ATHANOR_RUNNER_WHEN_SPOOL_FULL", "explode")
    with pytest.raises(SystemExit):
        program._parse([])
    assert "ATHANOR_RUNNER_WHEN_SPOOL_FULL must be wait or drop, not 'explode'" in capsys.readouterr().err


def test_how_processes_come_to_be_is_told_by_a_flag_then_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATHANOR_RUNNER_LAUNCH", raising=False)
    assert program._parse([]).launch is Launch.FORK
    monkeypatch.setenv("ATHANOR_RUNNER_LAUNCH", "exec")
    assert program._parse([]).launch is Launch.EXEC
    assert program._parse(["--launch", "fork"]).launch is Launch.FORK
    monkeypatch.setenv("ATHANOR_RUNNER_LAUNCH", "spawn")
    with pytest.raises(SystemExit):
        program._parse([])
