"""Results as tables."""

from datetime import UTC, datetime

import pytest
from athanor.cli import results
from athanor.client import Result

AT = (1, 1, datetime(2026, 1, 1, tzinfo=UTC))


def test_results_with_the_same_members_share_a_table_wherever_they_stand(capsys):
    results.show(
        [
            Result(*AT, "a/1", '{"x": 0.123456, "m": [[1], [2]]}'),
            Result(*AT, "s", '{"mean": 1}'),
            Result(*AT, "a/2", '{"x": 2, "m": [[1], [2]]}'),
            Result(*AT, "plain", '"text"'),
        ]
    )
    assert capsys.readouterr().out == (
        "RESULT  x\na/1     0.1235\na/2     2\n\nRESULT  mean\ns       1\n\nRESULT  VALUE\nplain   text\n"
    )


def test_what_does_not_count_any_more_is_marked(capsys):
    old, new = (Result(*AT, "a", '{"x": 1}', superseded=one) for one in (True, False))
    results.show([old, new, Result(*AT, "b", "1", superseded=True)])
    assert capsys.readouterr().out == (
        "RESULT          x\na (superseded)  1\na               1\n\nRESULT          VALUE\nb (superseded)  1\n"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.866499, "0.8665"),
        (12345678901234567890, "12345678901234567890"),
        (True, "true"),
        (None, "null"),
        ([0.1, 2, "x"], "[0.1, 2, x]"),
        ([1, 2, 3, 4, 5], "[5 items]"),
        ([[1]], "[1 items]"),
        ({"a": 1}, "{1 members}"),
    ],
)
def test_a_value_in_a_cell_is_short(value, text):
    assert results.brief(value) == text
