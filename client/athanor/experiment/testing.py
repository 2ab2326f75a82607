"""Run an experiment in a test's own process: no services, no files, the same code that records a real run.

def test_it_scores():
    run = run_experiment(my_experiment, {"iterations": 3}, seed=7)

    assert run.outcome == "completed"
    assert run.results["score"] == [0.9]
"""

import inspect
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import nullcontext, suppress
from contextvars import copy_context
from copy import deepcopy
from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING, Any, Literal

from athanor.experiment import configuration, jsontext, names, wire
from athanor.experiment.assignment import Code
from athanor.experiment.configuration import Configuration, ConfigurationError
from athanor.experiment.context import InstanceInfo, Level, RunContext, RunInfo
from athanor.experiment.definition import Definition, definition_of
from athanor.experiment.errors import DefinitionError
from athanor.experiment.frame import Ending, run_to_end
from athanor.experiment.intent import Ended
from athanor.experiment.recorder import Recorder
from athanor.experiment.running import record_start, recorded_output
from athanor.experiment.standins import Control, Killed, MemorySpool, RecordedProgress

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = [
    "run_experiment",
    "RecordedRun",
    "RecordedEvent",
    "RecordedLog",
    "RecordedProgress",
    "RecordedFailure",
    "ConfigurationError",
]

_LEVELS: dict[int, Level] = {10: "debug", 20: "info", 30: "warn", 40: "error"}
_KINDS = {
    wire.ATTEMPT_STARTED: "attempt_started",
    wire.LOG: "log",
    wire.RESULT: "result",
    wire.CHECKPOINT: "checkpoint",
}


@dataclass(frozen=True, slots=True)
class RecordedLog:
    """A log entry."""

    level: Level
    message: str
    metadata: dict[str, Any]  # empty when there is none
    source: str  # empty for the experiment's own calls, else `stdout`, `stderr` or the logger's name


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """One event, in the order in which they were recorded."""

    sequence: int  # from 1, over all attempts
    kind: str  # `attempt_started`, `log`, `result` or `checkpoint`
    time_ns: int  # nanoseconds since the epoch
    log: RecordedLog | None = None
    key: str = ""  # of a result
    value: Any = None  # of a result or checkpoint
    data: bytes = b""  # the event's own bytes, an `athanor.v1.RunEvent`


@dataclass(frozen=True, slots=True)
class RecordedFailure:
    """Why it failed."""

    kind: Literal["exception", "reported", "out_of_memory", "process_exit"]
    message: str
    detail: str  # the traceback, if there is one


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """What an experiment recorded in one attempt, and how that ended."""

    outcome: Literal["completed", "failed", "cancelled"]
    failure: RecordedFailure | None
    configuration: dict[str, Any]  # as the experiment saw it
    events: list[RecordedEvent]
    progress: RecordedProgress | None
    attempt: int = 1
    restored_sequence: int = 0  # of the checkpoint from which it went on; 0: from the beginning
    earlier: "RecordedRun | None" = None  # the attempt before

    @property
    def logs(self) -> list[RecordedLog]:
        """Its log entries, in order."""
        return [event.log for event in self.events if event.log is not None]

    @property
    def messages(self) -> list[str]:
        """The texts of its log entries, in order."""
        return [entry.message for entry in self.logs]

    @property
    def results(self) -> dict[str, list[Any]]:
        """Its results by key, each with every value in the order in which they were recorded."""
        return _by_key(self.events)

    @property
    def standing_results(self) -> dict[str, list[Any]]:
        """The results of the whole run, as `results` has those of this attempt.

        What earlier attempts recorded after the checkpoint from which a later one went on does not count any more.
        """
        return _by_key(self._standing())

    @property
    def checkpoints(self) -> list[Any]:
        """The states that it saved, in order."""
        return [event.value for event in self.events if event.kind == "checkpoint"]

    def _standing(self) -> list[RecordedEvent]:
        before = [] if self.earlier is None else self.earlier._standing()
        return [*(event for event in before if event.sequence <= self.restored_sequence), *self.events]

    def _newest_checkpoint(self) -> RecordedEvent | None:
        for event in reversed(self.events):
            if event.kind == "checkpoint":
                return event
        return None if self.earlier is None else self.earlier._newest_checkpoint()


def run_experiment(
    experiment: Callable[..., Any],
    config: "Mapping[str, Any] | BaseModel | None" = None,
    *,
    seed: int = 0,
    attempt: int = 1,
    restored: Any = None,
    after: RecordedRun | None = None,
    kill_after: int | None = None,
    cancel_after: int | None = None,
    cancel_reason: str = "",
    capture: bool = False,
) -> RecordedRun:
    """Run an experiment to its end, one attempt at it, and hand back what it recorded.

    It runs in the calling thread. Where an event loop runs already, as in a notebook, one that is `async def` is
    awaited in a thread of its own, with the caller's context variables, while that loop waits.

    Args:
        experiment: a function that is decorated with `experiment`. config: its configuration as a model or a dict; None
        for the defaults. seed: the run's seed. attempt: number of the attempt. restored: what `ctx.restored` is to be.
        after: the attempt before; this one is the next, and goes on from the newest checkpoint that there is. Give the
        same configuration and seed. kill_after: end it as if its process were killed once the experiment has recorded
        this many events. cancel_after: request cancellation once it has recorded this many; 0 before it starts.
        cancel_reason: what is given with the request. capture: also record what is printed, logged and warned of, as in
        a real run; else that goes where it always does.

    Raises DefinitionError for what is no experiment, or takes a model that has no JSON Schema, ConfigurationError when
    the configuration does not fit, ValueError for `after` together with `attempt` or `restored`. What the experiment
    raises is in `failure`.

    A name that no field has does not fit, as in a real run. Values are read as pydantic does, which is less strict than
    the orchestrator: it takes "0.1" for a number, and the orchestrator does not.
    """
    definition = definition_of(experiment)
    if definition is None:
        raise DefinitionError(f"{experiment!r} is no experiment; decorate it with @experiment")
    fitted = _configuration(definition, config)

    checkpoint = None
    if after is not None:
        if attempt != 1 or restored is not None:
            raise ValueError("`after` says which attempt this is and what is restored; leave out both")
        attempt, checkpoint = after.attempt + 1, after._newest_checkpoint()  # pyright: ignore[reportPrivateUsage]
        # A copy: what the experiment changes in its own is not changed in what was saved.
        restored = None if checkpoint is None else deepcopy(checkpoint.value)
    restored_sequence = 0 if checkpoint is None else checkpoint.sequence

    control = Control(cancel_reason)
    spool = MemorySpool(
        1 if after is None else after.events[-1].sequence + 1,
        # AttemptStarted is not the experiment's own.
        after=None if cancel_after is None else cancel_after + 1,
        then=control.cancel,
        most=None if kill_after is None else kill_after + 1,
    )
    record = Recorder(spool, attempt)
    code = Code(module=f"{definition.module}:{definition.function.__qualname__}")
    seen, ending = False, Ending(Ended.RETURNED)
    with suppress(Killed):
        record_start(record, "", code, fitted, restored_sequence)
        context: RunContext[Any] = RunContext(
            record,
            control,
            config=fitted.config,
            configuration=fitted.plain,
            run=RunInfo("test-run", attempt, max_attempts=max(attempt, definition.max_attempts or 1)),
            instance=InstanceInfo("test-instance", "test", definition.name),
            seed=seed,
            restored=restored,
        )
        with recorded_output(record, definition.log_level) if capture else nullcontext():
            ending = run_to_end(_beside_a_loop(definition.function), context)
        record.end()
        seen = context.cancellation_seen
    if spool.killed:
        outcome, failure = "failed", RecordedFailure("process_exit", f"killed after {kill_after} events", "")
    else:
        outcome, failure = _outcome(ending, control.cancelled, seen)
    events = [_read(data) for data in spool.events]
    return RecordedRun(
        outcome, failure, fitted.plain, events, control.progress, attempt, restored_sequence, earlier=after
    )


def _beside_a_loop(function: Callable[..., Any]) -> Callable[[RunContext[Any]], Any]:
    """Have what it returns awaited elsewhere when the calling thread has a loop that runs: it cannot have two."""

    def call(context: RunContext[Any]) -> Any:
        returned = function(context)
        if not inspect.isawaitable(returned):
            return returned
        import asyncio  # many experiments do without

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return returned
        return _await_in_a_thread(returned)

    return call


def _await_in_a_thread(returned: Awaitable[Any]) -> None:
    """Await it in a thread of its own. An interrupt cancels it and is raised once it has ended, as by `asyncio.run`."""
    import asyncio
    from concurrent.futures import Future

    ended: Future[None] = Future()
    task: asyncio.Task[Any] | None = None
    interrupted = False

    async def awaited() -> None:
        nonlocal task
        task = asyncio.current_task()
        if interrupted and task is not None:
            task.cancel()
        await returned

    def run() -> None:
        try:
            asyncio.run(awaited())
        except BaseException as error:  # noqa: BLE001 - raised by `result`
            ended.set_exception(error)
        else:
            ended.set_result(None)

    try:
        Thread(target=copy_context().run, args=(run,), daemon=True).start()
        ended.result()
    except KeyboardInterrupt:
        interrupted = True
        if task is not None:
            with suppress(RuntimeError):  # its loop is closed: it has ended, maybe by raising this itself
                task.get_loop().call_soon_threadsafe(task.cancel)
        ended.exception()
        raise


def _by_key(events: Iterable[RecordedEvent]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for event in events:
        if event.kind == "result":
            found.setdefault(event.key, []).append(event.value)
    return found


def _configuration(definition: Definition, config: "Mapping[str, Any] | BaseModel | None") -> Configuration:
    if config is None or isinstance(config, Mapping):
        text = jsontext.encode(dict(config or {}), "config").decode()
        try:
            schema = configuration.schema(definition.config_type)
        except Exception as error:  # the author's model may do anything
            told = str(error).partition("\n")[0]
            raise DefinitionError(f"the configuration of {definition.name!r} cannot be described: {told}") from error
        if unknown := names.unknown(schema, json.loads(text)):
            raise ConfigurationError("; ".join(map(str, unknown)))
        return configuration.read(definition.config_type, text)
    if definition.config_type is None or not isinstance(config, definition.config_type):
        raise ConfigurationError(f"{type(config).__name__} is not what experiment {definition.name!r} takes")
    return configuration.from_model(config)


def _outcome(
    ending: Ending, cancelled: bool, seen: bool
) -> tuple[Literal["completed", "failed", "cancelled"], RecordedFailure | None]:
    """What a runner makes of an experiment's end in the cases that there are without one."""
    match ending.ended:
        case Ended.COMPLETED:
            return "completed", None
        case Ended.RETURNED:
            return ("cancelled" if seen else "completed"), None
        case Ended.CANCELLED:
            return "cancelled", None
        case Ended.FAILED:
            kind = "reported"
        case _:
            kind = "out_of_memory" if ending.out_of_memory else "exception"
    return ("cancelled" if cancelled else "failed"), RecordedFailure(kind, ending.message, ending.detail)


def _read(data: bytes) -> RecordedEvent:
    event = dict(wire.read_fields(data))
    (kind,) = (number for number in _KINDS if number in event)
    when = dict(wire.read_fields(_bytes(event[3])))
    body = dict(wire.read_fields(_bytes(event[kind])))
    texts = {number: value.decode() for number, value in body.items() if isinstance(value, bytes)}
    return RecordedEvent(
        sequence=_integer(event[1]),
        kind=_KINDS[kind],
        time_ns=_integer(when.get(1, 0)) * 1_000_000_000 + _integer(when.get(2, 0)),
        log=RecordedLog(_LEVELS[_integer(body[1])], texts.get(2, ""), json.loads(texts.get(3, "{}")), texts.get(4, ""))
        if kind == wire.LOG
        else None,
        key=texts.get(1, "") if kind == wire.RESULT else "",
        value=json.loads(texts[2 if kind == wire.RESULT else 1]) if kind in (wire.RESULT, wire.CHECKPOINT) else None,
        data=data,
    )


def _bytes(value: int | bytes) -> bytes:
    return value if isinstance(value, bytes) else b""


def _integer(value: int | bytes) -> int:
    return value if isinstance(value, int) else 0
