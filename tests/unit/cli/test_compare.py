"""Comparisons as JSON."""

from athanor.cli import compare

from tests.unit.cli.test_sidebyside import comparison


def test_the_document_is_pinned():
    shown = compare.document(comparison(["loss"]))
    assert list(shown) == ["confidence", "paths", "metrics", "runs", "groups"]
    assert shown["paths"] == ["m", "k"]
    assert shown["runs"][0] == {
        "id": "a",
        "instance_id": 'of {"m": "x"}',
        "experiment": "hello",
        "state": "COMPLETED",
        "code_digest": "",
        "configuration": {"m": "x"},
        "results": {"loss": 0.5},
    }
    group = shown["groups"][0]
    assert list(group) == ["label", "instance_id", "run_ids", "results"]
    assert group["run_ids"] == ["a", "b"]
    assert list(group["results"]["loss"]) == ["count", "mean", "standard_deviation", "low", "high"]
    assert group["results"]["loss"]["mean"] == 1.0
    assert shown["groups"][1]["results"] == {}, "a run that failed is no repeat"
