"""How experiments end: the table. Each row is driven with real processes by test_endings.py and printed in the docs.

python -m tests.acceptance.endings        write the table into docs/explanation/how-runs-end.md
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from athanor.v1 import run_event_pb2, run_pb2

from tests.support.system import System

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "explanation" / "how-runs-end.md"
BEGIN, END = "<!-- table: begin -->\n", "<!-- table: end -->\n"

Events = Sequence[run_event_pb2.RunEvent]


@dataclass(frozen=True)
class Ending:
    """One way to end, and everything that a user then sees of it."""

    how: str  # for people
    experiment: str
    drive: Callable[[System, "Ending", Path], str]  # start it, do to it what has to be done, return the run's id
    state: str
    failure: str = ""  # its kind
    message: str = ""  # part of the failure's message
    exit_status: int | None = None
    last_line: str = ""  # of the log, as far as it says the same every time
    log_complete: bool | None = True  # None: no attempt was made
    configuration: Mapping[str, Any] = field(default_factory=dict)
    also: Callable[[Events], None] | None = None  # what else has to be in the log


def run_it(system: System, ending: Ending, folder: Path) -> str:
    """Nothing is done to it."""
    return system.start_run(ending.experiment, ending.configuration).id


def cancel_when_it_logged(system: System, ending: Ending, folder: Path) -> str:
    """Cancel once the first log entry is there."""
    run = system.start_run(ending.experiment, ending.configuration)
    while not any(event.HasField("log") for event in system.events(run.id)):
        time.sleep(0.02)
    system.cancel_run(run.id, "no longer needed")
    return run.id


def cancel_without_a_lease(system: System, ending: Ending, folder: Path) -> str:
    """No runner is there to take the run."""
    system.wait_for_experiment(ending.experiment)
    system.runners["runner"].stop()
    try:
        run = system.start_run(ending.experiment, ending.configuration, wait_for_runner=False)
        assert system.cancel_run(run.id).state == run_pb2.RUN_STATE_CANCELLED
    finally:
        system.start_runner()
    return run.id


def cancel_with_a_lease(system: System, ending: Ending, folder: Path) -> str:
    """A runner has taken the run, and its process has not come to the experiment yet."""
    run = system.start_run(ending.experiment, ending.configuration)
    while not system.run_processes():
        time.sleep(0.01)
    assert system.get_run(run.id).state == run_pb2.RUN_STATE_PENDING
    system.cancel_run(run.id)
    return run.id


def cancel_at_the_very_end(system: System, ending: Ending, folder: Path) -> str:
    """Let it return and cancel it in the same millisecond."""
    run = system.start_run(ending.experiment, {"folder": str(folder)})
    while not any(event.HasField("log") for event in system.events(run.id)):
        time.sleep(0.02)

    (folder / "go").touch()
    try:
        system.cancel_run(run.id)
    except grpc.RpcError as error:
        # It has ended already, and the answer says so.
        if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
            raise
    return run.id


def every_printed_line_is_there(events: Events) -> None:
    printed = [event.log for event in events if event.log.source == "stdout"]
    assert [int(entry.message[:7]) for entry in printed] == list(range(1, PRINTED_LINES + 1))
    assert all(len(entry.message) == 99 for entry in printed)


def every_thread_is_in_order(events: Events) -> None:
    numbers: dict[str, list[int]] = {}
    for event in events:
        if "/" in event.log.message:
            thread, number = event.log.message.split("/")
            numbers.setdefault(thread, []).append(int(number))
    assert numbers == {str(thread): list(range(500)) for thread in range(8)}


def the_child_was_refused(events: Events) -> None:
    messages = [event.log.message for event in events]
    assert "from the child" not in messages
    assert "goes on" in [json.loads(event.result.value_json) for event in events if event.HasField("result")]


def it_says_what_was_done_to_stop_it(events: Events) -> None:
    (ended,) = [event.attempt_ended for event in events if event.HasField("attempt_ended")]
    actions = " | ".join(step.action for step in ended.stop_steps)
    assert "SIGTERM" in actions
    assert "SIGKILL" in actions


PRINTED_LINES = 500_000  # of 100 bytes: 50 MB

ENDINGS = (
    Ending("returns", "returns", run_it, "COMPLETED", last_line="about to return"),
    Ending(
        *("raises an exception", "raises", run_it, "FAILED", "EXCEPTION", "this is wrong"),
        exit_status=1,
        last_line="about to raise",
    ),
    Ending(
        *("calls `fail`", "calls_fail", run_it, "FAILED", "REPORTED", "the data make no sense"),
        exit_status=1,
        last_line="about to give up",
    ),
    Ending(
        *("calls `complete`, then raises inside a `finally`", "completes_then_raises", run_it, "FAILED", "EXCEPTION"),
        message="raised while leaving",
        exit_status=1,
        last_line="about to complete",
    ),
    Ending(
        *("calls `os._exit(3)`", "exits", run_it, "FAILED", "PROCESS_EXIT"),
        exit_status=3,
        last_line="about to leave without a word",
    ),
    Ending(
        *("reads address 0 (segmentation fault)", "segfaults", run_it, "FAILED", "PROCESS_EXIT"),
        exit_status=-11,
        last_line="about to read address 0",
    ),
    Ending(
        *("is killed with SIGKILL", "kills_itself", run_it, "FAILED", "PROCESS_EXIT"),
        exit_status=-9,
        last_line="about to be killed",
    ),
    Ending(
        "ignores SIGTERM, as does a grandchild in its own session, and is cancelled",
        *("ignores_sigterm", cancel_when_it_logged, "CANCELLED", "PROCESS_EXIT"),
        exit_status=-9,
        last_line="deaf from here on",
        also=it_says_what_was_done_to_stop_it,
    ),
    Ending(
        *("runs past its timeout", "runs_too_long", run_it, "FAILED", "TIMEOUT"),
        exit_status=-15,
        last_line="one second is not enough",
    ),
    Ending(
        *("prints 50 MB through C stdio, with a spool limit of 8 MiB", "prints_a_lot", run_it, "COMPLETED"),
        last_line=f"{PRINTED_LINES:07d} {'x' * 91}",
        configuration={"lines": PRINTED_LINES},
        also=every_printed_line_is_there,
    ),
    Ending(
        *("logs from 8 threads", "logs_from_threads", run_it, "COMPLETED"),
        last_line="all threads are done",
        also=every_thread_is_in_order,
    ),
    Ending(
        *("forks, and the child tries to log", "forks", run_it, "COMPLETED"),
        last_line="the child was refused: ForkedChildError",
        also=the_child_was_refused,
    ),
    Ending(
        *("imports a missing module while it runs", "imports_nothing_there", run_it, "FAILED", "EXCEPTION"),
        message="there_is_no_such_module",
        exit_status=1,
        last_line="about to import",
    ),
    Ending(
        *("is in a module that imports a missing module", "missing_at_start", run_it, "FAILED", "LAUNCH"),
        message="there_is_no_such_module",
        exit_status=1,
    ),
    Ending(
        "returns early after it saw the cancellation",
        *("returns_when_cancelled", cancel_when_it_logged, "CANCELLED"),
        last_line="seen; leaving early",
    ),
    Ending(
        *("is cancelled while `track` goes around its loop", "waits", cancel_when_it_logged, "CANCELLED"),
        last_line="waiting",
    ),
    Ending(
        *("is cancelled while PENDING, without a lease", "waits", cancel_without_a_lease, "CANCELLED"),
        log_complete=None,
    ),
    Ending(
        *("is cancelled while PENDING, with a lease", "slow_to_import", cancel_with_a_lease, "CANCELLED"),
        last_line="imported at last",
    ),
    Ending(
        "is cancelled within milliseconds of its end",
        *("ends_when_told", cancel_at_the_very_end, "COMPLETED or CANCELLED"),
        last_line="ready",
    ),
)

SIGNALS = {-9: "SIGKILL", -11: "SIGSEGV", -15: "SIGTERM"}


def table() -> str:
    """The table in Markdown."""
    rows = [
        "| An experiment that ... | state | failure | exit status | last log line | processes left | `log_complete` |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for ending in ENDINGS:
        status = "-" if ending.exit_status is None else str(ending.exit_status)
        if ending.exit_status in SIGNALS:
            status += f" ({SIGNALS[ending.exit_status]})"
        line = ending.last_line if len(ending.last_line) <= 40 else ending.last_line[:16] + "..."
        cells = [
            ending.how,
            ending.state,
            f"`KIND_{ending.failure}`" if ending.failure else "-",
            status,
            f"`{line}`" if line else "-",
            "0",
            "no attempt" if ending.log_complete is None else str(ending.log_complete).lower(),
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def printed(page: str) -> str:
    """The table as the page has it."""
    return page.partition(BEGIN)[2].partition(END)[0]


def main() -> None:
    """Write the table into the page."""
    page = PAGE.read_text()
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    PAGE.write_text(head + BEGIN + table() + END + tail)


if __name__ == "__main__":
    main()
