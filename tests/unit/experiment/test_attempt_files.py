"""The assignment and the intent, as text and on disk."""

import json
from pathlib import Path

import pytest
from athanor.experiment.assignment import Assignment, Checkpoint, Code
from athanor.experiment.intent import Ended, Intent, boot_id

ASSIGNMENT = Assignment(
    lease_id="lease",
    run_id="run",
    instance_id="instance",
    instance_name="näme",
    attempt=2,
    experiment="digits",
    module="package.module:digits",
    configuration_json='{"n": 12345678901234567890}',
    seed=(1 << 64) - 1,
    next_sequence=17,
    search_path=("/a", "/b"),
    runner_id="runner",
    code=Code("digest", "package.module:digits", "package==1", "commit", True),
    schema_digest="of the schema",
    timeout_s=1.5,
    max_attempts=3,
    checkpoint=Checkpoint(5, '{"step": 3}'),
)
INTENT = Intent(Ended.RAISED, "boot", "ValueError: no", "Traceback", True, True, 12)


def test_an_assignment_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "assignment.json").write_text(ASSIGNMENT.to_json())

    assert Assignment.read(tmp_path) == ASSIGNMENT
    assert json.loads(ASSIGNMENT.to_json())["format"] == 1


def test_what_may_be_left_out_of_an_assignment_has_defaults() -> None:
    document = json.loads(ASSIGNMENT.to_json())
    for name in (
        "search_path",
        "code",
        "timeout_s",
        "checkpoint",
        "segment_bytes",
        "spool_limit_bytes",
        "runner_id",
        "schema_digest",
    ):
        del document[name]

    read = Assignment.from_json(json.dumps(document))

    assert (read.search_path, read.code, read.timeout_s, read.checkpoint) == ((), Code(), None, None)
    assert (read.segment_bytes, read.spool_limit_bytes) == (64 << 20, 1 << 30)


def test_an_intent_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert Intent.read(tmp_path) is None

    INTENT.write(tmp_path)

    assert Intent.read(tmp_path) == INTENT
    assert [path.name for path in tmp_path.iterdir()] == ["intent.json"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', '{"format": 1}', '{"format": 1, "ended": "no"}'])
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Assignment.from_json(text)
    with pytest.raises(ValueError):
        Intent.from_json(text)


def test_fields_of_a_later_version_are_refused_by_name() -> None:
    document = {**json.loads(INTENT.to_json()), "mood": "good"}

    with pytest.raises(ValueError, match="mood"):
        Intent.from_json(json.dumps(document))


@pytest.mark.parametrize("part", ["code", "checkpoint"])
def test_fields_of_a_later_version_are_refused_by_name_inside_an_assignment_too(part: str) -> None:
    document = json.loads(ASSIGNMENT.to_json())
    document[part]["mood"] = "good"

    with pytest.raises(ValueError, match="mood"):
        Assignment.from_json(json.dumps(document))


def test_the_boot_is_the_same_all_the_time() -> None:
    assert boot_id() == boot_id() != ""
