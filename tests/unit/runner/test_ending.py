"""How an attempt ended, as a table over what is known."""

import pytest
from athanor.experiment.intent import Ended, Intent
from athanor_runner.ending import Ending, Evidence, Kind, Outcome, StopCause, describe_exit, how_it_ended


def said(ended: Ended, message: str = "", **more: object) -> Intent:
    return Intent(ended=ended, boot_id="b", message=message, **more)  # type: ignore[arg-type]


RAISED = said(Ended.RAISED, "ValueError: no")

TABLE: list[tuple[str, Evidence, Outcome, Kind | None]] = [
    ("returned", Evidence(said(Ended.RETURNED), exit_status=0), Outcome.COMPLETED, None),
    ("completed", Evidence(said(Ended.COMPLETED), exit_status=0), Outcome.COMPLETED, None),
    (
        "completed although cancelled",
        Evidence(said(Ended.COMPLETED), cancel_delivered=True, exit_status=0),
        Outcome.COMPLETED,
        None,
    ),
    (
        "returned with the cancellation unseen",
        Evidence(said(Ended.RETURNED), cancel_delivered=True, exit_status=0),
        Outcome.COMPLETED,
        None,
    ),
    (
        "returned early, the cancellation seen",
        Evidence(said(Ended.RETURNED, cancellation_seen=True), cancel_delivered=True, exit_status=0),
        Outcome.CANCELLED,
        None,
    ),
    ("RunCancelled", Evidence(said(Ended.CANCELLED), cancel_delivered=True), Outcome.CANCELLED, None),
    ("failed", Evidence(said(Ended.FAILED, "no"), exit_status=1), Outcome.FAILED, Kind.REPORTED),
    ("raised", Evidence(RAISED, exit_status=1), Outcome.FAILED, Kind.EXCEPTION),
    ("raised after cancel", Evidence(RAISED, cancel_delivered=True), Outcome.CANCELLED, Kind.EXCEPTION),
    ("failed after cancel", Evidence(said(Ended.FAILED), cancel_delivered=True), Outcome.CANCELLED, Kind.REPORTED),
    (
        "raised when it got the signal of the timeout",
        Evidence(RAISED, stopped_for=StopCause.TIMEOUT, exit_status=1),
        Outcome.FAILED,
        Kind.TIMEOUT,
    ),
    (
        "returned within the time that SIGTERM leaves",
        Evidence(said(Ended.RETURNED), stopped_for=StopCause.TIMEOUT, exit_status=0),
        Outcome.COMPLETED,
        None,
    ),
    (
        "MemoryError",
        Evidence(said(Ended.RAISED, out_of_memory=True), exit_status=1),
        Outcome.FAILED,
        Kind.OUT_OF_MEMORY,
    ),
    ("missing import", Evidence(said(Ended.LAUNCH), exit_status=1), Outcome.FAILED, Kind.LAUNCH),
    ("does not fit", Evidence(said(Ended.CONFIGURATION), exit_status=1), Outcome.FAILED, Kind.CONFIGURATION),
    ("no such interpreter", Evidence(launch_error="no such file"), Outcome.FAILED, Kind.LAUNCH),
    ("os._exit(3)", Evidence(exit_status=3), Outcome.FAILED, Kind.PROCESS_EXIT),
    ("os._exit(0)", Evidence(exit_status=0), Outcome.FAILED, Kind.PROCESS_EXIT),
    ("segfault", Evidence(exit_status=-11), Outcome.FAILED, Kind.PROCESS_EXIT),
    ("killed by somebody", Evidence(exit_status=-9), Outcome.FAILED, Kind.PROCESS_EXIT),
    ("killed by the kernel", Evidence(exit_status=-9, memory_kill=True), Outcome.FAILED, Kind.OUT_OF_MEMORY),
    (
        "killed by the runner while the kernel killed something else",
        Evidence(exit_status=-9, memory_kill=True, killed_by_runner=True, stopped_for=StopCause.TIMEOUT),
        Outcome.FAILED,
        Kind.TIMEOUT,
    ),
    ("segfault while memory was short", Evidence(exit_status=-11, memory_kill=True), Outcome.FAILED, Kind.PROCESS_EXIT),
    ("timeout", Evidence(exit_status=-15, stopped_for=StopCause.TIMEOUT), Outcome.FAILED, Kind.TIMEOUT),
    (
        "runner stopped",
        Evidence(exit_status=-15, stopped_for=StopCause.RUNNER_STOPPED),
        Outcome.FAILED,
        Kind.RUNNER_STOPPED,
    ),
    ("runner lost", Evidence(exit_status=-15, stopped_for=StopCause.RUNNER_LOST), Outcome.FAILED, Kind.RUNNER_LOST),
    ("runner restarted", Evidence(restarted=True), Outcome.FAILED, Kind.RUNNER_RESTARTED),
    ("runner restarted, it had ended", Evidence(said(Ended.RETURNED), restarted=True), Outcome.COMPLETED, None),
    (
        "runner restarted after a cancellation",
        Evidence(restarted=True, cancel_delivered=True),
        Outcome.CANCELLED,
        Kind.RUNNER_RESTARTED,
    ),
    ("SIGTERM after cancel", Evidence(exit_status=-15, cancel_delivered=True), Outcome.CANCELLED, Kind.PROCESS_EXIT),
    ("cancelled before it was started", Evidence(cancel_delivered=True), Outcome.CANCELLED, None),
    (
        "stopped before it was started",
        Evidence(stopped_for=StopCause.RUNNER_STOPPED),
        Outcome.FAILED,
        Kind.RUNNER_STOPPED,
    ),
    ("spool damaged", Evidence(storage_error="gone", exit_status=-15), Outcome.FAILED, Kind.STORAGE),
]  # fmt: skip


@pytest.mark.parametrize(("evidence", "outcome", "kind"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_how_it_ended(evidence: Evidence, outcome: Outcome, kind: Kind | None) -> None:
    ending = how_it_ended(evidence)
    assert ending.outcome is outcome
    assert (ending.failure.kind if ending.failure else None) is kind


def test_a_failure_says_how_the_process_ended_and_keeps_its_last_words() -> None:
    failure = how_it_ended(Evidence(exit_status=-11, stderr_tail="Fatal Python error")).failure
    assert failure is not None
    assert failure.message == "the process ended with signal 11 (SIGSEGV) without reporting an outcome"
    assert (failure.detail, failure.exit_status) == ("Fatal Python error", -11)


def test_an_exception_keeps_its_traceback() -> None:
    evidence = Evidence(said(Ended.RAISED, "ValueError: no", detail="Traceback ..."), exit_status=1)
    failure = how_it_ended(evidence).failure
    assert failure is not None
    assert (failure.message, failure.detail, failure.exit_status) == ("ValueError: no", "Traceback ...", 1)


def test_exit_statuses_for_people() -> None:
    assert [describe_exit(status) for status in (0, 3, -9, -64, None)] == [
        "exit status 0",
        "exit status 3",
        "signal 9 (SIGKILL)",
        "signal 64 (SIGRTMAX)",
        "an unknown exit status",
    ]
    assert describe_exit(-40) == "signal 40"


def test_numbers_are_those_of_the_contract() -> None:
    from athanor.v1 import run_pb2

    assert {kind.name: kind.value for kind in Kind} == {
        name.removeprefix("KIND_"): number for name, number in run_pb2.Failure.Kind.items() if number
    }
    assert {outcome.name: outcome.value for outcome in Outcome} == {
        name.removeprefix("ATTEMPT_OUTCOME_"): number for name, number in run_pb2.AttemptOutcome.items() if number
    }
    assert isinstance(how_it_ended(Evidence(exit_status=1)), Ending)
