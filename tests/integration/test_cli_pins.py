"""What every command prints with --json, and what is said to wrong command lines, is what is written down."""

import json

from tests.support import pins

# A run that has only just been made has had no attempt.
JUST_MADE = ["/0/attempts", "/7/runs/0/attempts"]
EMPTY = {"run.json": JUST_MADE, "runs-start.json": JUST_MADE}


def test_the_json_of_every_command_has_the_shape_that_is_written_down() -> None:
    """After a change that was meant: `python -m tests.support.pins`, and look at what `git diff` says."""
    shapes, kept = pins.json_shapes(), pins.kept(pins.JSON)
    assert sorted(shapes) == sorted(kept)
    for name, shape in shapes.items():
        assert shape == kept[name], name


def test_what_is_said_to_a_wrong_command_line_is_what_is_written_down() -> None:
    """After a change that was meant: `python -m tests.support.pins`, and look at what `git diff` says."""
    assert pins.error_texts() == pins.ERRORS.read_text(encoding="utf-8")


def test_there_is_none_that_is_not_tried() -> None:
    takes = {
        command.replace(" ", "-") + ".json" for command, found in pins.commands().items() if pins.takes_json(found)
    }
    assert takes == set(pins.kept(pins.JSON))


def test_no_list_and_no_object_was_empty_when_it_was_written_down() -> None:
    """Nothing would be said of what is in it: let the scenario of tests/support/cli_scenario.py have some."""
    found = {name: list(pins.unpinned(json.loads(text))) for name, text in pins.kept(pins.JSON).items()}
    assert {name: paths for name, paths in found.items() if paths} == EMPTY


def test_what_is_empty_is_found() -> None:
    shape = pins.line_shapes([{"a": [], "b": {"c": [{"d": {}}], "e": [1]}}])
    assert list(pins.unpinned(shape)) == ["/0/a", "/0/b/c/0/d"]


def test_a_shape_says_the_type_of_each_member_and_which_are_not_always_there() -> None:
    found = pins.shape_of([{"a": 1, "b": [1.5, None]}, {"a": "x", "labels": {"k": "v"}}])
    assert found == {
        "a": {"any of": ["integer", "string"]},
        "b?": [{"any of": ["null", "number"]}],
        "labels?": "given",
    }
