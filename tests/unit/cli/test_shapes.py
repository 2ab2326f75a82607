"""The documents of --json: their shape is a promise, so it is written out here."""

import json
from datetime import UTC, datetime, timedelta

from athanor import client
from athanor.cli import jsontext, shapes

TIME = datetime(2026, 1, 2, 3, 4, 5, 678900, UTC)
STAMP = "2026-01-02T03:04:05.678900Z"


def text(document) -> dict:
    return json.loads(jsontext.dumps(document))


def test_a_run():
    failure = client.Failure(client.FailureKind.EXCEPTION, "boom", "trace", 1)
    attempt = client.Attempt(
        1, "x", client.CodeVersion(digest="d"), TIME, TIME, client.AttemptOutcome.FAILED, failure, True, True, 7
    )
    run = client.RunRecord(
        "r", "i", "hello", client.RunState.FAILED, '{"n": 1.0}',
        policy=client.RunPolicy(timeout=timedelta(minutes=1)), seed=2**64 - 1, labels={"a": "b"}, attempts=(attempt,),
        progress=client.Progress(1, None, "m"), failure=failure, last_sequence=8, log_count=2, result_count=1,
        create_time=TIME,
    )  # fmt: skip
    failed = {"kind": "EXCEPTION", "message": "boom", "detail": "trace", "exit_status": 1}
    code = {"digest": "d", "module": "", "distribution": "", "git_commit": "", "git_dirty": False}
    assert text(shapes.run(run)) == {
        "id": "r",
        "instance_id": "i",
        "experiment": "hello",
        "state": "FAILED",
        "configuration": {"n": 1.0},
        "policy": {
            "timeout_s": 60.0,
            "cancel_grace_period_s": None,
            "max_attempts": None,
            "retry_backoff_s": None,
            "lost_after_s": None,
        },
        "seed": 2**64 - 1,
        "labels": {"a": "b"},
        "attempts": [
            {
                "number": 1,
                "runner_id": "x",
                "code": code,
                "start_time": STAMP,
                "end_time": STAMP,
                "outcome": "FAILED",
                "failure": failed,
                "process_gone": True,
                "log_complete": True,
                "last_sequence": 7,
            }
        ],
        "next_attempt_time": None,
        "progress": {"current": 1, "total": None, "message": "m"},
        "failure": failed,
        "last_sequence": 8,
        "log_count": 2,
        "result_count": 1,
        "cancel_request_time": None,
        "cancel_reason": "",
        "unreachable_since": None,
        "create_time": STAMP,
        "start_time": None,
        "end_time": None,
        "log_incomplete": False,
    }


def test_a_certificate():
    attempt = client.AttemptFinding(1, client.Verdict.DAMAGED, 5, 2, 7, b"\x01\xff", True, "")
    fault = client.LogFault(client.LogFaultKind.MISSING, 4, 5, 0, "not there")
    item = client.Verification("r", client.Verdict.DAMAGED, 8, 6, (attempt,), (fault,), 3)
    assert text(shapes.verification(item)) == {
        "run_id": "r",
        "verdict": "DAMAGED",
        "last_sequence": 8,
        "event_count": 6,
        "attempts": [
            {
                "number": 1,
                "verdict": "DAMAGED",
                "event_count": 5,
                "first_sequence": 2,
                "last_sequence": 7,
                "digest": "01ff",
                "log_complete": True,
                "detail": "",
            }
        ],
        "faults": [{"kind": "MISSING", "first_sequence": 4, "last_sequence": 5, "attempt": 0, "detail": "not there"}],
        "more_fault_count": 3,
    }


def test_an_instance_an_experiment_and_a_runner():
    instance = client.InstanceRecord(
        "i", "hello", "n", configuration_json='{"a":1}', last_run_state=client.RunState.PENDING
    )
    assert text(shapes.instance(instance)) == {
        "id": "i",
        "experiment": "hello",
        "name": "n",
        "description": "",
        "configuration": {"a": 1},
        "labels": {},
        "etag": "",
        "create_time": None,
        "update_time": None,
        "run_count": 0,
        "last_run_state": "PENDING",
        "last_run_time": None,
    }
    experiment = text(shapes.experiment(client.ExperimentRecord("hello", "Hello", "Says it.")))
    assert list(experiment) == [
        "name", "title", "description", "configuration_schema", "default_configuration", "code", "other_versions",
        "default_policy", "available_runner_count", "create_time", "update_time",
    ]  # fmt: skip
    runner = text(shapes.runner(client.RunnerRecord("x", run_ids=("r",), last_seen_time=TIME)))
    assert runner == {
        "id": "x",
        "display_name": "",
        "connected": False,
        "draining": False,
        "slots": 0,
        "run_ids": ["r"],
        "experiments": [],
        "version": "",
        "last_seen_time": STAMP,
    }
    broken = text(shapes.discovery_error(client.DiscoveryError("x", "m", "trace")))
    assert broken == {"runner_id": "x", "module": "m", "error": "trace"}


def test_results_and_events():
    place = {"sequence": 3, "attempt": 1, "time": STAMP}
    at = (3, 1, TIME)
    result = client.Result(*at, "k", "1.50")
    assert text(shapes.result(result)) == place | {"key": "k", "value": 1.5, "superseded": False}
    assert '"value": 1.50' in jsontext.dumps(shapes.result(result))

    code = client.CodeVersion()
    bodies = {
        client.LogEntry(*at, client.LogLevel.WARN, "m", '{"i":1}', "stdout"): {
            "kind": "log",
            "level": "warn",
            "message": "m",
            "metadata": {"i": 1},
            "source": "stdout",
        },
        client.LogEntry(*at, client.LogLevel.INFO, "m"): {
            "kind": "log",
            "level": "info",
            "message": "m",
            "metadata": None,
            "source": "",
        },
        result: {"kind": "result", "key": "k", "value": 1.5},
        client.StateChanged(*at, client.RunState.RUNNING, "why"): {
            "kind": "state_change",
            "state": "RUNNING",
            "reason": "why",
        },
        client.AttemptStarted(*at, "x", code, '{"a":1}'): {
            "kind": "attempt_started",
            "runner_id": "x",
            "code": dict(shapes.code(code)),
            "configuration": {"a": 1},
            "restored_sequence": 0,
        },
        client.AttemptEnded(
            *at, client.AttemptOutcome.CANCELLED, None, 4, b"\x01", (client.StopStep("SIGTERM", TIME),)
        ): {
            "kind": "attempt_ended",
            "outcome": "CANCELLED",
            "failure": None,
            "event_count": 4,
            "digest": "01",
            "stop_steps": [{"action": "SIGTERM", "time": STAMP}],
        },
        client.CheckpointSaved(*at, "[1]"): {"kind": "checkpoint", "state": [1]},
        client.UnknownEvent(*at): {"kind": "unknown"},
    }
    for event, body in bodies.items():
        assert text(shapes.event(event)) == place | body
        assert text(shapes.watch_item(event)) == {"event": place | body}


def test_the_lines_of_a_run_that_is_followed():
    run = client.RunRecord("r", "i", "hello", client.RunState.PENDING)
    assert text(shapes.watch_item(client.RunUpdated(run)))["run"]["id"] == "r"
    progress = text(shapes.watch_item(client.ProgressUpdated(client.Progress(1, 2))))
    assert progress == {"progress": {"current": 1, "total": 2, "message": ""}}


def test_what_a_watch_of_all_runs_prints():
    run = client.RunRecord("r", "i", "e", client.RunState.RUNNING)
    assert text(shapes.runs_item(client.RunChanged(run))) == {"run": text(shapes.run(run))}
    assert text(shapes.runs_item(client.RunDeleted("r"))) == {"deleted": "r"}
    assert text(shapes.runs_item(client.Begun())) == {"begun": True}
    assert text(shapes.runs_item(client.Synced())) == {"synced": True}
