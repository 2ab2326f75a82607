"""The resources of Athanor as plain records.

Times are aware datetimes in UTC, durations are timedeltas. A JSON document is kept as its exact text in an attribute
that ends in `_json`; the attribute of the same name without that ending gives it as Python objects.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from athanor.client import _json
from athanor.client.enums import AttemptOutcome, FailureKind, LogFaultKind, RunState, Verdict
from athanor.client.errors import Violation


@dataclass(frozen=True)
class CodeVersion:
    """Exactly which code a definition, or an attempt, was made of."""

    digest: str = ""  # SHA-256 (hex) over the source files of the experiment's own package
    module: str = ""  # import path of the definition, `package.module:name`
    distribution: str = ""  # installed distribution and its version; empty when loaded from a folder
    git_commit: str = ""  # commit of the working tree it came from; empty outside a repository
    git_dirty: bool = False  # that working tree differed from the commit


@dataclass(frozen=True)
class RunPolicy:
    """How a run is to be executed.

    A field that is None takes the experiment's own value, then the server's default. In a run every field is set,
    but for `timeout`: None there means no limit.
    """

    timeout: timedelta | None = None  # end the attempt after this long
    cancel_grace_period: timedelta | None = None  # time to stop by itself once asked, before SIGTERM
    max_attempts: int | None = None  # how many attempts in all
    retry_backoff: timedelta | None = None  # before the second attempt; doubles for each further one
    lost_after: timedelta | None = None  # give a silent runner up after this long


@dataclass(frozen=True)
class ExperimentRecord:
    """A definition written in code, as the runners that can execute it report it."""

    name: str
    title: str
    description: str
    configuration_schema_json: str = "{}"
    default_configuration_json: str = "{}"
    code: CodeVersion = CodeVersion()  # behind the newest definition
    other_versions: tuple[CodeVersion, ...] = ()  # of other connected runners; not empty: the fleet is mixed
    default_policy: RunPolicy = RunPolicy()  # what its author asks for
    available_runner_count: int = 0  # connected runners that have it; 0: a run would wait
    create_time: datetime | None = None  # when a runner first reported it
    update_time: datetime | None = None  # when the definition last changed

    @cached_property
    def configuration_schema(self) -> dict[str, Any]:
        """JSON Schema (draft 2020-12) that every configuration satisfies."""
        return _json.parse(self.configuration_schema_json or "{}")

    @cached_property
    def default_configuration(self) -> dict[str, Any]:
        """The configuration made of defaults alone; values without a default are left out."""
        return _json.parse(self.default_configuration_json or "{}")


@dataclass(frozen=True)
class DiscoveryError:
    """A module that a connected runner could not load."""

    runner_id: str
    module: str
    error: str  # the traceback


@dataclass(frozen=True)
class Validation:
    """What the orchestrator says about a configuration."""

    violations: tuple[Violation, ...]  # empty: it is valid; `field` is the JSON Pointer
    configuration_json: str = ""  # with defaults filled in; empty when there are violations

    @property
    def valid(self) -> bool:
        """Whether the configuration fits the experiment."""
        return not self.violations

    @cached_property
    def configuration(self) -> dict[str, Any] | None:
        """The configuration with defaults filled in; None when there are violations."""
        return _json.parse(self.configuration_json) if self.configuration_json else None


@dataclass(frozen=True)
class InstanceRecord:
    """An experiment with a name and a configuration, ready to be run any number of times."""

    id: str
    experiment: str  # name of the experiment
    name: str
    description: str = ""
    configuration_json: str = "{}"
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    etag: str = ""  # changes whenever a person's field is written
    create_time: datetime | None = None
    update_time: datetime | None = None
    run_count: int = 0
    last_run_state: RunState | None = None  # None: it has never been run
    last_run_time: datetime | None = None  # when its newest run was created

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """The configuration, the schema's defaults filled in."""
        return _json.parse(self.configuration_json or "{}")

    def _repr_html_(self) -> str:
        from athanor.client import notebook

        return notebook.instance_html(self)


@dataclass(frozen=True)
class Failure:
    """Why a run, or an attempt, failed."""

    kind: FailureKind
    message: str  # one line
    detail: str = ""  # traceback, or the tail of standard error
    exit_status: int | None = None  # 0 to 255, or the negated number of the signal; None: not known


@dataclass(frozen=True)
class Progress:
    """The latest progress of a run."""

    current: int = 0  # units done
    total: int | None = None  # units in all; None: not known
    message: str = ""


@dataclass(frozen=True)
class Attempt:
    """One try at executing a run."""

    number: int  # from 1
    runner_id: str
    code: CodeVersion = CodeVersion()
    start_time: datetime | None = None
    end_time: datetime | None = None  # None: under way
    outcome: AttemptOutcome | None = None  # None: under way
    failure: Failure | None = None
    process_gone: bool = False  # its runner has confirmed that no process of it is left
    log_complete: bool = False  # all that it recorded is known to be in the log
    last_sequence: int = 0  # of its last event in the log


@dataclass(frozen=True)
class RunRecord:
    """One execution of an instance."""

    id: str
    instance_id: str
    experiment: str  # name of the experiment
    state: RunState
    configuration_json: str = ""  # empty when the run was listed without it
    policy: RunPolicy = RunPolicy()
    seed: int = 0
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    attempts: tuple[Attempt, ...] = ()  # oldest first; left out when the run was listed without them
    next_attempt_time: datetime | None = None  # set while waiting between attempts
    progress: Progress | None = None
    failure: Failure | None = None
    last_sequence: int = 0  # of the newest event in the log
    log_count: int = 0
    result_count: int = 0  # of results that stand
    cancel_request_time: datetime | None = None  # a request, not a state: the run may still complete
    cancel_reason: str = ""
    unreachable_since: datetime | None = None  # set while its runner is silent
    create_time: datetime | None = None
    start_time: datetime | None = None  # of the first attempt
    end_time: datetime | None = None
    log_incomplete: bool = False  # an attempt has ended whose log is not known to be complete

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """The configuration it executes with. Raises LookupError when the run was listed without it."""
        if not self.configuration_json:
            raise LookupError(f"run {self.id} was listed without its configuration: refresh it, or list with full=True")
        return _json.parse(self.configuration_json)

    @property
    def ended(self) -> bool:
        """Whether it is in a terminal state."""
        return self.state.is_terminal

    @property
    def duration(self) -> timedelta | None:
        """From its first start to its end; None unless both are known."""
        return self.end_time - self.start_time if self.start_time and self.end_time else None

    def _repr_html_(self) -> str:
        from athanor.client import notebook

        return notebook.run_html(self)


@dataclass(frozen=True)
class AttemptFinding:
    """What a verification found of one attempt's part of a log."""

    number: int
    verdict: Verdict
    event_count: int = 0  # of its events that were read
    first_sequence: int = 0  # of them; 0 when there is none
    last_sequence: int = 0
    digest: bytes = b""  # made anew over them, AttemptEnded left out
    log_complete: bool = False  # what was found when the attempt ended
    detail: str = ""  # why it is INCOMPLETE, and how far it reaches


@dataclass(frozen=True)
class LogFault:
    """Something that is wrong with a log."""

    kind: LogFaultKind
    first_sequence: int  # 0 for both: the log as a whole
    last_sequence: int
    attempt: int = 0  # 0: none, or not known
    detail: str = ""


@dataclass(frozen=True)
class Verification:
    """The certificate of a run's log, from its beginning to `last_sequence`."""

    run_id: str
    verdict: Verdict
    last_sequence: int  # where the log ended when the verification began
    event_count: int  # events that were read
    attempts: tuple[AttemptFinding, ...] = ()
    faults: tuple[LogFault, ...] = ()  # those that name events first, in their order
    more_fault_count: int = 0  # beyond those in `faults`

    @property
    def intact(self) -> bool:
        """Whether everything is there that can be by now: COMPLETE, or UNDER_WAY."""
        return self.verdict in (Verdict.COMPLETE, Verdict.UNDER_WAY)


@dataclass(frozen=True)
class OrchestratorRecord:
    """The orchestrator that answered."""

    version: str  # of its software
    database: str  # what keeps its data: SQLite, PostgreSQL


@dataclass(frozen=True)
class RunnerRecord:
    """A service that executes runs."""

    id: str
    display_name: str = ""
    connected: bool = False
    draining: bool = False  # takes no new runs
    slots: int = 0  # how many runs it executes at once
    run_ids: tuple[str, ...] = ()  # runs it holds
    experiments: tuple[str, ...] = ()  # names of what it can execute
    version: str = ""
    last_seen_time: datetime | None = None
