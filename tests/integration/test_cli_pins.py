"""What every command prints with --json, and what is said to wrong command lines, is what is written down."""

from tests.support import pins


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


def test_a_shape_says_the_type_of_each_member_and_which_are_not_always_there() -> None:
    found = pins.shape_of([{"a": 1, "b": [1.5, None]}, {"a": "x", "labels": {"k": "v"}}])
    assert found == {
        "a": {"any of": ["integer", "string"]},
        "b?": [{"any of": ["null", "number"]}],
        "labels?": "given",
    }
