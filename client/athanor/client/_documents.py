"""Events and results as JSON on one line: the shape that `--json` prints, and that JSON Lines are made of.

What an experiment gave is in it as the very text that is stored, so that numbers of any size and precision stay what
they are. Times are RFC 3339 in UTC, to the microsecond.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from athanor.client import events, resources
from athanor.client.events import Event, Result

_encode = json.JSONEncoder(ensure_ascii=False).encode  # made once: for each event `dumps` would make one a dozen times


def event_json(event: Event) -> str:
    """An event; `kind` says which, the names of the contract."""
    return _object(_place(event) | {"kind": text(kind(event))} | body(event))


def result_json(result: Result) -> str:
    """A result of a listing."""
    return _object(_place(result) | body(result) | {"superseded": text(result.superseded)})


def kind(event: Event) -> str:
    """The name of the alternative in `RunEvent.event`; `unknown` for one that this client does not know."""
    match event:
        case events.LogEntry():
            return "log"
        case events.Result():
            return "result"
        case events.StateChanged():
            return "state_change"
        case events.AttemptStarted():
            return "attempt_started"
        case events.AttemptEnded():
            return "attempt_ended"
        case events.CheckpointSaved():
            return "checkpoint"
        case _:
            return "unknown"


def body(event: Event) -> dict[str, str]:
    """What an event has beside its place: JSON text by name."""
    match event:
        case events.LogEntry():
            return {
                "level": text(event.level.label),
                "message": text(event.message),
                "metadata": raw(event.metadata_json),
                "source": text(event.source),
            }
        case events.Result():
            return {"key": text(event.key), "value": raw(event.value_json)}
        case events.StateChanged():
            return {"state": text(event.state.value), "reason": text(event.reason)}
        case events.AttemptStarted():
            return {
                "runner_id": text(event.runner_id),
                "code": text(_code(event.code)),
                "configuration": raw(event.configuration_json),
                "restored_sequence": text(event.restored_sequence),
            }
        case events.AttemptEnded():
            return {
                "outcome": text(event.outcome.value),
                "failure": text(event.failure and _failure(event.failure)),
                "event_count": text(event.event_count),
                "digest": text(event.digest.hex()),
                "stop_steps": text([{"action": step.action, "time": time(step.time)} for step in event.stop_steps]),
            }
        case events.CheckpointSaved():
            return {"state": raw(event.state_json)}
        case _:
            return {}


def body_json(event: Event) -> str:
    """What an event has beside its place, as one JSON object."""
    return _object(body(event))


def text(value: Any) -> str:
    """JSON text of a value of our own."""
    return _encode(value)


def raw(json_text: str) -> str:
    """JSON text that somebody gave, on one line; null where there is none."""
    # Between the values of a document a line break means nothing; in JSON Lines it would end the line.
    return json_text.replace("\r", " ").replace("\n", " ") or "null"


def time(value: datetime) -> str:
    """RFC 3339 in UTC, to the microsecond."""
    return value.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _place(event: Event) -> dict[str, str]:
    return {"sequence": text(event.sequence), "attempt": text(event.attempt), "time": text(time(event.time))}


def _object(members: Mapping[str, str]) -> str:
    return "{" + ", ".join(f'"{name}": {value}' for name, value in members.items()) + "}"


def _code(code: resources.CodeVersion) -> dict[str, Any]:
    return {
        "digest": code.digest,
        "module": code.module,
        "distribution": code.distribution,
        "git_commit": code.git_commit,
        "git_dirty": code.git_dirty,
    }


def _failure(failure: resources.Failure) -> dict[str, Any]:
    return {
        "kind": failure.kind.value,
        "message": failure.message,
        "detail": failure.detail,
        "exit_status": failure.exit_status,
    }
