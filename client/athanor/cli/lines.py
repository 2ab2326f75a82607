"""Events of a run as lines for people."""

from typing import TYPE_CHECKING

from athanor.cli import jsontext, words

if TYPE_CHECKING:
    from athanor import client

LEVEL_STYLES = {"debug": "dim", "info": "", "warn": "yellow", "error": "red"}
_LONGEST_VALUE = 200  # characters of a result's value


def log(entry: "client.LogEntry") -> str:
    """A log entry: time, level, where it came from, message, metadata."""
    source = f"{entry.source}: " if entry.source else ""
    metadata = f"  {jsontext.dumps(jsontext.Raw(entry.metadata_json))}" if entry.metadata_json else ""
    return f"{_clock(entry)} {entry.level.label:<5} {source}{entry.message}{metadata}"


def result(item: "client.Result") -> str:
    """A result: key and value, a long one cut."""
    value = jsontext.dumps(jsontext.Raw(item.value_json))
    if len(value) > _LONGEST_VALUE:
        value = value[: _LONGEST_VALUE - 1] + "…"
    return f"{_clock(item)} result {item.key} = {value}"


def lifecycle(item: "client.Event") -> str | None:
    """What happened to the run; None for what needs no line."""
    from athanor import client

    match item:
        case client.StateChanged():
            reason = f": {item.reason}" if item.reason else ""
            return f"{_clock(item)} run   {item.state.value}{reason}"
        case client.AttemptStarted():
            return f"{_clock(item)} run   attempt {item.attempt} started on runner {item.runner_id}"
        case client.AttemptEnded():
            failure = f": {words.failure(item.failure)}" if item.failure else ""
            return f"{_clock(item)} run   attempt {item.attempt} {item.outcome.value}{failure}"
        case _:
            return None  # checkpoints among them: one for each step would hide what the step found


def summary(run: "client.Run") -> str:
    """The end of a run in one line, with why when it failed."""
    counts = f"{words.count(run.result_count, 'result')}, {words.count(run.log_count, 'log line')}"
    took = words.elapsed(run)
    text = f"run {run.id} {run.state.value}" + (f" after {took}" if took else "") + f": {counts}"
    if run.failure:
        text += f"\n{words.failure(run.failure)}"
        if run.failure.detail.strip():
            text += f"\n{run.failure.detail.rstrip()}"
    if incomplete := words.incomplete(run):
        text += f"\n{incomplete}"
    if run.cancel_request_time and run.state.value == "COMPLETED":
        text += "\nThe cancellation came too late."
    return text


def _clock(event: "client.Event") -> str:
    return event.time.astimezone().strftime("%H:%M:%S")
