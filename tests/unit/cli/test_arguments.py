"""What people write on the command line, read."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import typer
from athanor.cli import arguments
from athanor.client import paths
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.jsonvalues import names


@pytest.mark.parametrize(
    ("assignments", "expected"),
    [
        (["n=3"], {"n": 3}),
        (["name=Ada"], {"name": "Ada"}),
        (['name="3"'], {"name": "3"}),
        (["n=12345678901234567890123"], {"n": 12345678901234567890123}),
        pytest.param([f"n=1{'0' * 5000}"], {"n": 10**5000}, id="many digits"),
        (["a=true", "b=null", "c=0.5"], {"a": True, "b": None, "c": 0.5}),
        (["l=[1, 2]"], {"l": [1, 2]}),
        (["a.b.c=3", "a.b.d=x"], {"a": {"b": {"c": 3, "d": "x"}}}),
        (["pairs=[{}]", "pairs.0.name=x", "pairs.1=2"], {"pairs": [{"name": "x"}, 2]}),
        (["pairs=[1]", "pairs.0=2"], {"pairs": [2]}),
        ([r"a\.b=1"], {"a.b": 1}),
        (['models."gpt-4.1"=0.9'], {"models": {"gpt-4.1": 0.9}}),
        (['"a.b".c="x"'], {"a.b": {"c": "x"}}),
        ([r'"say \"hi\"=\n"=1'], {'say "hi"=\n': 1}),
        (['""."7"=1'], {"": {"7": 1}}),
        (["l=[{}]", 'l.0."x.y"=1'], {"l": [{"x.y": 1}]}),
        (['quote=say "hi"'], {"quote": 'say "hi"'}),
        (["url=http://x/?a=b"], {"url": "http://x/?a=b"}),
        (["n=1", "n=2"], {"n": 2}),
        (["a={broken"], {"a": "{broken"}),
        (["x=NaN"], {"x": "NaN"}),
        (["empty="], {"empty": ""}),
    ],
)
def test_assignments_make_a_configuration(assignments, expected):
    assert arguments.configuration(None, assignments) == expected


@pytest.mark.parametrize(
    ("assignments", "text"),
    [
        (["n"], "write KEY=VALUE, not 'n'"),
        (["=1"], "write KEY=VALUE"),
        (['"a"'], "write KEY=VALUE"),
        (['"a"b=1'], "a quote is inside a name"),
        (['models."gpt-4.1=0.9'], """the quote in 'models."gpt-4.1=0.9' is not closed"""),
        (['models.gpt-4.1"=0.9'], "a quote is inside a name: put the whole name in quotes"),
        ([r'"\q"=1'], "is no JSON string"),
        (["l=[1]", f"l.{'9' * 5000}=2"], "is no place in a list of 1"),
        (["a=1", "a.b=2"], "a.b: a is 1, it has no members"),
        (["l=[1]", "l.x=2"], "'x' is no place in a list of 1"),
        pytest.param(["l=[1]", f"l.1{'0' * 5000}=2"], "is no place in a list of 1", id="many digits"),
        pytest.param([f"a=1{'0' * 5000}", "a.b=2"], "a.b: a is 1000", id="many digits of what has no members"),
        (["l=[1]", "l.2=2"], "'2' is no place in a list of 1"),
    ],
)
def test_what_cannot_be_assigned_is_said(assignments, text):
    with pytest.raises(typer.BadParameter) as caught:
        arguments.configuration(None, assignments)
    assert text in str(caught.value)
    assert caught.value.param_hint == "--set"


@given(st.lists(names, min_size=1, max_size=4), names)
@example(["data", "k=v"], "5")
@example(["data", "w\\", "z"], "1")
@example(["a\\.b", "\\"], "x=y")
def test_a_path_that_is_printed_can_be_set(path, text):
    """What `instances diff` and `compare` write as a path, whatever is in the names."""
    assert arguments.setting(f"{paths.dotted(tuple(path))}={text}") == (tuple(path), text)


def test_assignments_come_on_top_of_a_file(tmp_path):
    file = tmp_path / "c.json"
    file.write_text(json.dumps({"a": {"b": 1, "c": 2}}))
    assert arguments.configuration(file, ["a.b=3"]) == {"a": {"b": 3, "c": 2}}


@pytest.mark.parametrize(
    ("content", "text"),
    [("{", "is not JSON"), ("[1]", "is not a JSON object"), ('{"a": NaN}', "is not JSON"), (None, "No such file")],
)
def test_a_file_that_is_no_configuration_is_said(tmp_path, content, text):
    file = tmp_path / "c.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(typer.BadParameter) as caught:
        arguments.configuration(file, [])
    assert text in str(caught.value)
    assert str(file) in str(caught.value)


def test_labels():
    assert arguments.labels(["paper=figure-3", "x=a=b", "empty="]) == {"paper": "figure-3", "x": "a=b", "empty": ""}
    with pytest.raises(typer.BadParameter, match="write KEY=VALUE"):
        arguments.labels(["paper"])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("1.5", 1.5),
        ("90s", 90),
        ("5m", 300),
        ("1h30m", 5400),
        ("250ms", 0.25),
        ("1.5h", 5400),
        ("2d", 172800),
    ],
)
def test_durations(text, seconds):
    assert arguments.duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "x", "5 m", "-5s", "5y", "m5"])
def test_other_texts_are_no_durations(text):
    with pytest.raises(typer.BadParameter, match="write a duration"):
        arguments.duration(text)


def test_no_duration():
    assert arguments.duration(None) is None


NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("1h30m", NOW - timedelta(minutes=90)),
        ("2026-01-31T11:00:00Z", NOW - timedelta(hours=1)),
        ("2026-01-31T11:00:00+01:00", NOW - timedelta(hours=2)),
    ],
)
def test_a_moment(text, moment):
    assert arguments.moment(text, NOW) == moment


def test_a_moment_without_a_time_zone_is_of_this_machine():
    assert arguments.moment("2026-01-31 11:00", NOW) == datetime(2026, 1, 31, 11).astimezone()


@pytest.fixture
def berlin(monkeypatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("today", datetime(2026, 3, 29, 22, tzinfo=UTC)),
        ("Yesterday", datetime(2026, 3, 28, 23, tzinfo=UTC)),  # of 23 hours: summer time begins
        ("2026-03-29", datetime(2026, 3, 28, 23, tzinfo=UTC)),
        ("2026-03-28", datetime(2026, 3, 27, 23, tzinfo=UTC)),
        ("2026-03-28T12:00Z", datetime(2026, 3, 28, 12, tzinfo=UTC)),
    ],
)
def test_a_day_is_its_beginning_where_the_terminal_is(berlin, text, moment):
    assert arguments.moment(text, datetime(2026, 3, 29, 22, 30, tzinfo=UTC)) == moment


def test_a_period_ends_after_it_begins():
    assert arguments.period("2h", "1h", NOW) == (NOW - timedelta(hours=2), NOW - timedelta(hours=1))
    assert arguments.period(None, None, NOW) == (None, None)
    with pytest.raises(typer.BadParameter, match="--since 1h is not before --until 2h"):
        arguments.period("1h", "2h", NOW)


@pytest.mark.parametrize("text", ["", "tomorrow", "10 m", "2026-13-01", "99999999d"])
def test_what_is_no_moment_is_said(text):
    with pytest.raises(
        typer.BadParameter,
        match="write how long ago, like 90s or 1h30m, `today`, `yesterday`, or a time like 2026-01-31T12:00",
    ):
        arguments.moment(text, NOW)


@pytest.mark.parametrize("text", ["20260131", "2026", "90", "1.5"])
@pytest.mark.parametrize("option", ["--since", "--until"])
def test_digits_without_a_unit_are_no_moment(text, option):
    """Who writes 2026 means a year, and not what was 34 minutes ago."""
    with pytest.raises(typer.BadParameter) as caught:
        arguments.period(**{"since": None, "until": None, option[2:]: text}, now=NOW)
    assert str(caught.value) == f"{text}: write a day like 2026-01-31, or how long ago with its unit: 30s, 2h, 3d"
    assert caught.value.param_hint == option


def test_a_duration_that_is_too_long_is_said():
    with pytest.raises(typer.BadParameter, match="99999999999999h is too long"):
        arguments.duration("99999999999999h")


@pytest.mark.parametrize(
    ("text", "number"), [("1e999", "1e999"), ('[{"a": -2.5E+400}]', "-2.5E+400"), (f"{'9' * 400}.5", "9" * 40 + "…")]
)
def test_a_number_that_no_float_holds_is_refused(text, number):
    with pytest.raises(typer.BadParameter, match="is beyond what a float holds") as caught:
        arguments.configuration(None, [f"points={text}"])
    assert str(caught.value).startswith(f"{number} is ")
    assert caught.value.param_hint == "--set"


def test_a_key_that_an_object_of_set_has_twice_is_refused():
    with pytest.raises(typer.BadParameter, match="the key 'a' is there twice"):
        arguments.configuration(None, ['models=[{"a": 1, "a": 2}]'])
