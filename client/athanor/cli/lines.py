"""Events of a run as lines for people."""

from typing import TYPE_CHECKING

from athanor.cli import jsontext, paint, shapes, words

if TYPE_CHECKING:
    from athanor import client

LEVEL_STYLES = {"debug": "dim", "info": "", "warn": "yellow", "error": "red"}
_LONGEST_VALUE = 200  # characters of a result's value in a line about it


def log(entry: "client.LogEntry", *, stamp: bool = False, colours: bool = False) -> str:
    """A log entry: time, level, where it came from, message, metadata. `stamp`: the whole of the time, in UTC."""
    source = f"{entry.source}: " if entry.source else ""
    metadata = f"  {jsontext.dumps(jsontext.Raw(entry.metadata_json))}" if entry.metadata_json else ""
    time = shapes.time(entry.time) if stamp else _clock(entry)
    level = entry.level.label
    text = f"{level:<5} {source}{entry.message}{metadata}"
    if not colours:
        return f"{time} {text}"
    style = LEVEL_STYLES[level]
    return f"{paint.painted(str(time), 'dim')} {paint.painted(paint.visible(text), style)}"


def result(item: "client.Result") -> str:
    """A result: key and value; of a long one the beginning, and how much was left out."""
    value = jsontext.dumps(jsontext.Raw(item.value_json))
    if (left := len(value) - _LONGEST_VALUE) > 0:
        value = f"{value[:_LONGEST_VALUE]}… ({words.count(left, 'more character')}: see athanor results)"
    return f"{_clock(item)} result {item.key} = {value}"


def lifecycle(item: "client.Event") -> str | None:
    """What happened to the run; None for what needs no line."""
    from athanor import client

    match item:
        case client.StateChanged():
            reason = f": {item.reason}" if item.reason else ""
            return f"{_clock(item)} run   {item.state.value}{reason}"
        case client.AttemptStarted():
            text = f"{_clock(item)} run   attempt {item.attempt} started on runner {item.runner_id}"
            return text + _resumed(item)
        case client.AttemptEnded():
            failure = f": {words.failure(item.failure)}" if item.failure else ""
            return f"{_clock(item)} run   attempt {item.attempt} {item.outcome.value}{failure}"
        case _:
            return None  # checkpoints among them: one for each step would hide what the step found


def summary(run: "client.RunRecord", *, detail: bool = True) -> str:
    """The end of a run in one line, with why when it failed; `detail`: with its traceback."""
    counts = words.count(run.result_count, "result") + (f", {words.count(run.log_count, 'log line')}" if detail else "")
    took = words.elapsed(run)
    text = f"run {run.id} {run.state.value}" + (f" after {took}" if took else "") + f": {counts}"
    if run.failure:
        text += f"\n{words.failure(run.failure)}"
        if detail and run.failure.detail.strip():
            text += f"\n{run.failure.detail.rstrip()}"
    if incomplete := words.incomplete(run):
        text += f"\n{incomplete}"
    if run.cancel_request_time and run.state.value == "COMPLETED":
        text += "\nThe cancellation came too late."
    return text


def _resumed(item: "client.AttemptStarted") -> str:
    """Where a later attempt goes on, and what of the results that were shown does not count any more."""
    if item.attempt == 1:
        return ""
    if not item.restored_sequence:
        return ", from the beginning: earlier results no longer count"
    return f", from the checkpoint at event {item.restored_sequence}: results behind it no longer count"


def _clock(event: "client.Event") -> str:
    return words.clock(event.time)
