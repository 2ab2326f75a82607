"""One shape of events and results: what is exported is what `--json` prints."""

import json

import pytest
from athanor.cli import jsontext, shapes
from athanor.client import (
    AttemptEnded,
    AttemptOutcome,
    AttemptStarted,
    CheckpointSaved,
    CodeVersion,
    Event,
    Failure,
    FailureKind,
    LogEntry,
    LogLevel,
    RunState,
    StateChanged,
    StopStep,
    UnknownEvent,
    _documents,
)

from tests.support.found import AT, result, result_text

FAILURE = Failure(FailureKind.PROCESS_EXIT, "killed", "the tail\n", -9)
CODE = CodeVersion("d", "m:f", "dist 1", "c", True)
EVENTS: list[Event] = [
    LogEntry(1, 1, AT, LogLevel.WARN, 'say "ö"\n\x00', '{"n": 1.10}', "stdout"),
    LogEntry(2, 1, AT, LogLevel.INFO, "plain"),
    result("k", {"x": [1]}, 3),
    result_text("k", "1.000000000000000000001", 4),
    StateChanged(5, 0, AT, RunState.CANCELLED, "by ada"),
    AttemptStarted(6, 2, AT, "runner", CODE, '{\n  "a": 12345678901234567890\n}', 4),
    AttemptEnded(7, 2, AT, AttemptOutcome.FAILED, FAILURE, 3, b"\x01\xff", (StopStep("SIGTERM", AT),)),
    AttemptEnded(8, 2, AT, AttemptOutcome.COMPLETED),
    CheckpointSaved(9, 2, AT, "[1, 2]"),
    UnknownEvent(10, 2, AT),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: f"{event.sequence}-{type(event).__name__}")
def test_an_event_is_what_the_command_line_prints(event: Event):
    assert _documents.event_json(event) == jsontext.dumps(shapes.event(event))


@pytest.mark.parametrize("superseded", [True, False])
def test_a_result_is_what_the_command_line_prints(superseded: bool):
    item = result("k", {"x": [1]}, superseded=superseded)
    assert _documents.result_json(item) == jsontext.dumps(shapes.result(item))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: f"{event.sequence}-{type(event).__name__}")
def test_it_is_one_line_of_json(event: Event):
    line = _documents.event_json(event)
    assert "\n" not in line
    assert json.loads(line)["kind"] == _documents.kind(event)
    place = {"sequence", "attempt", "time", "kind"}
    assert set(json.loads(_documents.body_json(event))) == set(json.loads(line)) - place


def test_a_number_is_as_it_was_written():
    assert '"value": 1.000000000000000000001,' in _documents.result_json(result_text("k", "1.000000000000000000001"))
