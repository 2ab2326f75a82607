"""The key of these tests, and that it is nowhere where it should not be."""

import logging
from collections.abc import Iterator

import pytest

from tests.support.chat import KEY, VARIABLE


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, KEY)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def the_key_is_nowhere(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], environment: None
) -> Iterator[None]:
    """Whatever a test does, at the level of all details: neither logged nor printed."""
    caplog.set_level(logging.DEBUG)
    yield
    printed = capfd.readouterr()
    assert KEY not in printed.out + printed.err
    assert KEY not in caplog.text
