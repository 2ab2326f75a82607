"""Colours for lines, and when there are any."""

import sys
from io import StringIO

import pytest
from athanor import client
from athanor.cli import lines, paint, words


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("terminal", "environment", "wanted"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
        (False, {"FORCE_COLOR": "1"}, True),
        (False, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb", "FORCE_COLOR": "1"}, True),
    ],
)
def test_when_there_are_colours(monkeypatch, terminal, environment, wanted):
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", Terminal() if terminal else StringIO())
    assert paint.wanted() is wanted


def test_a_line_of_a_log_is_coloured_by_its_level_and_cannot_colour_itself():
    from datetime import UTC, datetime

    entry = client.LogEntry(3, 1, datetime(2026, 1, 1, tzinfo=UTC), client.LogLevel.ERROR, "a\x1b[32mb")
    clock = words.clock(entry.time)
    assert lines.log(entry, colours=True) == f"\x1b[2m{clock}\x1b[0m \x1b[31merror a\\x1b[32mb\x1b[0m"
    assert lines.log(entry) == f"{clock} error a\x1b[32mb"
    assert lines.log(entry, stamp=True).startswith("2026-01-01T00:00:00.000000Z error ")


@pytest.mark.parametrize(
    ("text", "columns"),
    [("", 0), ("abc", 3), ("研究", 4), ("e\u0301", 1), ("Grüße", 5), ("\uff41", 2), ("a\u200bb", 2)],
)
def test_how_wide_a_text_is(text, columns):
    assert words.width(text) == columns
