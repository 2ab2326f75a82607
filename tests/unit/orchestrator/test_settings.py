"""Flags win over variables, variables over defaults; what cannot be is refused in words."""

from pathlib import Path

import pytest
from athanor_orchestrator.settings import SettingsError, is_loopback, parse, parse_address


def test_without_a_word_it_listens_on_this_machine_and_keeps_its_data_at_home() -> None:
    settings = parse([], {"XDG_DATA_HOME": "/srv/data"})
    assert (settings.host, settings.port) == ("127.0.0.1", 7400)
    assert settings.data == Path("/srv/data/athanor")
    assert settings.storage_url == "sqlite:////srv/data/athanor/athanor.db"
    assert parse([], {"XDG_DATA_HOME": "relative"}).data == Path("~/.local/share/athanor").expanduser()


def test_flags_win_over_variables() -> None:
    environ = {"ATHANOR_LISTEN": "127.0.0.1:1", "ATHANOR_DATA": "/a", "ATHANOR_DATABASE_URL": "postgresql://a"}
    settings = parse([], environ)
    assert (settings.port, settings.data, settings.storage_url) == (1, Path("/a"), "postgresql://a")
    settings = parse(["--listen", "localhost:2", "--data", "/b", "--database-url", "postgresql://b"], environ)
    assert (settings.host, settings.port, settings.data) == ("localhost", 2, Path("/b"))
    assert settings.storage_url == "postgresql://b"


def test_timings_come_from_variables() -> None:
    timings = parse([], {"ATHANOR_HEARTBEAT_INTERVAL": "0.25"}).timings
    assert timings.heartbeat_interval == 0.25
    assert timings.unreachable_after == 15.0


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"ATHANOR_HEARTBEAT_INTERVAL": "soon"}, "ATHANOR_HEARTBEAT_INTERVAL"),
        ({"ATHANOR_POLL": "-1"}, "ATHANOR_POLL"),
        ({"ATHANOR_STOP_GRACE": "nan"}, "ATHANOR_STOP_GRACE"),
        ({"ATHANOR_LOG_LEVEL": "loud"}, "ATHANOR_LOG_LEVEL"),
        ({"ATHANOR_LISTEN": "7400"}, "HOST:PORT"),
    ],
)
def test_a_variable_that_cannot_be_is_named(environ: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        parse([], environ)


@pytest.mark.parametrize("listen", ["0.0.0.0:7400", "[::]:7400", "192.168.1.5:0", "example.org:7400"])
def test_beyond_this_machine_it_listens_only_when_it_is_meant(listen: str) -> None:
    with pytest.raises(SettingsError, match="there is no authentication yet"):
        parse(["--listen", listen], {})
    assert parse(["--listen", listen, "--allow-unauthenticated"], {}).port in (0, 7400)


@pytest.mark.parametrize(("host", "loopback"), [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("::", False)])
def test_loopback_is_what_only_this_machine_reaches(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize("text", ["", "x", ":7400", "host:", "host:x", "host:65536", "host:-1", "::1:7400", "host:٣"])
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="is not HOST:PORT"):
        parse_address(text)


def test_an_ipv6_host_stands_in_brackets() -> None:
    assert parse_address("[::1]:7400") == ("::1", 7400)


def test_help_names_the_variables(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse(["--help"], {})
    assert left.value.code == 0
    shown = capsys.readouterr().out
    for word in ("--listen", "--data", "--database-url", "--allow-unauthenticated", "ATHANOR_DATABASE_URL", "SIGTERM"):
        assert word in shown
