"""Writing for people and for programs."""

import json
from io import StringIO

import pytest
import typer
from athanor.cli import output


def test_control_characters_cannot_drive_a_terminal():
    assert output.visible("a\x1b[31mb\x07\x9b\nc\td") == "a\\x1b[31mb\\x07\\x9b\nc\td"
    assert output.visible("exe\u202egpj\u2066x\u061c") == "exe\\u202egpj\\u2066x\\u061c"
    assert output.visible("a\u200db\x07") == "a\u200db\\x07", "what joins letters is text"


def test_a_table_in_a_pipe_is_plain_and_whole(capsys):
    long = "x" * 300
    output.table(("ID", "NAME"), [("1", long), ("22", "two\nlines")])
    assert capsys.readouterr().out == f"ID  NAME\n1   {long}\n22  two lines\n"


def test_columns_of_wide_characters_stand_in_line_in_a_pipe(capsys):
    output.table(("NAME", "N"), [("研究", "1"), ("abc", "2")])
    assert capsys.readouterr().out == "NAME  N\n研究  1\nabc   2\n"


def test_ids_and_states_are_whole_on_a_narrow_terminal(monkeypatch, capsys):
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    row = ("0198c5a1-3f2b", "substrate_shift", "CANCELLED (log not complete)", "2026-01-01 12:00", "17/20 and so on")
    output.table(("ID", "EXPERIMENT", "STATE", "CREATED", "PROGRESS"), [row], cut=True)
    shown = capsys.readouterr().out.splitlines()[1]
    assert len(shown) <= 40
    assert shown.startswith("0198c5a1-3f2b ")
    assert "CANCELLED" in shown


@pytest.mark.parametrize(
    ("columns", "progress", "heading"),
    [
        (80, "", "ID EXPERIMENT INSTANCE STATE CREATED TOOK RESULTS"),
        (80, "FAILED: it came to nothing", "ID EXPERIMENT STATE CREATED TOOK RESULTS PROGRESS"),
        (100, "", "ID EXPERIMENT INSTANCE STATE CREATED TOOK RESULTS PROGRESS"),
        (64, "", "ID EXPERIMENT STATE CREATED TOOK RESULTS"),
    ],
)
def test_what_is_empty_takes_no_room_from_a_name(monkeypatch, capsys, columns, progress, heading):
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    rows = [
        ("0198c5a1-3f2b", "descend", name, "COMPLETED", "12:00:00", "0.1s", "3", progress)
        for name in ("plain", "momentum")
    ]
    heads = ("ID", "EXPERIMENT", "INSTANCE", "STATE", "CREATED", "TOOK", "RESULTS", "PROGRESS")
    output.table(heads, rows, cut=True, first="INSTANCE")
    first, *shown = capsys.readouterr().out.splitlines()
    assert first.split() == heading.split()
    if "INSTANCE" in heading:
        assert [line.split()[2] for line in shown] == ["plain", "momentum"]


def test_a_listing_says_that_it_was_cut_where_nobody_asked_for_it(capsys):
    for shown, limit in ((50, 50), (3, 2), (51, 50)):
        output.more(shown, limit, "run")
    said = capsys.readouterr()
    assert said.err == "athanor: there are more runs than these 50; --limit N shows N of them\n"
    assert said.out == ""


def test_named_values_leave_out_what_is_empty(capsys):
    output.fields([("id", "1"), ("nothing", ""), ("longer", "a\nb")])
    assert capsys.readouterr().out == "id      1\nlonger  a\n        b\n"


def test_json_is_made_readable_without_touching_its_numbers():
    text = '{"a":1.10,"b":[12345678901234567890,1e400],"c":"1.10","d":-0}'
    pretty = output.pretty(text)
    assert "\n" in pretty
    assert '"a": 1.10' in pretty
    assert "1e400" in pretty
    assert '"c": "1.10"' in pretty
    assert '"d": -0' in pretty
    assert json.loads(pretty) == json.loads(text)
    assert output.pretty("") == ""


def test_a_list_of_plain_values_takes_no_line_for_each():
    text = (
        '{"few": [1, 2.50], "many": [' + ", ".join(map(str, range(30))) + '], "rows": [[1, 2], [3]], "t": ["[x]", "y"]}'
    )
    assert output.pretty(text).splitlines() == [
        "{",
        '  "few": [1, 2.50],',
        '  "many": [',
        "    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,",
        "    17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29",
        "  ],",
        '  "rows": [',
        "    [1, 2],",
        "    [3]",
        "  ],",
        '  "t": [',
        '    "[x]",',
        '    "y"',
        "  ]",
        "}",
    ]
    long = f'{{"text": "{"[" * 1_000_000}"}}'
    assert json.loads(output.pretty(long)) == json.loads(long), "and a long text takes no time"


def test_a_script_has_to_say_that_it_is_sure(monkeypatch):
    monkeypatch.setattr("sys.stdin", StringIO())
    assert output.confirmed("Delete it?", yes=True)
    with pytest.raises(typer.BadParameter, match="nobody can be asked 'Delete it\\?': add --yes"):
        output.confirmed("Delete it?", yes=False)


def test_what_is_said_cannot_drive_a_terminal_and_is_as_it_is_elsewhere(monkeypatch):
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    for stream, shown in ((Terminal(), "a\\x1b]0;b\\x07\\u202ec\n"), (StringIO(), "a\x1b]0;b\x07\u202ec\n")):
        monkeypatch.setattr("sys.stderr", stream)
        output.note("a\x1b]0;b\x07\u202ec")
        assert stream.getvalue() == shown
