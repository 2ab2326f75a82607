"""How an attempt ended: one pure function over what is known about it."""

import signal
from dataclasses import dataclass
from enum import Enum, IntEnum

from athanor.experiment.intent import Ended, Intent


class Outcome(IntEnum):
    """How an attempt ended; the numbers of athanor.v1.AttemptOutcome."""

    COMPLETED = 1  # the experiment finished
    FAILED = 2  # it failed
    CANCELLED = 3  # it was stopped on request


class Kind(IntEnum):
    """Why an attempt failed; the numbers of athanor.v1.Failure.Kind."""

    EXCEPTION = 1  # the experiment raised
    REPORTED = 2  # the experiment called fail()
    PROCESS_EXIT = 3  # its process ended without saying how
    OUT_OF_MEMORY = 4  # it, or its machine, ran out of memory
    TIMEOUT = 5  # it ran past its timeout
    CONFIGURATION = 6  # its configuration does not fit the definition
    LAUNCH = 7  # its process could not be started, or its module not be imported
    STORAGE = 8  # its spool could not be written
    RUNNER_STOPPED = 9  # the runner was stopped
    RUNNER_RESTARTED = 10  # the runner crashed and came back
    RUNNER_LOST = 11  # the runner was silent for longer than the policy allows


class StopCause(Enum):
    """Why the runner ended an attempt without being asked to cancel it. The first cause stands."""

    TIMEOUT = Kind.TIMEOUT
    RUNNER_STOPPED = Kind.RUNNER_STOPPED
    RUNNER_LOST = Kind.RUNNER_LOST
    STORAGE = Kind.STORAGE


@dataclass(frozen=True)
class Failure:
    """Why an attempt failed, or what was left of it when it was stopped by force."""

    kind: Kind
    message: str  # one line
    detail: str = ""  # traceback, or the tail of standard error
    exit_status: int | None = None  # 0 to 255, or the negated number of the signal


@dataclass(frozen=True)
class Evidence:
    """All that is known about an attempt of which no process is left."""

    intent: Intent | None = None  # only one that was written in this boot of the machine
    cancel_delivered: bool = False  # the flag was set before the experiment had ended
    stopped_for: StopCause | None = None  # set only when the experiment had not ended before
    restarted: bool = False  # the runner that started it is gone
    exit_status: int | None = None  # of its main process, where this runner saw it end
    killed_by_runner: bool = False  # SIGKILL came from the runner
    memory_kill: bool = False  # the kernel killed something for want of memory while it ran
    launch_error: str = ""  # the process could not be started, and why
    storage_error: str = ""  # its spool is damaged or cannot be written, and why
    stderr_tail: str = ""


@dataclass(frozen=True)
class Ending:
    """How an attempt ended."""

    outcome: Outcome
    failure: Failure | None = None


def how_it_ended(evidence: Evidence) -> Ending:
    """Decides the outcome of an attempt, by the rules of the guarantees."""
    intent = evidence.intent

    if intent is not None and intent.ended is Ended.COMPLETED:
        return Ending(Outcome.COMPLETED)
    if intent is not None and intent.ended is Ended.RETURNED:
        return Ending(Outcome.CANCELLED if intent.cancellation_seen else Outcome.COMPLETED)
    if intent is not None and intent.ended is Ended.CANCELLED:
        return Ending(Outcome.CANCELLED)

    failure = _failure(evidence)
    if evidence.cancel_delivered:
        return Ending(Outcome.CANCELLED, failure)
    return Ending(Outcome.FAILED, failure)


def describe_exit(exit_status: int | None) -> str:
    """An exit status for people, for example `exit status 3` or `signal 11 (SIGSEGV)`."""
    if exit_status is None:
        return "an unknown exit status"
    if exit_status >= 0:
        return f"exit status {exit_status}"
    try:
        return f"signal {-exit_status} ({signal.Signals(-exit_status).name})"
    except ValueError:
        return f"signal {-exit_status}"


def _failure(evidence: Evidence) -> Failure | None:
    if evidence.intent is not None:
        return _failure_of_intent(evidence, evidence.intent)

    if evidence.launch_error:
        return Failure(Kind.LAUNCH, evidence.launch_error, evidence.stderr_tail, evidence.exit_status)
    if evidence.storage_error:
        return Failure(Kind.STORAGE, evidence.storage_error, evidence.stderr_tail, evidence.exit_status)
    if evidence.stopped_for is not None:
        message = _STOPPED[evidence.stopped_for]
        return Failure(Kind(evidence.stopped_for.value), message, evidence.stderr_tail, evidence.exit_status)
    if evidence.restarted:
        message = "the runner ended while the experiment ran, and its process did not survive that"
        return Failure(Kind.RUNNER_RESTARTED, message, evidence.stderr_tail, evidence.exit_status)
    if evidence.exit_status is None and evidence.cancel_delivered:
        return None  # cancelled before a process was started: nothing was stopped by force

    how = describe_exit(evidence.exit_status)
    if evidence.exit_status == -signal.SIGKILL and evidence.memory_kill and not evidence.killed_by_runner:
        return Failure(Kind.OUT_OF_MEMORY, f"killed for want of memory: {how}", evidence.stderr_tail, -signal.SIGKILL)
    if evidence.cancel_delivered:
        message = f"did not stop by itself once cancelled: its process ended with {how}"
    else:
        message = f"the process ended with {how} without reporting an outcome"
    return Failure(Kind.PROCESS_EXIT, message, evidence.stderr_tail, evidence.exit_status)


def _failure_of_intent(evidence: Evidence, intent: Intent) -> Failure:
    def failure(kind: Kind) -> Failure:
        return Failure(kind, intent.message, intent.detail, evidence.exit_status)

    match intent.ended:
        case Ended.FAILED:
            return failure(Kind.REPORTED)
        case Ended.CONFIGURATION:
            return failure(Kind.CONFIGURATION)
        case Ended.LAUNCH:
            return failure(Kind.OUT_OF_MEMORY if intent.out_of_memory else Kind.LAUNCH)
        case Ended.RAISED if intent.out_of_memory:
            return failure(Kind.OUT_OF_MEMORY)
        case Ended.RAISED if evidence.stopped_for is not None:
            # What it raised is how it took the signal; the cause is what the signal was sent for.
            message = f"{_STOPPED[evidence.stopped_for]}; it ended with: {intent.message}"
            return Failure(Kind(evidence.stopped_for.value), message, intent.detail, evidence.exit_status)
        case _:
            return failure(Kind.EXCEPTION)


_STOPPED = {
    StopCause.TIMEOUT: "ran past its timeout",
    StopCause.RUNNER_STOPPED: "the runner was stopped",
    StopCause.RUNNER_LOST: "the runner had no answer from the orchestrator for too long and stopped it by itself",
    StopCause.STORAGE: "its spool cannot be read",
}
