"""Comparisons as tables and as JSON."""

from datetime import UTC, datetime

import pytest
from athanor.cli import compare, jsontext, output
from athanor.client import Result, RunRecord, RunState
from athanor.client.compare import compare as side_by_side

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def run(id: str, configuration: str, state: RunState = RunState.COMPLETED, instance: str = "") -> RunRecord:
    return RunRecord(id, instance or f"of {configuration}", "hello", state, configuration)


def result(key: str, value: str) -> Result:
    return Result(1, 1, NOW, key, value)


def comparison():
    runs = [run("a", '{"m": "x"}'), run("b", '{"m": "x"}'), run("c", '{"m": "y", "k": 1}', RunState.FAILED)]
    results = {
        "a": [result("loss", "0.5"), result("score", '{"f1": 0.25, "n": 12345678901234567890}')],
        "b": [result("loss", "1.5"), result("score", '{"f1": 0.75}')],
        "c": [result("loss", "9")],
    }
    return side_by_side(runs, results)


def test_a_row_for_each_run_with_what_differs_and_its_numbers():
    fixed, numbers = compare.table(comparison(), ["loss", "score.n"])
    assert [(column.name, *column.cells) for column in [*fixed, *numbers]] == [
        ("RUN", "a", "b", "c"),
        ("STATE", "COMPLETED", "COMPLETED", "FAILED"),
        ("m", "x", "x", "y"),
        ("k", "-", "-", "1"),
        ("loss", "0.5", "1.5", "9"),
        ("score.n", "12345678901234567890", "-", "-"),
    ]


def test_numbers_are_exact_in_a_pipe_and_short_on_a_terminal(monkeypatch):
    found = side_by_side([run("a", "{}")], {"a": [result("pi", "3.141592653589793")]})
    assert compare.table(found, ["pi"])[1][0].cells == ("3.141592653589793",)
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    assert compare.table(found, ["pi"])[1][0].cells == ("3.14159",)


def test_a_configuration_may_have_numbers_of_any_size(monkeypatch):
    digits = "1" + "0" * 5000
    found = side_by_side([run("a", f'{{"n": {digits}}}'), run("b", '{"n": 1}')], {})
    assert compare.table(found, [])[0][-1].cells == (digits, "1")
    assert digits in jsontext.dumps(compare.document(found, []))
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    assert compare.table(found, [])[0][-1].cells[0].endswith("00…")


def test_the_experiment_is_told_where_there_are_several():
    runs = [run("a", "{}"), RunRecord("b", "i", "other", RunState.COMPLETED, "{}")]
    fixed, _ = compare.table(side_by_side(runs, {}), [])
    assert ("EXPERIMENT", ("hello", "other")) in [(column.name, column.cells) for column in fixed]


def test_repeats_have_mean_deviation_and_interval():
    rows = compare.repeats(comparison(), ["loss"])
    assert rows == [("m=x, k=(none)", "loss", "2", "1", "±0.7071", "-5.353 … 7.353")]


def test_without_repeats_there_is_nothing_to_say_about_them():
    assert compare.repeats(side_by_side([run("a", "{}")], {"a": [result("loss", "1")]}), ["loss"]) == []


def test_numbers_are_chosen_by_key_or_by_their_whole_name():
    metrics = ["loss", "score.f1", "score.n", "scores"]
    assert compare.wanted(metrics, []) == tuple(metrics)
    assert compare.wanted(metrics, ["score"]) == ("score.f1", "score.n")
    assert compare.wanted(metrics, ["score.n", "loss"]) == ("loss", "score.n")
    with pytest.raises(LookupError, match=r"no run has a number in the result 'lss'; there are loss, score\.f1"):
        compare.wanted(metrics, ["loss", "lss"])
    with pytest.raises(LookupError, match="there are no numbers at all"):
        compare.wanted([], ["loss"])


def test_what_does_not_fit_is_left_out_beginning_with_what_few_have():
    columns = [
        compare.Column("first", ("1", "2")),  # 7 wide each
        compare.Column("other", ("1", "-")),
        compare.Column("final", ("1", "2")),
    ]
    assert [column.name for column in compare.fitting(columns, 21)] == ["first", "other", "final"]
    assert [column.name for column in compare.fitting(columns, 20)] == ["first", "final"]
    assert [column.name for column in compare.fitting(columns, 13)] == ["final"]
    assert [column.name for column in compare.fitting(columns, 1)] == ["final"]


def test_the_document_is_pinned():
    shown = compare.document(comparison(), ["loss"])
    assert list(shown) == ["confidence", "paths", "metrics", "runs", "groups"]
    assert shown["paths"] == ["m", "k"]
    assert shown["runs"][0] == {
        "id": "a",
        "instance_id": 'of {"m": "x"}',
        "experiment": "hello",
        "state": "COMPLETED",
        "configuration": {"m": "x"},
        "results": {"loss": 0.5},
    }
    group = shown["groups"][0]
    assert list(group) == ["label", "instance_id", "run_ids", "results"]
    assert group["run_ids"] == ["a", "b"]
    assert list(group["results"]["loss"]) == ["count", "mean", "standard_deviation", "low", "high"]
    assert group["results"]["loss"]["mean"] == 1.0
    assert shown["groups"][1]["results"] == {}, "a run that failed is no repeat"
