"""Results by key, and as frames."""

from typing import Any

import pandas
import polars
import pytest
from athanor.client import Result, Results
from hypothesis import given
from hypothesis import strategies as st

from tests.support.found import AT, result, result_text
from tests.support.jsonvalues import documents

LARGE = 2**53 + 1  # has no float
CURVE = [
    result("loss", 0.5, 1),
    result("accuracy", 1, 2),
    result("loss", 0.25, 3),
    result("loss", 9, 4, superseded=True),
]
FIXED = ["key", "sequence", "attempt", "time", "value"]


def test_a_mapping_from_key_to_all_values_in_order():
    results = Results(CURVE)
    assert dict(results) == {"loss": [0.5, 0.25], "accuracy": [1]}
    assert list(results) == ["loss", "accuracy"]
    assert (len(results), "loss" in results, "lost" in results) == (2, True, False)
    assert results.get("lost") is None
    assert results.last("loss") == 0.25
    assert results.records == tuple(CURVE[:3])


def test_superseded_ones_are_there_when_asked_for():
    results = Results(CURVE, include_superseded=True)
    assert results["loss"] == [0.5, 0.25, 9]
    assert list(results.to_pandas()["superseded"]) == [False, False, False, True]
    assert results.to_polars()["superseded"].to_list() == [False, False, False, True]


def test_a_key_that_is_not_there():
    with pytest.raises(KeyError, match="lost"):
        Results(CURVE)["lost"]
    with pytest.raises(KeyError, match="lost"):
        Results(CURVE).last("lost")


def test_a_list_that_was_given_is_the_callers_own():
    results = Results(CURVE)
    results["loss"].append(1.0)
    assert results["loss"] == [0.5, 0.25]


def test_results_may_come_from_any_iterable_and_only_once():
    assert len(Results(iter(CURVE)).records) == 3


def test_what_it_says_of_itself():
    assert repr(Results(CURVE)).splitlines() == [
        "3 results under 2 keys",
        "key       values  last",
        "loss      2       0.25",
        "accuracy  1       1",
    ]
    assert repr(Results([])) == "0 results under 0 keys"


def test_of_many_keys_the_first_and_the_last_are_shown():
    """What sums a run up is recorded at its end."""
    curve = [result(f"key-{index}", index, index) for index in range(1, 100)]
    lines = repr(Results([*curve, result("summary", {"accuracy": 0.9}, 100)])).splitlines()
    assert [line.split()[0] for line in lines[2:32]] == [f"key-{index}" for index in range(1, 31)]
    assert lines[32] == "… 40 keys between: to_pandas() has all"
    assert [line.split()[0] for line in lines[33:]] == [*(f"key-{index}" for index in range(71, 100)), "summary"]
    assert repr(Results(curve[:61])).splitlines()[32] == "… 1 key between: to_pandas() has all"
    assert len(repr(Results(curve[:60])).splitlines()) == 62


def test_a_row_for_each_result():
    frame = Results(CURVE).to_pandas()
    assert list(frame.columns) == FIXED
    assert list(frame["key"]) == ["loss", "accuracy", "loss"]
    assert list(frame["sequence"]) == [1, 2, 3]
    assert str(frame["sequence"].dtype) == "int64"
    assert list(frame["value"]) == [0.5, 1.0, 0.25]
    assert str(frame["value"].dtype) == "float64"
    assert str(frame["time"].dtype) == "datetime64[us, UTC]"
    assert frame["time"][0].to_pydatetime() == CURVE[0].time


def test_a_row_for_each_result_in_polars():
    frame = Results(CURVE).to_polars()
    assert frame.columns == FIXED
    assert frame["sequence"].dtype == polars.Int64
    assert frame["value"].to_list() == [0.5, 1.0, 0.25]
    assert frame["time"].dtype == polars.Datetime("us", "UTC")
    assert frame["time"].to_list() == [one.time for one in CURVE[:3]]


def test_nested_values_are_dotted_columns_and_lists_stay_values():
    results = Results(
        [
            result("eval", {"loss": 0.5, "usage": {"tokens": 10}, "scores": [1, 2]}, 1),
            result("eval", {"loss": 0.4}, 2),
            result("note", "done", 3),
        ]
    )
    columns = [*FIXED, "value.loss", "value.usage.tokens", "value.scores"]
    frame = results.to_pandas()
    assert list(frame.columns) == columns
    assert list(frame["value"].isna()) == [True, True, False]
    assert frame["value"][2] == "done"
    assert frame["value.loss"][:2].tolist() == [0.5, 0.4]
    assert str(frame["value.usage.tokens"].dtype) == "Int64"
    assert list(frame["value.usage.tokens"].isna()) == [False, True, True]
    assert frame["value.scores"][0] == [1, 2]
    other = results.to_polars()
    assert other.columns == columns
    assert other["value.usage.tokens"].to_list() == [10, None, None]
    assert other["value.scores"].dtype == polars.List(polars.Int64)
    assert other["value.scores"].to_list() == [[1, 2], None, None]


def test_a_name_with_a_dot_in_it_is_not_taken_for_two():
    frame = Results([result("a", {"gpt-4.1": 1, "gpt-4": {"1": 2}})]).to_pandas()
    assert list(frame.columns)[5:] == ['value."gpt-4.1"', 'value.gpt-4."1"']


@pytest.mark.parametrize(
    ("values", "dtype", "polars_type"),
    [
        ([1, 2], "int64", polars.Int64),
        ([LARGE, -LARGE], "int64", polars.Int64),
        ([2**64 - 1, 0], "uint64", polars.UInt64),
        ([2**64, 1], "object", polars.Object),
        ([-1, 2**63], "object", polars.Object),
        ([1, 0.5], "float64", polars.Float64),
        ([LARGE, 0.5], "object", polars.Object),
        ([True, False], "bool", polars.Boolean),
        ([True, 1], "object", polars.Object),
        (["a", 1], "object", polars.Object),
        ([[], {}], "object", polars.Object),
        ([10**400, 0.5], "object", polars.Object),
        ([[1.5], [2]], "object", polars.List(polars.Float64)),
        ([[LARGE], []], "object", polars.List(polars.Int64)),
        ([[1, "a"], [2]], "object", polars.Object),
    ],
)
def test_no_number_is_rounded(values: list[Any], dtype: str, polars_type: Any):
    results = Results([result("k", value, index) for index, value in enumerate(values, 1)])
    frame, other = results.to_pandas(), results.to_polars()
    assert str(frame["value"].dtype) == dtype
    assert frame["value"].tolist() == values
    assert other["value"].dtype == polars_type
    assert other["value"].to_list() == values


@pytest.mark.parametrize(
    ("value", "dtype"), [(LARGE, "Int64"), (2**64 - 1, "UInt64"), (True, "boolean"), (0.5, "float64"), ([1], "object")]
)
def test_what_some_results_do_not_have_is_missing_and_the_others_are_exact(value: Any, dtype: str):
    results = Results([result("k", {"x": value}, 1), result("k", {"x": None}, 2), result("k", {"y": 1}, 3)])
    frame = results.to_pandas()
    assert str(frame["value.x"].dtype) == dtype
    assert list(frame["value.x"].isna()) == [False, True, True]
    assert frame["value.x"][0] == value
    assert results.to_polars()["value.x"].to_list() == [value, None, None]


def test_without_results_the_columns_are_there():
    frame = Results([]).to_pandas()
    assert (list(frame.columns), len(frame)) == (FIXED, 0)
    assert str(frame["sequence"].dtype) == "int64"
    assert str(frame["time"].dtype) == "datetime64[us, UTC]"
    other = Results([]).to_polars()
    assert (other.columns, other.height) == (FIXED, 0)
    assert other["sequence"].dtype == polars.Int64
    assert other["key"].dtype == polars.String


def test_a_time_far_out_of_order_does_not_make_results_unreadable():
    odd = Result(1, 1, AT.replace(year=9999), "k", "1")
    assert Results([odd]).to_pandas()["time"][0].year == 9999
    assert Results([odd]).to_polars()["time"][0].year == 9999


def test_a_number_of_thousands_of_digits_stays_what_it_is():
    results = Results([result_text("k", "1" + "0" * 5000)])
    assert results.to_pandas()["value"][0] == 10**5000


@given(st.lists(st.dictionaries(st.sampled_from("abc"), documents, max_size=2) | documents, max_size=5))
def test_every_leaf_is_in_the_frames_as_it_was(values: list[Any]):
    results = Results([result("k", value, index) for index, value in enumerate(values, 1)])
    frame, other = results.to_pandas(), results.to_polars()
    assert list(frame.columns) == other.columns
    for column in results._columns():
        for row, expected in enumerate(column.values):
            here, there = frame[column.name][row], other[column.name][row]
            if expected is None:
                assert here is None or here is pandas.NA or here != here
                assert there is None
            else:
                assert here == expected
                assert (there.to_list() if isinstance(there, polars.Series) else there) == expected
