"""What surrounds an experiment while it runs in this process: the same for a run and for a test."""

import sys
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import Any

from athanor.experiment import logs, recorder, wire
from athanor.experiment.assignment import Code
from athanor.experiment.capture import STDERR, STDOUT
from athanor.experiment.configuration import Configuration
from athanor.experiment.context import Level
from athanor.experiment.errors import EndSignal, RunCancelled
from athanor.experiment.recorder import Recorder
from athanor.experiment.streams import OutputStream


def record_start(record: Recorder, runner_id: str, code: Code, configuration: Configuration, restored: int) -> None:
    """Record AttemptStarted, which comes first; `restored` is the sequence of the checkpoint to resume from, or 0."""
    version = wire.code_version(code.digest, code.module, code.distribution, code.git_commit, code.git_dirty)
    record.record(recorder.ATTEMPT_STARTED, wire.attempt_started(runner_id, version, configuration.text, restored))


@contextmanager
def recorded_output(record: Recorder, level: Level) -> Generator[None, None, None]:
    """Record what is printed, logged and warned of meanwhile, unfinished lines included."""
    with ExitStack() as undo:
        replaced = (sys.stdout, sys.stderr)
        for name, descriptor in ((STDOUT, 1), (STDERR, 2)):
            stream = OutputStream(record, name, descriptor)
            undo.callback(setattr, sys, name, getattr(sys, name))
            undo.callback(stream.finish)
            setattr(sys, name, stream)
        undo.callback(logs.install(record, level, (*replaced, sys.__stdout__, sys.__stderr__)))
        undo.callback(setattr, threading, "excepthook", threading.excepthook)
        threading.excepthook = _quiet_about_signals(threading.excepthook)
        yield


def _quiet_about_signals(hook: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """What ends an experiment ends the thread that said so, and is no accident to be reported."""

    def quietly(arguments: Any) -> None:
        if not issubclass(arguments.exc_type, EndSignal | RunCancelled):
            hook(arguments)

    return quietly
