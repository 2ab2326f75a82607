"""Runs side by side."""

from datetime import timedelta
from typing import Any

import polars
import pytest
from athanor.client import Attempt, CodeVersion, Result, Results, RunRecord, RunState, Summary
from athanor.client._metrics import metrics_of
from athanor.client._statistics import summarize
from athanor.client.compare import compare
from athanor.client.paths import MISSING

from tests.support.found import result, result_text, run

RUNS = [
    run("r-1", {"lr": 0.1, "model": {"layers": [64, 32]}, "n": 3}),
    run("r-2", {"lr": 0.1, "model": {"layers": [64, 32]}, "n": 3}, seed=2**64 - 1),
    run("r-3", {"lr": 0.2, "model": {"layers": [64]}, "n": 3}, instance="i-2"),
]
RESULTS = {
    "r-1": [result("loss", 9, 1), result("loss", 1, 2), result("final", {"top": {"k": 5}, "ok": True, "all": [1]}, 3)],
    "r-2": [result("loss", 2.0, 1)],
    "r-3": [result("loss", 3, 1), result("note", "fine", 2)],
}
FIXED = ["id", "instance", "group", "experiment", "state", "duration", "seed", "code"]


def test_only_what_differs_is_told_of_the_configurations():
    comparison = compare(RUNS, RESULTS)
    assert comparison.paths == ("lr", "model.layers.1")
    assert [dict(row.configuration) for row in comparison.rows] == [
        {"lr": 0.1, "model.layers.1": 32},
        {"lr": 0.1, "model.layers.1": 32},
        {"lr": 0.2, "model.layers.1": MISSING},
    ]


def test_metrics_are_the_last_numbers_of_each_key_and_those_inside_of_it():
    comparison = compare(RUNS, RESULTS)
    assert comparison.metrics == ("loss", "final.top.k")
    assert [dict(row.metrics) for row in comparison.rows] == [{"loss": 1, "final.top.k": 5}, {"loss": 2.0}, {"loss": 3}]


@pytest.mark.parametrize(
    ("results", "metrics"),
    [
        ([], {}),
        ([result("a", 1, 1), result("a", None, 2)], {}),  # the last value is none
        ([result("a", True)], {}),
        ([result("a", [1, 2])], {}),
        ([result("a", 1, 1), result("a", 2, 2, superseded=True)], {"a": 1}),
        ([result("a", {"x": 1}, 1), result("a", {"y": 2}, 2)], {"a.y": 2}),
        ([result("val.loss", 1)], {'"val.loss"': 1}),
        ([result("a", 2**53 + 1)], {"a": 2**53 + 1}),
        ([result_text("a", "1e999")], {}),
        ([result_text("a", "1" + "0" * 400)], {}),
    ],
)
def test_what_is_a_metric(results: list[Result], metrics: dict[str, Any]):
    assert metrics_of(results) == metrics


def test_repeats_are_runs_of_one_instance_with_the_same_configuration():
    comparison = compare([*RUNS, run("r-4", RUNS[0].configuration, instance="i-3")], RESULTS)
    assert [[row.run.id for row in group.rows] for group in comparison.groups] == [["r-1", "r-2"], ["r-3"], ["r-4"]]
    assert comparison.groups[0].summaries["loss"] == summarize([1, 2.0])
    assert comparison.groups[0].summaries["final.top.k"] == Summary(1, 5.0, None, None, None)
    assert comparison.groups[1].summaries == {"loss": Summary(1, 3.0, None, None, None)}
    assert comparison.groups[2].summaries == {}


def test_an_instance_that_was_changed_between_two_runs_is_another_measurement():
    comparison = compare([run("r-1", {"flag": 1}), run("r-2", {"flag": True}), run("r-3", {"flag": 1.0})], {})
    assert [[row.run.id for row in group.rows] for group in comparison.groups] == [["r-1", "r-3"], ["r-2"]]


def test_a_text_is_not_taken_for_the_empty_list_that_it_describes():
    comparison = compare([run("r-1", {"x": []}), run("r-2", {"x": "[]"}), run("r-3", {"x": {}})], {})
    assert len(comparison.groups) == 3


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.CANCELLED, RunState.RUNNING])
def test_only_completed_runs_enter_the_mean(state: RunState):
    runs = [RUNS[0], run("r-2", RUNS[0].configuration, state=state)]
    comparison = compare(runs, RESULTS)
    assert comparison.rows[1].metrics == {"loss": 2.0}
    assert comparison.groups[0].summaries["loss"] == Summary(1, 1.0, None, None, None)


def test_the_confidence_is_the_callers():
    wide = compare(RUNS, RESULTS, confidence=0.99)
    assert wide.confidence == 0.99
    assert wide.groups[0].summaries["loss"] == summarize([1, 2.0], 0.99)
    with pytest.raises(ValueError, match="must be between 0 and 1"):
        compare(RUNS, RESULTS, confidence=95)


def test_a_run_that_is_named_twice_counts_once():
    comparison = compare([RUNS[0], RUNS[0]], RESULTS)
    assert len(comparison.rows) == 1
    assert comparison.groups[0].summaries["loss"].count == 1


def test_a_run_that_was_listed_without_its_configuration_is_refused():
    with pytest.raises(LookupError, match="run r-9 was listed without its configuration"):
        compare([RunRecord("r-9", "i", "e", RunState.COMPLETED)], {})


@pytest.mark.parametrize(
    ("runs", "names", "labels"),
    [
        (RUNS[:2], {}, ["i-1"]),
        (RUNS, {}, ["lr=0.1, model.layers.1=32", "lr=0.2, model.layers.1=(none)"]),
        (RUNS, {"i-1": "slow", "i-2": "fast"}, ["slow", "fast"]),
        (RUNS, {"i-1": "slow"}, ["lr=0.1, model.layers.1=32", "lr=0.2, model.layers.1=(none)"]),
        (RUNS, {"i-1": "", "i-2": "i-2"}, ["lr=0.1, model.layers.1=32", "lr=0.2, model.layers.1=(none)"]),
        ([run("r-1"), run("r-2", instance="i-2")], {"i-1": "one"}, ["one", "i-2"]),
        (RUNS, {"i-1": "one", "i-2": "one"}, ["lr=0.1, model.layers.1=32", "lr=0.2, model.layers.1=(none)"]),
        (
            [run("r-1", {"n": 1}), run("r-2", {"n": 2}), run("r-3", {"n": 1}, instance="i-2")],
            {"i-1": "one", "i-2": "two"},
            ["one: n=1", "one: n=2", "two: n=1"],
        ),
        ([run("r-1", {"t": "x" * 30 + "1"}), run("r-2", {"t": "short"})], {}, [f"t={'x' * 10}…{'x' * 8}1", "t=short"]),
        ([run("r-1"), run("r-2", instance="i-2")], {"i-1": "same", "i-2": "same"}, ["same (i-1)", "same (i-2)"]),
        (
            [run(f"r-{n}", {"n": n // 2}, instance=f"i-{n}") for n in range(3)],
            {"i-0": "same", "i-1": "same", "i-2": "other"},
            ["same (i-0)", "same (i-1)", "other"],
        ),
        ([run("r-1"), run("r-2", instance="i-2")], {}, ["i-1", "i-2"]),
    ],
)
def test_groups_are_called_by_the_shortest_words_that_tell_them_apart(
    runs: list[RunRecord], names: dict[str, str], labels: list[str]
):
    assert [group.label for group in compare(runs, {}, names=names).groups] == labels


def test_repeats_of_code_that_was_changed_say_so():
    def executed(id: str, *digests: str, state: RunState = RunState.COMPLETED) -> RunRecord:
        return run(
            id, state=state, attempts=tuple(Attempt(n, "", code=CodeVersion(d)) for n, d in enumerate(digests, 1))
        )

    same = compare([executed("r-1", "a", "b"), executed("r-2", "b"), executed("r-3", "c", state=RunState.FAILED)], {})
    assert same.groups[0].codes == ("b",), "that of the attempt that counts, of the runs that count"
    changed = compare([executed("r-1", "a"), executed("r-2", "b"), executed("r-3")], {})
    assert changed.groups[0].codes == ("a", "b")
    assert changed.to_pandas()["code"].tolist() == ["a", "b", ""]


def test_a_row_for_each_run():
    frame = compare(RUNS, RESULTS).to_pandas()
    assert list(frame.columns) == [
        *FIXED,
        "configuration.lr",
        "configuration.model.layers.1",
        *(f"{name}.loss" for name in ("result", "count", "mean", "std", "low", "high")),
        *(f"{name}.final.top.k" for name in ("result", "count", "mean", "std", "low", "high")),
    ]
    assert list(frame["id"]) == ["r-1", "r-2", "r-3"]
    assert list(frame["instance"]) == ["i-1", "i-1", "i-2"]
    assert frame["group"].tolist() == ["lr=0.1, model.layers.1=32"] * 2 + ["lr=0.2, model.layers.1=(none)"]
    assert list(frame["state"]) == ["COMPLETED"] * 3
    assert list(frame["duration"]) == [timedelta(seconds=61)] * 3
    assert frame["seed"].tolist() == [7, 2**64 - 1, 7]
    assert frame["configuration.lr"].tolist() == [0.1, 0.1, 0.2]
    assert list(frame["configuration.model.layers.1"].isna()) == [False, False, True]
    assert frame["result.loss"].tolist() == [1, 2, 3]
    assert frame["count.loss"].tolist() == [2, 2, 1]
    assert frame["mean.loss"].tolist() == [1.5, 1.5, 3.0]
    assert frame["std.loss"][0] == pytest.approx(0.7071, abs=1e-4)
    assert frame["low.loss"][0] == pytest.approx(1.5 - 12.706 * 0.5, abs=1e-3)
    assert frame["high.loss"][0] == pytest.approx(1.5 + 12.706 * 0.5, abs=1e-3)
    assert list(frame["std.loss"].isna()) == [False, False, True]
    assert frame["count.final.top.k"].tolist() == [1, 1, 0]


def test_a_row_for_each_run_in_polars():
    comparison = compare(RUNS, RESULTS)
    frame = comparison.to_polars()
    assert frame.columns == list(comparison.to_pandas().columns)
    assert frame["duration"].dtype == polars.Duration("us")
    assert frame["seed"].to_list() == [7, 2**64 - 1, 7]
    assert frame["configuration.model.layers.1"].to_list() == [32, 32, None]
    assert frame["mean.loss"].to_list() == [1.5, 1.5, 3.0]
    assert frame["std.loss"].to_list()[2] is None


def test_a_row_for_each_group():
    comparison = compare(RUNS, RESULTS, metrics=["loss"])
    frame = comparison.to_pandas(by="group")
    assert list(frame.columns) == [
        *("instance", "group", "experiment", "runs", "configuration.lr", "configuration.model.layers.1"),
        *(f"{name}.loss" for name in ("count", "mean", "std", "low", "high")),
    ]
    assert frame["runs"].tolist() == [2, 1]
    assert frame["group"].tolist() == [group.label for group in comparison.groups]
    assert frame["configuration.lr"].tolist() == [0.1, 0.2]
    assert frame["mean.loss"].tolist() == [1.5, 3.0]
    assert list(frame["low.loss"].isna()) == [False, True]
    assert comparison.to_polars(by="group").columns == list(frame.columns)
    assert compare([], {}).to_polars(by="group").height == 0
    with pytest.raises(ValueError, match="there is no frame by 'instance': choose run or group"):
        comparison.to_pandas(by="instance")


def test_a_run_that_goes_on_has_no_duration_yet():
    frame = compare([run("r-1", end_time=None, state=RunState.RUNNING)], {}).to_pandas()
    assert list(frame["duration"].isna()) == [True]


def test_nothing_to_compare_is_an_empty_frame():
    assert list(compare([], {}).to_pandas().columns) == FIXED
    assert compare([], {}).to_polars().columns == FIXED


def test_results_by_key_are_taken_as_they_are():
    by_key = {id: Results(found) for id, found in RESULTS.items()}
    assert compare(RUNS, by_key) == compare(RUNS, RESULTS)


def test_metrics_are_chosen_by_name_or_by_the_key_that_they_are_in():
    comparison = compare(RUNS, RESULTS, metrics=["final", "loss"])
    assert comparison.metrics == ("final.top.k", "loss")
    only = compare(RUNS, RESULTS, metrics=["loss"])
    assert only.metrics == ("loss",)
    assert [dict(row.metrics) for row in only.rows] == [{"loss": 1}, {"loss": 2.0}, {"loss": 3}]
    assert list(only.groups[0].summaries) == ["loss"]
    assert compare(RUNS, RESULTS, metrics=[]).metrics == ()
    with pytest.raises(ValueError, match=r"^there is no metric 'los'; there are loss, final\.top\.k$"):
        compare(RUNS, RESULTS, metrics=["los"])
    many = {"r-1": [result(f"m{index}", index) for index in range(12)]}
    with pytest.raises(ValueError, match=r"there are m0, m1, .*, m9 and 2 more$"):
        compare(RUNS, many, metrics=["loss"])


def test_a_name_with_a_dot_in_it_may_be_written_as_it_is():
    found = {"r-1": [result("val.loss", {"mean": 1}), result("val", {"loss": 2}, 2)]}
    every = ('"val.loss".mean', "val.loss")
    assert compare(RUNS[:1], found).metrics == every
    assert compare(RUNS[:1], found, metrics=["val.loss"]).metrics == every
    assert compare(RUNS[:1], found, metrics=['"val.loss"']).metrics == every[:1]


def test_runs_of_several_experiments_are_told_apart_by_them():
    runs = [
        run("r-1", {"lr": 1, "same": 1}),
        run("r-2", {"lr": 2, "same": 1}),
        run("r-3", {"depth": 3, "same": 1}, instance="i-2", experiment="trees"),
    ]
    comparison = compare(runs, {"r-1": [result("loss", 1)], "r-3": [result("loss", 2)]})
    assert [group.label for group in comparison.groups] == ["digits: lr=1", "digits: lr=2", "trees: depth=3"]
    assert comparison.of_several
    assert not comparison.repeated


def test_a_wrong_confidence_is_told_although_nothing_was_repeated():
    with pytest.raises(ValueError, match="must be between 0 and 1"):
        compare([], {}, confidence=95)


def test_what_a_terminal_shows():
    runs = [*RUNS, run("r-4", RUNS[2].configuration, instance="i-2", state=RunState.FAILED)]
    assert repr(compare(runs, RESULTS | {"r-4": [result("loss", 12345.678)]})).splitlines() == [
        "4 runs, 2 paths differ, 2 metrics",
        "run  state      lr   model.layers.1  loss   final.top.k",
        "r-1  COMPLETED  0.1  32              1      5",
        "r-2  COMPLETED  0.1  32              2",
        "r-3  COMPLETED  0.2                  3",
        "r-4  FAILED     0.2                  12346",
        "",
        "mean ± 95 % interval of completed runs  loss             final.top.k",
        "lr=0.1, model.layers.1=32               1.5 ± 6.4 (n=2)  5 (n=1 of 2)",
        "lr=0.2, model.layers.1=(none)           3 (n=1 of 2)",
    ]


def test_a_terminal_shows_groups_by_the_names_of_their_instances():
    shown = str(compare(RUNS, RESULTS, metrics=["loss"], names={"i-1": "slow", "i-2": "fast"}))
    assert shown.splitlines()[1:3] == [
        "run  group  state      lr   model.layers.1  loss",
        "r-1  slow   COMPLETED  0.1  32              1",
    ]


def test_a_terminal_shows_what_others_wrote_as_text():
    shown = repr(compare([run("r-1", {"x": "\x1b[31m\n"}), run("r-2", {"x": 1})], {"r-1": [result("a\tb", 1)]}))
    assert r"\x1b[31m\n" in shown
    assert r"a\tb" in shown


def test_of_much_a_terminal_shows_the_beginning_and_counts_the_rest():
    runs = [run(f"r-{index}", {f"p{path}": index for path in range(8)}) for index in range(70)]
    shown = repr(compare(runs, {"r-1": [result(f"m{index}", index) for index in range(9)]})).splitlines()
    assert len(shown) == 1 + 1 + 60 + 3
    assert shown[-3:] == [
        "and 10 more runs: to_pandas() has all",
        "and 2 more paths: to_pandas() has all",
        "and 3 more metrics: to_pandas() has all",
    ]


def test_nothing_to_compare_is_said():
    assert repr(compare([], {})) == "0 runs, 0 paths differ, 0 metrics"
