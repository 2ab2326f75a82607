"""Comparisons as tables."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from athanor.cli import compare, jsontext, output, sidebyside
from athanor.client import Attempt, CodeVersion, Result, RunRecord, RunState
from athanor.client.compare import compare as side_by_side

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def run(id: str, configuration: str, state: RunState = RunState.COMPLETED, instance: str = "") -> RunRecord:
    return RunRecord(id, instance or f"of {configuration}", "hello", state, configuration)


def result(key: str, value: str) -> Result:
    return Result(1, 1, NOW, key, value)


def comparison(metrics: list[str] | None = None):
    runs = [run("a", '{"m": "x"}'), run("b", '{"m": "x"}'), run("c", '{"m": "y", "k": 1}', RunState.FAILED)]
    results = {
        "a": [result("loss", "0.5"), result("score", '{"f1": 0.25, "n": 12345678901234567890}')],
        "b": [result("loss", "1.5"), result("score", '{"f1": 0.75}')],
        "c": [result("loss", "9")],
    }
    return side_by_side(runs, results, metrics=metrics)


def test_a_row_for_each_run_with_what_differs_and_its_numbers():
    assert [(column.name, *column.cells) for column in sidebyside.table(comparison(["score.n", "loss"]))] == [
        ("RUN", "a", "b", "c"),
        ("STATE", "COMPLETED", "COMPLETED", "FAILED"),
        ("m", "x", "x", "y"),
        ("k", "-", "-", "1"),
        ("score.n", "12345678901234567890", "-", "-"),
        ("loss", "0.5", "1.5", "9"),
    ]


def test_numbers_are_exact_in_a_pipe_and_short_on_a_terminal(monkeypatch):
    found = side_by_side([run("a", "{}")], {"a": [result("pi", "3.141592653589793")]})
    assert sidebyside.table(found)[-1].cells == ("3.141592653589793",)
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    assert sidebyside.table(found)[-1].cells == ("3.14159",)


def test_a_configuration_may_have_numbers_of_any_size(monkeypatch):
    digits = "1" + "0" * 5000
    found = side_by_side([run("a", f'{{"n": {digits}}}'), run("b", '{"n": 1}')], {})
    assert sidebyside.table(found)[-1].cells == (digits, "1")
    assert digits in jsontext.dumps(compare.document(found))
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    assert "00…0" in sidebyside.table(found)[-1].cells[0]


def test_the_experiment_is_told_where_there_are_several():
    runs = [run("a", "{}"), RunRecord("b", "i", "other", RunState.COMPLETED, "{}")]
    every = sidebyside.table(side_by_side(runs, {}))
    assert ("EXPERIMENT", ("hello", "other")) in [(column.name, column.cells) for column in every]


def test_repeats_have_mean_deviation_and_interval():
    found = comparison()
    rows = sidebyside.repeats(found, ["loss"], [group.label for group in found.groups])
    assert rows == [("m=x, k=(none)", "loss", "2", "1", "±0.7071", "-5.353 … 7.353")]


def test_repeats_of_code_that_was_changed_are_said_to_be(capsys):
    def executed(id: str, digest: str) -> RunRecord:
        return replace(run(id, "{}"), attempts=(Attempt(1, "", code=CodeVersion(digest)),))

    sidebyside.show(side_by_side([executed("a", "x"), executed("b", "x")], {}), asked=False)
    assert "code" not in capsys.readouterr().err
    sidebyside.show(side_by_side([executed("a", "x"), executed("b", "y")], {}), asked=False)
    assert "The repeats of of {} were made by 2 versions of the code" in capsys.readouterr().err


def test_without_repeats_there_is_nothing_to_say_about_them():
    found = side_by_side([run("a", "{}")], {"a": [result("loss", "1")]})
    assert sidebyside.repeats(found, ["loss"], ["a"]) == []


def grown() -> tuple[list[RunRecord], dict[str, list[Result]]]:
    """Runs of an experiment whose configuration has grown a setting with each version; the newest run has all 12."""
    names = [f"schedule_option_{index:02}" for index in range(12)]
    runs, results = list[RunRecord](), dict[str, list[Result]]()
    for version in range(6):
        for repeat in range(2):
            id = f"0198c5{version}{repeat}-0000-7000-8000-000000000000"
            having = {name: f"{name} of version {version}" for name in names[: 2 * version + 2]}
            runs.append(
                run(
                    id,
                    json.dumps({"optimizer": having}),
                    RunState.COMPLETED,
                    f"0199{version:04}-0000-7000-8000-000000000000",
                )
            )
            results[id] = [
                result(f"evaluation_metric_{index}", str(1000.0 + version + repeat / 8 + index / 64))
                for index in range(6)
            ]
    return runs, results


def drawn(monkeypatch, capsys, columns: int, metrics: list[str] | None = None) -> tuple[list[str], str]:
    """The lines that a terminal of so many columns shows, and what is said beside them."""
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    runs, results = grown()
    sidebyside.show(side_by_side(runs, results, metrics=metrics), asked=bool(metrics))
    said = capsys.readouterr()
    return said.out.splitlines(), said.err


@pytest.mark.parametrize(("columns", "settings", "numbers"), [(80, 2, 2), (120, 3, 4)])
def test_many_settings_leave_state_and_numbers_alone(monkeypatch, capsys, columns, settings, numbers):
    lines, said = drawn(monkeypatch, capsys, columns)
    assert max(map(len, lines)) <= columns
    above, below = lines[: lines.index("")], lines[lines.index("") + 1 :]
    assert len(above) == 13
    heading, first, *_, last = above
    assert heading.split()[:2] == ["RUN", "STATE"]
    assert len(heading.split()) == 2 + settings + numbers
    assert first.split()[1] == "COMPLETED"
    assert last.split()[-1] == "1005.2", "a number of six digits, whole"
    assert heading.split()[2].endswith("on_00"), "every run has it"
    assert heading.split()[-1].endswith("ic_5"), "of the numbers the last"
    assert f"{12 - settings} more settings and {6 - numbers} more numbers did not fit: in a pipe (`| cat`)" in said
    assert "with --json" in said
    assert "choose numbers with --result, e.g. --result evaluation_metric_" in said
    assert below[0].split() == ["REPEATS", "OF", "RESULT", "N", "MEAN", "STD", "95", "%", "CI"]
    assert below[1].startswith("optimizer.s")
    assert below[1].split()[-6:] == ["2", "1000", "±0.08839", "999.3", "…", "1001"]
    assert len(below) == 1 + 6 * numbers


@pytest.mark.parametrize(("columns", "numbers"), [(80, 4), (120, 6)])
def test_numbers_that_were_asked_for_come_before_settings(monkeypatch, capsys, columns, numbers):
    asked = [f"evaluation_metric_{index}" for index in (3, 1, 0, 2, 5, 4)]
    lines, said = drawn(monkeypatch, capsys, columns, asked)
    assert max(map(len, lines)) <= columns
    shown = lines[0].split()[-numbers:]
    assert [name[-2:] for name in shown] == ["_3", "_1", "_0", "_2", "_5", "_4"][:numbers]
    assert "more settings" in said
    assert ("more numbers" in said) is (numbers < 6)


@pytest.mark.parametrize("columns", [20, 30])
def test_where_even_state_and_a_number_do_not_fit_they_are_one_below_another(monkeypatch, capsys, columns):
    lines, _ = drawn(monkeypatch, capsys, columns)
    assert [line.split() for line in lines[:4]] == [
        ["RUN", "0198c500-0000"],
        ["STATE", "COMPLETED"],
        [lines[2].split()[0], "1000.08"],
        [],
    ]
    assert lines[2].split()[0].endswith("ic_5")
    assert max(map(len, lines[:48])) <= max(columns, 26), "which is what it takes"
    of_runs = [line.split()[-1] for line in lines[2:48:4]]
    assert of_runs == [f"{1000 + version + repeat / 8 + 5 / 64:.6g}" for version in range(6) for repeat in range(2)]
    below = [line.split(maxsplit=1) for line in lines[48:] if line]
    assert ["MEAN", "1000"] in below
    assert ["N", "2"] in below
    assert "…" not in "".join(line for line in lines if "MEAN" in line)


@pytest.mark.parametrize("columns", range(24, 64, 3))
def test_no_number_is_cut_however_narrow_it_is(monkeypatch, capsys, columns):
    told = " ".join(drawn(monkeypatch, capsys, columns)[0]).split()
    for version in range(6):
        of_runs = [f"{1000 + version + repeat / 8 + 5 / 64:.6g}" for repeat in range(2)]
        assert {*of_runs, str(1000 + version)} <= {*told}


def test_at_40_columns_there_is_a_table(monkeypatch, capsys):
    heading, first, *_ = drawn(monkeypatch, capsys, 40)[0]
    assert heading.split()[:2] == ["RUN", "STATE"]
    assert first.split()[1:] == ["COMPLETED", "1000.08"]


def test_what_a_setting_does_not_have_is_not_in_the_label_of_repeats_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    sidebyside.show(comparison(["loss"]), asked=True)
    said = capsys.readouterr()
    assert said.out.splitlines()[-1].split() == ["m=x", "loss", "2", "1", "±0.7071", "-5.353", "…", "7.353"]
    assert said.err == "", "everything fits: nothing is said"


def test_labels_of_repeats_that_are_alike_once_they_are_cut_give_way_to_ids(monkeypatch, capsys):
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    runs, results = list[RunRecord](), dict[str, list[Result]]()
    for repeat in range(2):
        for place, values in enumerate(([0, 1, 0], [0, 2, 0], [1, 2, 1])):
            configuration = json.dumps({"first_setting": values[0], "middle": values[1], "last_setting": values[2]})
            id = f"{place}{repeat}"
            runs.append(run(id, configuration, RunState.COMPLETED, f"0199{place:04}-0000-7000-8000-000000000000"))
            results[id] = [result("loss", "0.5")]
    sidebyside.show(side_by_side(runs, results), asked=False)
    below = capsys.readouterr().out.split("\n\n")[1].splitlines()
    assert [line.split()[:2] for line in below] == [
        ["INSTANCE", "RESULT"],
        ["01990000-0000", "loss"],
        ["01990001-0000", "loss"],
        ["01990002-0000", "loss"],
    ]


def test_in_a_pipe_all_of_it_is_there(capsys):
    runs, results = grown()
    sidebyside.show(side_by_side(runs, results), asked=False)
    said = capsys.readouterr()
    assert len(said.out.splitlines()[0].split()) == 2 + 12 + 6
    assert said.err == ""
