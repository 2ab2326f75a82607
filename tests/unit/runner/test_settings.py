"""What a runner is told."""

from pathlib import Path

import pytest
from athanor_runner import __main__ as program
from athanor_runner.settings import Timings, default_state_folder, timings_from


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
