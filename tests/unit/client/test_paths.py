"""Documents by path, and where they differ."""

import sys
from typing import Any

import pytest
from athanor.client import paths
from athanor.client.paths import MISSING, Difference, diff, differences, dotted, leaves
from hypothesis import given
from hypothesis import strategies as st

from tests.support.jsonvalues import documents, names

CONFIGURATION = {"model": {"layers": [64, 32], "dropout": 0.1}, "tags": [], "seed": None}
a_path = st.lists(names | st.integers(0, 12), max_size=3).map(tuple)


def test_leaves_are_in_the_order_of_the_document():
    assert list(leaves(CONFIGURATION).items()) == [
        (("model", "layers", 0), 64),
        (("model", "layers", 1), 32),
        (("model", "dropout"), 0.1),
        (("tags",), []),
        (("seed",), None),
    ]


def test_lists_may_be_leaves():
    assert leaves({"a": {"b": [1, {"c": 2}]}}, into_lists=False) == {("a", "b"): [1, {"c": 2}]}


def test_a_document_that_is_a_leaf_has_the_empty_path():
    assert leaves(3) == {(): 3}
    assert leaves({}) == {(): {}}


def test_a_document_may_be_nested_more_deeply_than_python_calls():
    depth = 2 * sys.getrecursionlimit()
    document: Any = 1
    for _ in range(depth):
        document = [document]
    assert [len(path) for path in leaves(document)] == [depth]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (("optimizer", "betas", 0), "optimizer.betas.0"),
        (("score", "gpt-4.1"), 'score."gpt-4.1"'),
        (("a", "0"), 'a."0"'),
        (("a", ""), 'a.""'),
        (('say "hi"',), r'"say \"hi\""'),
        (("two\nlines",), r'"two\nlines"'),
        (("data", "k=v"), 'data."k=v"'),
        (("w\\", "z"), r'"w\\".z'),
        (("größe in m",), "größe in m"),
        ((), ""),
    ],
)
def test_how_a_path_is_written(path: paths.Path, name: str):
    assert dotted(path) == name


@given(a_path, a_path)
def test_two_paths_never_look_alike(one: paths.Path, other: paths.Path):
    assert (dotted(one) == dotted(other)) == (one == other)


def test_what_differs_between_two():
    after = {"model": {"layers": [64], "dropout": 0.2}, "tags": ["x"], "seed": 0}
    assert diff(CONFIGURATION, after) == [
        Difference(("model", "layers", 1), 32, MISSING),
        Difference(("model", "dropout"), 0.1, 0.2),
        Difference(("seed",), None, 0),
        Difference(("tags", 0), MISSING, "x"),
    ]
    assert diff(CONFIGURATION, after)[0].name == "model.layers.1"


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({"a": 1}, {"a": 1.0}, []),  # one number, written in two ways
        ({"a": 1}, {"a": True}, ["a"]),
        ({"a": 0}, {"a": False}, ["a"]),
        ({"a": None}, {}, ["a"]),  # null is not nothing
        ({"a": 2**53}, {"a": 2**53 + 1}, ["a"]),
        ({"a": float(2**53)}, {"a": 2**53 + 1}, ["a"]),
        ({"a": {}}, {"a": []}, ["a"]),
        ({"a": {}}, {}, ["a"]),
        ({}, {"a": {"b": 1}}, ["a.b"]),
        ({"a": {}}, {"a": {"b": 1}}, ["a.b"]),
        ({"a": []}, {"a": {"b": 1}}, ["a.b"]),
        ({"a": 1}, {"a": {"b": 1}}, ["a", "a.b"]),
        ({"a": [1, 2]}, {"a": [2, 1]}, ["a.0", "a.1"]),
        ({"x": 1, "y": 2}, {"y": 2, "x": 1}, []),  # objects have no order
    ],
)
def test_what_counts_as_a_difference(before: Any, after: Any, found: list[str]):
    assert [one.name for one in diff(before, after)] == found
    assert sorted(one.name for one in diff(after, before)) == sorted(found)


def test_of_several_documents_only_what_differs_is_told_with_what_each_has():
    found = differences([{"lr": 1, "n": 2}, {"lr": 1, "n": 3}, {"lr": 1, "n": 2, "m": {"k": 0}}])
    assert found == {("n",): (2, 3, 2), ("m", "k"): (MISSING, MISSING, 0)}


def test_empty_containers_of_two_sorts_are_told_apart_beside_a_full_one():
    assert differences([{"a": {}}, {"a": []}, {"a": [1]}])[("a",)] == ({}, [], MISSING)


def test_nothing_and_one_document_do_not_differ():
    assert differences([]) == {}
    assert differences([CONFIGURATION]) == {}


@given(documents, documents)
def test_no_difference_exactly_when_they_are_the_same(one: Any, other: Any):
    assert (diff(one, other) == []) == (marked(one) == marked(other))


@given(documents)
def test_a_document_can_be_put_together_from_its_leaves(document: Any):
    assert marked(rebuilt(leaves(document))) == marked(document)


@given(documents, documents)
def test_what_a_difference_says_is_there(one: Any, other: Any):
    before, after = leaves(one), leaves(other)
    for difference in diff(one, other):
        assert difference.before == before.get(difference.path, MISSING)
        assert difference.after == after.get(difference.path, MISSING)


def marked(value: Any) -> Any:
    """The document in which true is not equal to 1."""
    match value:
        case bool():
            return ("bool", value)
        case list():
            return ["list", *map(marked, value)]
        case dict():
            return {name: marked(inner) for name, inner in value.items()}
        case _:
            return value


def rebuilt(flat: dict[paths.Path, Any]) -> Any:
    if () in flat:
        return flat[()]
    heads: dict[str | int, dict[paths.Path, Any]] = {}
    for (head, *rest), value in flat.items():
        heads.setdefault(head, {})[tuple(rest)] = value
    inner = {head: rebuilt(below) for head, below in heads.items()}
    return list(inner.values()) if all(isinstance(head, int) for head in inner) else inner
