"""`python -m athanor.experiment.execute FOLDER`: one attempt at a run, in a process of its own.

The folder is the attempt's; the runner has put `assignment.json` and `control` into it, and the descriptors 1 and 2 are
its files `stdout` and `stderr`. What is recorded goes into `spool`. When the experiment's function has ended,
`intent.json` says how. The exit status is 0 when it returned, completed or was cancelled, else 1; it matters only where
there is no intent.
"""

import contextlib
import faulthandler
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from athanor.experiment import configuration, loading, provenance
from athanor.experiment.assignment import (
    DOORBELL_VARIABLE,
    RUNNER_VARIABLE,
    TEMPLATE_VARIABLE,
    Assignment,
    Code,
    WhenFull,
)
from athanor.experiment.capture import OutputCapture
from athanor.experiment.configuration import Configuration, ConfigurationError
from athanor.experiment.context import InstanceInfo, RunContext, RunInfo
from athanor.experiment.control import FILE_NAME as CONTROL
from athanor.experiment.control import ControlPage
from athanor.experiment.definition import Definition
from athanor.experiment.frame import Ending, fit_detail, fit_message, run_to_end
from athanor.experiment.intent import Ended, Intent, boot_id
from athanor.experiment.recorder import Recorder
from athanor.experiment.running import record_start, recorded_output
from athanor.experiment.spool import SpoolWriter
from athanor.experiment.spool.room import NO_ROOM

_CANCEL_FILE = "cancel.json"
_GOOD_ENDS = frozenset({Ended.RETURNED, Ended.COMPLETED, Ended.CANCELLED})
_DISK_WAIT_S = 0.2
_PR_SET_PDEATHSIG = 1


def main() -> NoReturn:
    """Execute the attempt of the folder on the command line."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m athanor.experiment.execute FOLDER")
    runner = int(os.environ.pop(RUNNER_VARIABLE, "0"))
    _end_with(runner)
    if TEMPLATE_VARIABLE not in os.environ:
        sys.exit(execute(Path(sys.argv[1])))

    from athanor.experiment import template

    template.serve()  # returns in each process that it forks for a run
    _end_with(runner)
    template.exit_status = execute(Path(sys.argv[1]))
    sys.exit(template.exit_status)


def execute(folder: Path) -> int:
    """Execute the attempt of a folder to its end; answer the exit status."""
    faulthandler.enable(2)
    for stream in (sys.stdout, sys.stderr):  # until the experiment starts these are the plain ones, and go to a file
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]

    assignment = Assignment.read(folder)
    control = _Control(folder)
    writer = SpoolWriter.open(
        folder / "spool",
        assignment.next_sequence,
        segment_bytes=assignment.segment_bytes,
        limit_bytes=assignment.spool_limit_bytes,
        acknowledged=lambda: control.page.acknowledged_bytes,
    )
    sys.argv[1:] = []

    prepared = _prepare(assignment)
    if isinstance(prepared, Ending):
        ending, seen = prepared, False
    else:
        ending, seen = _run(folder, assignment, prepared, writer, control)
    _leave_intent(
        folder,
        writer,
        Intent(
            ended=ending.ended,
            boot_id=boot_id(),
            message=ending.message,
            detail=ending.detail,
            out_of_memory=ending.out_of_memory,
            cancellation_seen=seen,
            last_sequence=writer.position.last_sequence if writer.position.event_count else 0,
        ),
    )
    return 0 if ending.ended in _GOOD_ENDS else 1


class _Prepared(NamedTuple):
    """What is known before anything is recorded."""

    definition: Definition
    code: Code
    configuration: Configuration


def _prepare(assignment: Assignment) -> _Prepared | Ending:
    """Load the experiment and its configuration; an Ending when that cannot be done, and nothing is to be started."""
    loading.prepare_search_path(assignment.search_path)
    try:
        definition = loading.load(assignment.module, assignment.experiment)
        code = _code_as_loaded(assignment.code, definition)
        if code.digest != assignment.code.digest:
            _refuse_other_settings(assignment, definition)
        fitted = configuration.read(definition.config_type, assignment.configuration_json)
    except loading.LoadError as error:
        out_of_memory = isinstance(error.__cause__, MemoryError)
        return Ending(Ended.LAUNCH, fit_message(str(error)), fit_detail(error.detail), out_of_memory)
    except ConfigurationError as error:
        return Ending(Ended.CONFIGURATION, fit_message(str(error)), fit_detail(error.detail))
    return _Prepared(definition, code, fitted)


def _refuse_other_settings(assignment: Assignment, definition: Definition) -> None:
    """Raise ConfigurationError when newer code takes other settings than those that the configuration was made for.

    It was saved a moment ago, and is not described yet. The configuration has the defaults of before, and what the new
    code does not know would be passed over: the run would be of settings that nobody has chosen.
    """
    if not assignment.schema_digest:
        return
    try:
        now = configuration.schema_digest(configuration.schema_text(definition.config_type))
    except Exception as error:  # the author's model may do anything
        raise ConfigurationError(f"the configuration cannot be described: {error}") from error
    if now != assignment.schema_digest:
        raise ConfigurationError(
            "the experiment was saved a moment ago and takes other settings now than those that this configuration "
            "was made with; run it again"
        )


def _code_as_loaded(described: Code, definition: Definition) -> Code:
    """The code that is executed, which may be newer than what was described."""
    files = provenance.source_files(definition.module)
    digest = provenance.digest(files)
    if digest == described.digest:
        return described
    commit, dirty = provenance.git_version(files)
    return Code(digest, described.module, described.distribution, commit, dirty)


def _run(
    folder: Path, assignment: Assignment, prepared: _Prepared, writer: SpoolWriter, control: "_Control"
) -> tuple[Ending, bool]:
    """Record the start, call the experiment; say how it ended, and whether it saw a cancellation."""
    record = Recorder(
        writer,
        assignment.attempt,
        recorded=control.recorded,
        drop=control.note_dropped if assignment.when_spool_full is WhenFull.DROP else None,
    )
    checkpoint = assignment.checkpoint
    record_start(
        record,
        assignment.runner_id,
        prepared.code,
        prepared.configuration,
        0 if checkpoint is None else checkpoint.sequence,
    )
    # What was printed while the module was imported becomes events behind the start.
    record.capture_output(OutputCapture(folder, writer.position))
    context: RunContext[Any] = RunContext(
        record,
        control,
        config=prepared.configuration.config,
        configuration=prepared.configuration.plain,
        run=RunInfo(
            assignment.run_id,
            assignment.attempt,
            assignment.max_attempts,
            assignment.timeout_s,
            assignment.runner_id,
        ),
        instance=InstanceInfo(assignment.instance_id, assignment.instance_name, assignment.experiment),
        seed=assignment.seed,
        restored=None if checkpoint is None else json.loads(checkpoint.state_json),
    )
    process = os.getpid()
    with recorded_output(record, prepared.definition.log_level):
        ending = run_to_end(prepared.definition.function, context)
        if os.getpid() != process:
            _end_forked_child(ending)
    record.end()
    return ending, context.cancellation_seen


def _end_forked_child(ending: Ending) -> NoReturn:
    """A child that the experiment forked has come back out of its function. It has nothing to say about the run."""
    if ending.detail:
        os.write(2, f"in forked child {os.getpid()}: {ending.detail}".encode())
    os._exit(0 if ending.ended in _GOOD_ENDS else 1)


def _leave_intent(folder: Path, writer: SpoolWriter, intent: Intent) -> None:
    """Flush the spool, then say how it ended, however long the disk is full."""
    while True:
        try:
            writer.settle()
            return intent.write(folder)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
        writer.free_reserve()
        time.sleep(_DISK_WAIT_S)


class _Control:
    """The runner, as the run's process sees it."""

    def __init__(self, folder: Path) -> None:
        self.page = ControlPage(folder / CONTROL)
        self._progress_lock = threading.RLock()
        self._cancel_file = folder / _CANCEL_FILE
        self._doorbell = int(os.environ.pop(DOORBELL_VARIABLE, "-1"))
        if self._doorbell >= 0:
            os.set_inheritable(self._doorbell, False)
        self.recorded = self.page.recorded(self._ring)

    @property
    def cancelled(self) -> bool:
        return self.page.cancelled

    def write_progress(self, current: int, total: int, message: bytes) -> None:
        with self._progress_lock:
            self.page.write_progress(current, total, message)

    def note_dropped(self, count: int) -> None:
        self.page.dropped_entries = count

    def cancel_reason(self) -> str:
        try:
            return str(json.loads(self._cancel_file.read_bytes()).get("reason", ""))
        except (OSError, ValueError):
            return ""

    def _ring(self) -> None:
        if self._doorbell >= 0:
            with contextlib.suppress(OSError):  # full, or nobody listens any more: the runner also looks by itself
                os.write(self._doorbell, b"\0")


def _end_with(runner: int) -> None:
    """Be killed when the runner dies. Asked for here, because the runner starts processes by plain exec."""
    if not runner:
        return
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != runner:  # it died before it was asked for
        os._exit(1)


if __name__ == "__main__":
    main()
