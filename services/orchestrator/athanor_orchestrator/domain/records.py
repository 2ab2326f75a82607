"""The records of the orchestrator: what rows become and what the engine decides over.

Times are integers of microseconds since the epoch, UTC, named `*_us`; `None` means that it has not happened.
Enum numbers are those of the contract in proto/, so they are stored and sent as they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import IntEnum, StrEnum
from typing import NamedTuple


class RunState(IntEnum):
    """Where a run stands; see `run_state` for who may cause which transition."""

    PENDING = 1  # waiting for a runner: new, or between two attempts
    RUNNING = 2  # its AttemptStarted is stored
    COMPLETED = 3  # terminal: the experiment finished and its whole log is here
    FAILED = 4  # terminal
    CANCELLED = 5  # terminal: stopped because cancellation was requested


class AttemptOutcome(IntEnum):
    """How an attempt ended."""

    UNSPECIFIED = 0  # under way
    COMPLETED = 1  # the experiment finished
    FAILED = 2  # it failed
    CANCELLED = 3  # it was stopped on request


class FailureKind(IntEnum):
    """Whose fault it was."""

    EXCEPTION = 1  # the experiment raised
    REPORTED = 2  # the experiment called fail()
    PROCESS_EXIT = 3  # a signal or an exit code without an outcome
    OUT_OF_MEMORY = 4  # it, or its machine, ran out of memory
    TIMEOUT = 5  # it ran past its timeout
    CONFIGURATION = 6  # the configuration does not fit the definition that was to execute it
    LAUNCH = 7  # its process could not be started, or its module not be imported
    STORAGE = 8  # its runner could not write the spool, or its log does not add up
    RUNNER_STOPPED = 9  # an operator stopped its runner
    RUNNER_RESTARTED = 10  # its runner crashed and came back
    RUNNER_LOST = 11  # its runner was silent for too long, was given up by an operator, or lost its spool


class EventKind(IntEnum):
    """What an event is: the field number of its alternative in `RunEvent.event`."""

    STATE_CHANGE = 4
    ATTEMPT_STARTED = 5
    ATTEMPT_ENDED = 6
    LOG = 7
    RESULT = 8
    CHECKPOINT = 9


class Resource(IntEnum):
    """What can be watched as a whole."""

    RUN = 1
    INSTANCE = 2


class ChangeKind(IntEnum):
    """What happened to a resource."""

    STATE = 1  # it was created, or something of it that watches tell of is different
    AFTERMATH = 2  # of a run that may have ended before: its runner confirms that no process is left
    DELETED = 3


class LeaseEnd(StrEnum):
    """Why a lease is over."""

    ENDED = "ended"  # its AttemptEnded, sent by the runner, is stored
    RETURNED = "returned"  # declined, or never taken up: nothing of it is stored
    LOST = "lost"  # the reaper, an operator (ForgetRunner), or a Hello that does not name it, ended it
    BROKEN = "broken"  # what its runner sent broke the append rule
    DELETED = "deleted"  # its run was deleted


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt or a run failed."""

    kind: FailureKind
    message: str
    detail: str = ""
    exit_status: int | None = None  # 0 to 255, or the negated number of the signal


@dataclass(frozen=True, slots=True)
class CodeVersion:
    """Exactly which code a definition or an attempt was made of."""

    digest: str = ""
    module: str = ""
    distribution: str = ""
    git_commit: str = ""
    git_dirty: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """How a run is to be executed. None means not said; what that means for a run is told at each field."""

    timeout: timedelta | None = None  # None in a run: no limit
    cancel_grace_period: timedelta | None = None  # always set in a run, as the next two
    max_attempts: int | None = None
    retry_backoff: timedelta | None = None
    lost_after: timedelta | None = None  # None in a run: the default of each attempt, see `policy.for_attempt`


@dataclass(frozen=True, slots=True)
class Progress:
    """The latest progress of a run."""

    current: int = 0
    total: int = 0  # 0: unknown
    message: str = ""


@dataclass(frozen=True, slots=True)
class Experiment:
    """The newest definition of an experiment, as a runner reported it."""

    name: str
    title: str = ""
    description: str = ""
    configuration_schema_json: str = "{}"
    default_configuration_json: str = "{}"
    code: CodeVersion = field(default_factory=CodeVersion)
    default_policy: Policy = field(default_factory=Policy)
    create_time_us: int = 0
    update_time_us: int = 0
    other_versions: tuple[CodeVersion, ...] = ()  # of other connected runners; derived when read
    available_runner_count: int = 0  # connected runners that have it; derived when read


@dataclass(frozen=True, slots=True)
class DiscoveryError:
    """A module that a runner could not load."""

    module: str
    error: str
    runner_id: str = ""


@dataclass(frozen=True, slots=True)
class Runner:
    """A runner, as it last introduced itself."""

    id: str
    display_name: str = ""
    version: str = ""
    slots: int = 0
    session_number: int = 0
    session_id: str = ""
    connected: bool = False  # its session is live, at whichever orchestrator
    draining: bool = False  # it says itself that it takes no more
    drain_request_time_us: int | None = None  # set while an operator wants it to take no more
    last_seen_us: int = 0
    run_ids: tuple[str, ...] = ()  # runs it holds a live lease of; derived when read
    experiments: tuple[str, ...] = ()  # names; derived when read


@dataclass(frozen=True, slots=True)
class Instance:
    """An experiment with a name and a configuration."""

    id: str
    experiment: str
    name: str
    description: str
    configuration_json: str
    labels: Mapping[str, str]
    etag: str
    create_time_us: int
    update_time_us: int
    run_count: int = 0
    last_run_state: RunState | None = None
    last_run_time_us: int | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at executing a run."""

    number: int
    runner_id: str
    code: CodeVersion
    start_time_us: int | None = None
    end_time_us: int | None = None
    outcome: AttemptOutcome = AttemptOutcome.UNSPECIFIED
    failure: Failure | None = None
    process_gone: bool = False
    log_complete: bool = False
    last_sequence: int = 0


@dataclass(frozen=True, slots=True)
class AttemptAccount:
    """What is kept of an attempt's log beside the log itself; of an attempt under way, what its lease has."""

    number: int
    outcome: AttemptOutcome
    log_complete: bool
    last_sequence: int
    event_count: int | None  # the AttemptEnded included; None: it ended when this was not kept yet
    digest: bytes | None  # chained over all but the AttemptEnded; None as above


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of an instance."""

    id: str
    instance_id: str
    experiment: str
    state: RunState
    configuration_json: str
    policy: Policy
    seed: int
    labels: Mapping[str, str]
    create_time_us: int
    lease_id: str | None = None  # the live lease
    attempt_count: int = 0  # attempts that used one up: those of which something is stored
    attempts: tuple[Attempt, ...] = ()
    next_attempt_time_us: int | None = None
    progress: Progress | None = None
    failure: Failure | None = None
    last_sequence: int = 0
    log_count: int = 0
    result_count: int = 0
    cancel_request_time_us: int | None = None
    cancel_reason: str = ""
    unreachable_since_us: int | None = None
    start_time_us: int | None = None
    end_time_us: int | None = None
    log_incomplete: bool = False  # an attempt has ended whose log is not known to be complete; derived when read


@dataclass(frozen=True, slots=True)
class Lease:
    """One grant of a run to a runner. While it is live only its holder numbers the run's log."""

    id: str
    run_id: str
    runner_id: str
    session_number: int  # of the session that holds it
    attempt: int
    grant_time_us: int
    renew_time_us: int
    expire_time_us: int
    first_sequence: int  # the attempt's first event gets this number
    last_sequence: int  # of the newest stored event of this lease; first_sequence - 1 when there is none
    event_count: int = 0  # events of the attempt that are stored
    digest: bytes = bytes(32)  # chained over them: h = SHA-256(h + bytes)
    end: LeaseEnd | None = None  # None while it is live
    end_time_us: int | None = None
    lost_after: timedelta = timedelta(hours=24)  # as it holds for this attempt; a renewal lasts this long


class Standing(NamedTuple):
    """How a lease and its run stand, as far as storing events under it asks: what is read for each run of a commit."""

    id: str  # of the lease; likewise up to `end`, each as in `Lease`
    run_id: str
    runner_id: str
    session_number: int
    attempt: int
    last_sequence: int
    event_count: int
    digest: bytes
    end: LeaseEnd | None
    current_lease_id: str | None  # the run's live lease: another one, or none, or the run is hidden or gone
    state: RunState  # of the run; likewise what follows, and without meaning where the run is hidden or gone
    run_last_sequence: int
    attempt_count: int
    log_count: int
    result_count: int
    start_time_us: int | None


class Reach(NamedTuple):
    """How far a run got under its lease: what is written on both with the events of a commit."""

    run_id: str
    lease_id: str
    last_sequence: int  # of both
    attempt_count: int  # of the run; likewise the next two
    log_count: int
    result_count: int
    event_count: int  # of the lease; likewise the next one
    digest: bytes


class EventRow(NamedTuple):
    """One event as it is stored: its own bytes, and beside them what is filtered by."""

    sequence: int
    attempt: int
    kind: EventKind
    level: int | None  # of log entries
    key: str | None  # of results
    time_us: int
    payload: bytes  # the serialized RunEvent


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event's row as it is found. The database says so, and nobody has checked it."""

    sequence: int
    attempt: int
    kind: int
    level: int | None
    key: str | None
    time_us: int
    payload: bytes
    checksum: int | None  # None: stored when there was none yet
    is_bytes: bool = True  # False: somebody has put text in the place of bytes


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One result as it is stored for SQL."""

    sequence: int
    attempt: int
    key: str | None  # None: the database refused the text; the event's payload has it
    value_json: str | None  # exactly as recorded; None as above
    time_us: int
    superseded: bool = False


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """What a request_id made."""

    body_hash: bytes
    answer: bytes


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the journal of changes: which resource, and what it is selected by."""

    resource: Resource
    id: str
    kind: ChangeKind
    experiment: str
    labels: Mapping[str, str]
    instance_id: str = ""  # of a run


@dataclass(frozen=True, slots=True)
class ResourceFilter:
    """Selects runs, or instances; what is empty selects everything."""

    experiment: str = ""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    instance_id: str = ""  # of runs


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Selects events; what is not set selects everything."""

    kinds: frozenset[EventKind] = frozenset()
    minimum_level: int = 0
    result_key: str = ""
    text: str = ""
    attempt: int = 0
