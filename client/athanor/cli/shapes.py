"""The documents that `--json` prints: the stable shape of every resource.

Keys are the names of the contract in proto/athanor/v1. Times are RFC 3339 in UTC, durations are seconds (`*_s`), what
has not happened is null. States, outcomes and kinds are in capitals, log levels as experiments write them. A document
that an experiment or a person gave (`configuration`, `value`, `metadata`, ...) is the very text that is stored.

A listing is one document, `{"runs": [...]}`. Whatever follows a run, or prints a log, writes JSON Lines.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from athanor.cli.jsontext import Raw

if TYPE_CHECKING:
    from athanor import client

Document = Mapping[str, Any]


def experiment(item: "client.ExperimentRecord") -> Document:
    """An experiment."""
    return {
        "name": item.name,
        "title": item.title,
        "description": item.description,
        "configuration_schema": _raw(item.configuration_schema_json),
        "default_configuration": _raw(item.default_configuration_json),
        "code": code(item.code),
        "other_versions": [code(version) for version in item.other_versions],
        "default_policy": policy(item.default_policy),
        "available_runner_count": item.available_runner_count,
        "create_time": time(item.create_time),
        "update_time": time(item.update_time),
    }


def discovery_error(item: "client.DiscoveryError") -> Document:
    """A module that could not be loaded."""
    return {"runner_id": item.runner_id, "module": item.module, "error": item.error}


def code(item: "client.CodeVersion") -> Document:
    """A version of code."""
    return {
        "digest": item.digest,
        "module": item.module,
        "distribution": item.distribution,
        "git_commit": item.git_commit,
        "git_dirty": item.git_dirty,
    }


def policy(item: "client.RunPolicy") -> Document:
    """A policy."""
    return {
        "timeout_s": _seconds(item.timeout),
        "cancel_grace_period_s": _seconds(item.cancel_grace_period),
        "max_attempts": item.max_attempts,
        "retry_backoff_s": _seconds(item.retry_backoff),
        "lost_after_s": _seconds(item.lost_after),
    }


def instance(item: "client.InstanceRecord") -> Document:
    """An instance."""
    return {
        "id": item.id,
        "experiment": item.experiment,
        "name": item.name,
        "description": item.description,
        "configuration": _raw(item.configuration_json),
        "labels": dict(item.labels),
        "etag": item.etag,
        "create_time": time(item.create_time),
        "update_time": time(item.update_time),
        "run_count": item.run_count,
        "last_run_state": item.last_run_state and item.last_run_state.value,
        "last_run_time": time(item.last_run_time),
    }


def run(item: "client.RunRecord") -> Document:
    """A run."""
    return {
        "id": item.id,
        "instance_id": item.instance_id,
        "experiment": item.experiment,
        "state": item.state.value,
        "configuration": _raw(item.configuration_json),
        "policy": policy(item.policy),
        "seed": item.seed,
        "labels": dict(item.labels),
        "attempts": [attempt(one) for one in item.attempts],
        "next_attempt_time": time(item.next_attempt_time),
        "progress": item.progress and progress(item.progress),
        "failure": item.failure and failure(item.failure),
        "last_sequence": item.last_sequence,
        "log_count": item.log_count,
        "result_count": item.result_count,
        "cancel_request_time": time(item.cancel_request_time),
        "cancel_reason": item.cancel_reason,
        "unreachable_since": time(item.unreachable_since),
        "create_time": time(item.create_time),
        "start_time": time(item.start_time),
        "end_time": time(item.end_time),
        "log_incomplete": item.log_incomplete,
    }


def attempt(item: "client.Attempt") -> Document:
    """An attempt."""
    return {
        "number": item.number,
        "runner_id": item.runner_id,
        "code": code(item.code),
        "start_time": time(item.start_time),
        "end_time": time(item.end_time),
        "outcome": item.outcome and item.outcome.value,
        "failure": item.failure and failure(item.failure),
        "process_gone": item.process_gone,
        "log_complete": item.log_complete,
        "last_sequence": item.last_sequence,
    }


def verification(item: "client.Verification") -> Document:
    """The certificate of a run's log. `digest` is in hexadecimal."""
    return {
        "run_id": item.run_id,
        "verdict": item.verdict.value,
        "last_sequence": item.last_sequence,
        "event_count": item.event_count,
        "attempts": [
            {
                "number": one.number,
                "verdict": one.verdict.value,
                "event_count": one.event_count,
                "first_sequence": one.first_sequence,
                "last_sequence": one.last_sequence,
                "digest": one.digest.hex(),
                "log_complete": one.log_complete,
                "detail": one.detail,
            }
            for one in item.attempts
        ],
        "faults": [
            {
                "kind": one.kind.value,
                "first_sequence": one.first_sequence,
                "last_sequence": one.last_sequence,
                "attempt": one.attempt,
                "detail": one.detail,
            }
            for one in item.faults
        ],
        "more_fault_count": item.more_fault_count,
    }


def failure(item: "client.Failure") -> Document:
    """A failure."""
    return {
        "kind": item.kind.value,
        "message": item.message,
        "detail": item.detail,
        "exit_status": item.exit_status,
    }


def progress(item: "client.Progress") -> Document:
    """Progress; `total` is null when it is not known."""
    return {"current": item.current, "total": item.total, "message": item.message}


def runner(item: "client.RunnerRecord") -> Document:
    """A runner."""
    return {
        "id": item.id,
        "display_name": item.display_name,
        "connected": item.connected,
        "draining": item.draining,
        "slots": item.slots,
        "run_ids": list(item.run_ids),
        "experiments": list(item.experiments),
        "version": item.version,
        "last_seen_time": time(item.last_seen_time),
    }


def result(item: "client.Result") -> Document:
    """A result of a listing."""
    place = {"sequence": item.sequence, "attempt": item.attempt, "time": time(item.time)}
    return place | {"key": item.key, "value": _raw(item.value_json), "superseded": item.superseded}


def event(item: "client.Event") -> Document:
    """An event; `kind` says which: the name of the alternative in `RunEvent.event`."""
    from athanor import client

    kind, body = "unknown", dict[str, Any]()
    match item:
        case client.LogEntry():
            kind = "log"
            body = {"level": item.level.label, "message": item.message}
            body |= {"metadata": _raw(item.metadata_json), "source": item.source}
        case client.Result():
            kind, body = "result", {"key": item.key, "value": _raw(item.value_json)}
        case client.StateChanged():
            kind, body = "state_change", {"state": item.state.value, "reason": item.reason}
        case client.AttemptStarted():
            kind = "attempt_started"
            body = {"runner_id": item.runner_id, "code": code(item.code)}
            body |= {"configuration": _raw(item.configuration_json), "restored_sequence": item.restored_sequence}
        case client.AttemptEnded():
            kind = "attempt_ended"
            steps = [{"action": step.action, "time": time(step.time)} for step in item.stop_steps]
            body = {"outcome": item.outcome.value, "failure": item.failure and failure(item.failure)}
            body |= {"event_count": item.event_count, "digest": item.digest.hex(), "stop_steps": steps}
        case client.CheckpointSaved():
            kind, body = "checkpoint", {"state": _raw(item.state_json)}
        case _:
            pass
    place = {"sequence": item.sequence, "attempt": item.attempt, "time": time(item.time), "kind": kind}
    return place | body


def watch_item(item: "client.WatchItem") -> Document:
    """One line of a run that is followed: `{"run": ...}`, `{"event": ...}` or `{"progress": ...}`."""
    from athanor import client

    match item:
        case client.RunUpdated():
            return {"run": run(item.run)}
        case client.ProgressUpdated():
            return {"progress": progress(item.progress)}
        case _:
            return {"event": event(item)}


def runs_item(item: "client.RunsItem") -> Document:
    """One line of a watch of all runs: `{"begun": true}`, `{"run": ...}`, `{"deleted": ID}` or `{"synced": true}`."""
    from athanor import client

    match item:
        case client.RunChanged():
            return {"run": run(item.run)}
        case client.RunDeleted():
            return {"deleted": item.id}
        case client.Begun():
            return {"begun": True}
        case _:
            return {"synced": True}


def time(value: datetime | None) -> str | None:
    """RFC 3339 in UTC, to the microsecond."""
    return None if value is None else value.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _seconds(value: timedelta | None) -> float | None:
    return None if value is None else value.total_seconds()


def _raw(text: str) -> Raw | None:
    return Raw(text) if text else None
