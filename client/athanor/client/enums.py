"""The closed sets of names that resources and events use.

Values are the names of the contract without their prefix, so they can be compared with what other tools show.
`UNKNOWN` stands for a value that a newer orchestrator knows and this client does not.
"""

from enum import IntEnum, StrEnum


class RunState(StrEnum):
    """Where a run stands. `RunState("running")` is one by its name."""

    PENDING = "PENDING"  # waiting for a runner: new, or between two attempts
    RUNNING = "RUNNING"  # a runner has started its process
    COMPLETED = "COMPLETED"  # terminal: the experiment finished, and its whole log is there
    FAILED = "FAILED"  # terminal: see `Run.failure`
    CANCELLED = "CANCELLED"  # terminal: stopped because cancellation was requested
    UNKNOWN = "UNKNOWN"  # not known to this client

    @property
    def is_terminal(self) -> bool:
        """Whether the run has ended; a terminal state never changes."""
        return self in (RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED)

    @classmethod
    def _missing_(cls, value: object) -> "RunState | None":
        if not isinstance(value, str):
            return None
        if value.upper() not in cls.__members__:
            raise ValueError(f"there is no state {value!r}: it is pending, running, completed, failed or cancelled")
        return cls[value.upper()]


class AttemptOutcome(StrEnum):
    """How an attempt ended."""

    COMPLETED = "COMPLETED"  # the experiment finished
    FAILED = "FAILED"  # it failed
    CANCELLED = "CANCELLED"  # it was stopped on request
    UNKNOWN = "UNKNOWN"  # not known to this client


class FailureKind(StrEnum):
    """Whose fault a failure was."""

    EXCEPTION = "EXCEPTION"  # the experiment raised an exception
    REPORTED = "REPORTED"  # the experiment called fail()
    PROCESS_EXIT = "PROCESS_EXIT"  # its process ended without an outcome: a signal, an exit code
    OUT_OF_MEMORY = "OUT_OF_MEMORY"  # it, or its machine, ran out of memory
    TIMEOUT = "TIMEOUT"  # it ran past its timeout
    CONFIGURATION = "CONFIGURATION"  # the configuration does not fit the code that was to execute it
    LAUNCH = "LAUNCH"  # its process could not be started, or its module not be imported
    STORAGE = "STORAGE"  # its runner could not write the spool
    RUNNER_STOPPED = "RUNNER_STOPPED"  # an operator stopped its runner
    RUNNER_RESTARTED = "RUNNER_RESTARTED"  # its runner crashed and came back
    RUNNER_LOST = "RUNNER_LOST"  # its runner was silent for too long, lost its spool, or was given up
    UNKNOWN = "UNKNOWN"  # not known to this client


class Verdict(StrEnum):
    """How a log, or an attempt's part of it, stands."""

    COMPLETE = "COMPLETE"  # all that was recorded is there and unaltered
    INCOMPLETE = "INCOMPLETE"  # what is there is unaltered, but it is not, or not known to be, all that was recorded
    DAMAGED = "DAMAGED"  # events are missing or were altered, or what is kept beside the log does not agree with it
    UNDER_WAY = "UNDER_WAY"  # unaltered so far; more is to come
    UNKNOWN = "UNKNOWN"  # not known to this client


class LogFaultKind(StrEnum):
    """What is wrong with a log."""

    MISSING = "MISSING"  # each event of the range is missing
    ALTERED = "ALTERED"  # each event of the range is not as it was stored
    DIGEST = "DIGEST"  # at least one event of the range is not as it was stored; nothing says which
    SURPLUS = "SURPLUS"  # events are stored in front of the log's beginning or behind its end
    DISAGREEMENT = "DISAGREEMENT"  # what is kept beside the log says otherwise than the log
    UNKNOWN = "UNKNOWN"  # not known to this client


class LogLevel(IntEnum):
    """Severity of a log entry. Levels compare; one that lies between two of these counts as the lower.

    `LogLevel("warn")` is one by its name.
    """

    DEBUG = 10  # internal details
    INFO = 20  # major steps
    WARN = 30  # recoverable trouble
    ERROR = 40  # failures that affect results

    @property
    def label(self) -> str:
        """The name as experiments write it: `debug`, `info`, `warn` or `error`."""
        return self.name.lower()

    @classmethod
    def _missing_(cls, value: object) -> "LogLevel | None":
        if not isinstance(value, str):
            return None
        if value.upper() not in cls.__members__:
            raise ValueError(f"there is no log level {value!r}: it is debug, info, warn or error")
        return cls[value.upper()]


class EventKind(StrEnum):
    """Which events to select."""

    LIFECYCLE = "LIFECYCLE"  # changes of state, attempts that start and end
    LOG = "LOG"  # log entries
    RESULT = "RESULT"  # results
    CHECKPOINT = "CHECKPOINT"  # saved states
