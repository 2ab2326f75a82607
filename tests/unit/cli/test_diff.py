"""Where two configurations differ, in lines and as JSON."""

from athanor.cli import diff
from athanor.client import InstanceRecord, paths

BEFORE = InstanceRecord("a", "hello", "first", configuration_json='{"n": 1, "model": {"layers": [64, 32]}, "s": null}')
AFTER = InstanceRecord("b", "hello", "second", configuration_json='{"n": 2.5, "model": {"layers": [64]}, "t": "é"}')


def test_what_is_gone_what_is_new_and_what_changed():
    found = paths.diff(BEFORE.configuration, AFTER.configuration)
    assert [diff.line(one) for one in found] == [
        "~ n: 1 → 2.5",
        "- model.layers.1: 32",
        "- s: null",
        '+ t: "é"',
    ]


def test_numbers_of_any_size_are_told():
    digits = "1" + "0" * 5000
    [found] = paths.diff({"n": 10**5000}, {"n": 1})
    assert diff.line(found) == f"~ n: {digits} → 1"


def test_the_document_is_pinned():
    found = paths.diff(BEFORE.configuration, AFTER.configuration)
    assert diff.document(BEFORE, AFTER, found) == {
        "before": "a",
        "after": "b",
        "differences": [
            {"path": "n", "names": ["n"], "before": 1, "after": 2.5},
            {"path": "model.layers.1", "names": ["model", "layers", 1], "before": 32},
            {"path": "s", "names": ["s"], "before": None},
            {"path": "t", "names": ["t"], "after": "é"},
        ],
    }
