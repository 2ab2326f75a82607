"""What can go wrong in a call, each a class with the facts that its answer carries.

`rpc/errors.py` holds the one table that turns them into status codes and google.rpc details; nothing else does.

    AthanorError
     +- InvalidFields            a field of the request is wrong
     +- ConfigurationInvalid     the configuration does not fit the experiment's schema
     +- PageTokenInvalid         the token is not of this listing
     +- NotFound
     +- RunTerminal, RunLive     the run's state forbids it
     +- EtagMismatch
     +- RequestIdReused
     +- PositionOutOfRange
     +- SessionSuperseded        to runners
     +- DatabaseFellBack         to runners: what they were told is settled anew by their next Hello
     +- RunnerConnected
     +- WatchOutrun              the watcher was too slow, or the database went back: it begins again
     +- Stopping                 the orchestrator goes away; another one, or the next one, goes on
     +- StorageUnavailable       the database cannot be reached or written
     +- StorageInUse             at start: another orchestrator has the SQLite file
     +- StorageIncompatible      at start: the database is not one that this version can serve
"""

from collections.abc import Sequence
from dataclasses import dataclass

from athanor_orchestrator.domain.records import RunState


class AthanorError(Exception):
    """Base of what a caller is told. Anything else that escapes is a bug."""


@dataclass(frozen=True)
class Violation:
    """One thing that is wrong: where (field path, or JSON Pointer in a configuration) and what."""

    field: str
    description: str


class InvalidFields(AthanorError):
    """One or more fields of the request are wrong."""

    def __init__(self, *violations: Violation) -> None:
        super().__init__("; ".join(f"{v.field}: {v.description}" for v in violations))
        self.violations = violations


class ConfigurationInvalid(AthanorError):
    """A configuration breaks its schema; every violation at once, `field` being a JSON Pointer."""

    def __init__(self, experiment: str, violations: Sequence[Violation]) -> None:
        shown = "; ".join(f"{v.field or 'it'}: {v.description}" for v in violations[:3])
        more = f"; and {len(violations) - 3} more" if len(violations) > 3 else ""
        super().__init__(f"the configuration does not fit experiment {experiment!r}: {shown}{more}")
        self.experiment = experiment
        self.violations = tuple(violations)


class PageTokenInvalid(AthanorError):
    """The page token was not made by this listing with these filters."""

    def __init__(self) -> None:
        super().__init__("page_token is not of this listing; start again without it")


class NotFound(AthanorError):
    """There is no such resource. `resource` is `experiment`, `instance`, `run` or `runner`."""

    def __init__(self, resource: str, id: str) -> None:
        super().__init__(f"there is no {resource} {id!r}")
        self.resource = resource
        self.id = id


class RunTerminal(AthanorError):
    """The run has ended and cannot be changed."""

    def __init__(self, run_id: str, state: RunState) -> None:
        super().__init__(f"run {run_id} is {state.name}")
        self.run_id = run_id
        self.state = state


class RunLive(AthanorError):
    """The run, or a run of the instance, has not ended."""

    def __init__(self, run_id: str, state: RunState) -> None:
        super().__init__(f"run {run_id} is {state.name}; cancel it and wait for its end first")
        self.run_id = run_id
        self.state = state


class EtagMismatch(AthanorError):
    """The resource has changed since it was read."""

    def __init__(self, etag: str) -> None:
        super().__init__("the resource has changed since it was read; read it again")
        self.etag = etag  # the current one


class RequestIdReused(AthanorError):
    """The request_id belongs to another request."""

    def __init__(self, request_id: str) -> None:
        super().__init__(f"request_id {request_id!r} was used for another request")
        self.request_id = request_id


class PositionOutOfRange(AthanorError):
    """The position is beyond the log."""

    def __init__(self, run_id: str, first_sequence: int, last_sequence: int) -> None:
        super().__init__(f"the log of run {run_id} reaches from {first_sequence} to {last_sequence}")
        self.run_id = run_id
        self.first_sequence = first_sequence
        self.last_sequence = last_sequence


class SessionSuperseded(AthanorError):
    """A newer session of the same runner exists."""

    def __init__(self, session_id: str) -> None:
        super().__init__("a newer session of this runner exists; reconnect")
        self.session_id = session_id


class RunnerConnected(AthanorError):
    """The runner is connected, and was heard from `silent_s` seconds ago."""

    def __init__(self, runner_id: str, silent_s: float, connected_for_s: float) -> None:
        super().__init__(
            f"runner {runner_id} is connected: it was heard from {max(silent_s, 0):.0f} s ago, and counts as connected "
            f"until it has been silent for {connected_for_s:g} s or said goodbye; stop it first, or wait"
        )
        self.runner_id = runner_id


class WatchOutrun(AthanorError):
    """What changed since a watcher of many last read is not known any more: to begin again is the way to go on."""

    def __init__(self) -> None:
        super().__init__("the watch was read too slowly to go on from where it is; begin it again")


class Stopping(AthanorError):
    """The orchestrator is stopping; a stream goes on from its position after `retry_after_s` seconds, at whichever."""

    def __init__(self, retry_after_s: float = 1.0) -> None:
        super().__init__("the orchestrator is stopping; go on from here when it is back")
        self.retry_after_s = retry_after_s


class StorageUnavailable(AthanorError):
    """The database cannot be reached or written; worth another try after `retry_after_s` seconds.

    `maybe_done`: what was asked for may have been done all the same, or may still be.
    """

    def __init__(self, message: str, retry_after_s: float = 1.0, *, maybe_done: bool = False) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.maybe_done = maybe_done


class DatabaseFellBack(AthanorError):
    """The database has lost what this session had committed: an older copy has taken its place in mid-session."""

    def __init__(self) -> None:
        super().__init__("the database fell back to an older copy; introduce yourself again")


class StorageInUse(AthanorError):
    """Another orchestrator has the SQLite file open; PostgreSQL is what several share."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} is in use by another orchestrator; stop it, choose another data folder, or share a PostgreSQL"
        )
        self.path = path


class StorageIncompatible(AthanorError):
    """The address names no database that this version can serve, or one that a newer version has written."""
