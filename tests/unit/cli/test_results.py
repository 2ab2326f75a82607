"""Results as tables."""

import re
from datetime import UTC, datetime

import pytest
from athanor.cli import output, results
from athanor.client import Result
from rich.console import Console

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


def test_where_a_table_has_no_room_no_number_is_cut_or_wrapped(capsys, monkeypatch):
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    monkeypatch.setattr(output, "console", lambda: Console(width=40, color_system=None, markup=False))
    one = '{"accuracy": 0.9866, "n": 12345678901234567890, "the_loss_of_validation": 9876543210987654321}'
    results.show([Result(*AT, "fit/0", one), Result(*AT, "fit/1", one), Result(*AT, "mean", "0.5")])
    fields = "  accuracy  0.9866\n  n         12345678901234567890\n  the_loss_of_validation\n    9876543210987654321\n"
    assert re.sub(r" +\n", "\n", capsys.readouterr().out) == (
        f"fit/0\n{fields}fit/1\n{fields}\nRESULT  VALUE\nmean    0.5\n"
    )
    results.show([Result(*AT, "a_long_name_of_a_result", "12345678901234567890")])
    assert capsys.readouterr().out == "a_long_name_of_a_result\n  VALUE  12345678901234567890\n"
    results.show([Result(*AT, "text", '"a text that is wrapped, as ever, where it is too long"')])
    assert capsys.readouterr().out.startswith("RESULT  VALUE")


def test_what_does_not_count_any_more_is_marked(capsys):
    old, new = (Result(*AT, "a", '{"x": 1}', superseded=one) for one in (True, False))
    results.show([old, new, Result(*AT, "b", "1", superseded=True)])
    assert capsys.readouterr().out == (
        "RESULT          x\na (superseded)  1\na               1\n\nRESULT          VALUE\nb (superseded)  1\n"
    )


def test_with_its_key_a_value_is_whole(capsys):
    items = [Result(*AT, "s", '{"rate": 0.123456789, "pairs": {"a": [[1, 2], [3]]}}'), Result(*AT, "s", '"one\\ntwo"')]
    results.draw(results.Found(items), whole=True)
    said = capsys.readouterr()
    assert said.out == (
        's  {\n     "rate": 0.123456789,\n     "pairs": {\n       "a": [\n         [1, 2],\n         [3]\n       ]\n'
        "     }\n   }\ns  one\n   two\n"
    )
    assert said.err == ""


@pytest.mark.parametrize("value", ['{"mean": 1, "each": {"a": 1}}', '{"each": {"a": 1}}', "[1, 2, 3, 4, 5]"])
def test_what_is_left_out_is_said_with_what_shows_it(value, capsys):
    results.draw(results.Found([Result(*AT, "plain", "1"), Result(*AT, "summary", value)]), whole=False)
    assert capsys.readouterr().err == "\nWhat is nested is left out: --key summary shows all of that.\n"


@pytest.mark.parametrize("value", ['{"mean": 1, "pair": [1, 2]}', "1", '"text"', "null", "[]", "{}"])
def test_where_nothing_is_left_out_nothing_is_said(value, capsys):
    results.draw(results.Found([Result(*AT, "summary", value)]), whole=False)
    assert capsys.readouterr().err == ""


def test_of_many_the_first_and_the_last_are_shown(capsys):
    items = [Result(*AT, f"fit/{number}", str(number)) for number in range(99)] + [Result(*AT, "summary", "0.5")]
    results.draw(results.ends(items), whole=False)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line] == [
        *("RESULT", *(f"fit/{number}" for number in range(20)), "…"),
        *("RESULT", *(f"fit/{number}" for number in range(80, 99)), "summary"),
    ]
    assert "… 60 results between: --all shows them" in lines
    assert results.ends(items[:40]) == results.Found(items[:40])


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
