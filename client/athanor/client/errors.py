"""What can go wrong when the orchestrator is called.

    AthanorError
     +- TargetError (ValueError)                    an address is not HOST:PORT
     +- UnavailableError (ConnectionError)          no orchestrator answers there
     +- DeadlineExceededError (TimeoutError)        it did not answer in time
     +- WaitTimeoutError (TimeoutError)             the run has not ended in time; it goes on
     +- ProtocolError                               what it sent breaks the protocol
     +- MissingExtraError (ImportError)             a library is not installed that this needs
     +- RefusedError                                it answered, and the answer is no
         +- InvalidArgumentError                    a field is wrong; `violations` says which and why
         |   +- ConfigurationInvalidError           the configuration does not fit the experiment
         +- NotFoundError                           there is no such resource
         +- AlreadyExistsError                      the request_id was used for another request
         +- FailedPreconditionError                 the state of the resource forbids it
         |   +- RunTerminalError                    the run has ended
         |   +- RunLiveError                        the run, or a run of the instance, has not ended
         |   +- RunnerConnectedError                the runner is connected
         +- ConflictError                           the resource has changed since it was read
         +- PositionOutOfRangeError                 the run's log does not reach that position
         +- PermissionDeniedError                   the caller may not do that, or is not known
         +- UnimplementedError                      this orchestrator does not have that call
         +- InternalError                           a fault of the orchestrator

A run that failed is no error of a call: see `Run.failure`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


class AthanorError(Exception):
    """Base of everything that this client raises on purpose."""


class TargetError(AthanorError, ValueError):
    """An address of the orchestrator is not of the form HOST:PORT."""


class UnavailableError(AthanorError, ConnectionError):
    """No orchestrator could be reached, or it could not work just now.

    `target` is the address that was tried, or all of them, separated by commas; `reason` is what came back from the
    last one, and `advice` what to do about it.
    """

    def __init__(self, target: str, reason: str, advice: str) -> None:
        super().__init__(f"the orchestrator at {target.replace(',', ' or ')} is not available: {reason}")
        self.target = target
        self.reason = reason
        self.advice = advice
        if advice:
            self.add_note(advice)  # a traceback shows it below the message


class DeadlineExceededError(AthanorError, TimeoutError):
    """No answer came in time. A call that changes something may still have been carried out."""

    def __init__(self, target: str, timeout: float) -> None:
        super().__init__(f"the orchestrator at {target.replace(',', ' or ')} did not answer within {timeout:g} s")
        self.target = target
        self.timeout = timeout  # seconds


class WaitTimeoutError(AthanorError, TimeoutError):
    """The run has not ended within the time that the caller gave it. Only the waiting has ended: the run goes on."""

    def __init__(self, run_id: str, timeout: float) -> None:
        super().__init__(f"run {run_id} has not ended within {timeout:g} s; it goes on")
        self.run_id = run_id
        self.timeout = timeout  # seconds


class ProtocolError(AthanorError):
    """What the orchestrator sent breaks the protocol; a fault of it, or of something on the way."""


class MissingExtraError(AthanorError, ImportError):
    """A library is not installed that this needs; `extra` names the extra of `athanor` that brings it."""

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(
            f"{library} is not installed: pip install {library.lower()} (Athanor's extra {extra!r})", name=library
        )
        self.extra = extra


@dataclass(frozen=True)
class Violation:
    """One thing that is wrong: where and what.

    `field` is the path of the field in the request. In a configuration it goes on with the JSON Pointer to the value:
    `instance.configuration_json/model_pairs/0/model_a`; `pointer` is that part alone.
    """

    field: str
    description: str

    @property
    def pointer(self) -> str:
        """The JSON Pointer inside the document, for example `/model_pairs/0/model_a`; empty when there is none."""
        _, slash, rest = self.field.partition("/")
        return slash + rest


class RefusedError(AthanorError):
    """The orchestrator answered with an error.

    `code` is the name of the gRPC status (`NOT_FOUND`), `reason` that of `athanor.v1.ErrorReason` without its prefix
    (`RUN_LIVE`; empty when the answer has none), `metadata` the facts that belong to the reason.
    """

    def __init__(self, message: str, *, code: str = "", reason: str = "", metadata: Mapping[str, str] | None = None):
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.metadata: Mapping[str, str] = dict(metadata or {})


class InvalidArgumentError(RefusedError):
    """One or more fields of the request are wrong; every one of them is in `violations`."""

    def __init__(
        self,
        message: str,
        *,
        violations: Sequence[Violation] = (),
        code: str = "INVALID_ARGUMENT",
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
    ):
        super().__init__(message, code=code, reason=reason, metadata=metadata)
        self.violations = tuple(violations)


class ConfigurationInvalidError(InvalidArgumentError):
    """The configuration does not fit the experiment's schema; every violation is in `violations`."""

    @property
    def experiment(self) -> str:
        """Name of the experiment."""
        return self.metadata.get("experiment", "")


class NotFoundError(RefusedError):
    """There is no such resource."""

    @property
    def resource(self) -> str:
        """Which sort of resource: `experiment`, `instance`, `run` or `runner`."""
        return self.metadata.get("resource", "")

    @property
    def id(self) -> str:
        """The id, or the name, that was asked for."""
        return self.metadata.get("id", "")


class AlreadyExistsError(RefusedError):
    """The request_id belongs to another request."""


class FailedPreconditionError(RefusedError):
    """The state of the resource forbids what was asked for."""


class RunTerminalError(FailedPreconditionError):
    """The run has ended and cannot be changed."""

    @property
    def run_id(self) -> str:
        """The run."""
        return self.metadata.get("run_id", "")

    @property
    def state(self) -> str:
        """The state in which it ended."""
        return self.metadata.get("state", "").removeprefix("RUN_STATE_")


class RunLiveError(FailedPreconditionError):
    """The run, or a run of the instance, has not ended: cancel it and wait for its end first."""

    @property
    def run_id(self) -> str:
        """The run."""
        return self.metadata.get("run_id", "")


class RunnerConnectedError(FailedPreconditionError):
    """The runner is connected, or fell silent only just now: stop it first, or wait."""

    @property
    def runner_id(self) -> str:
        """The runner."""
        return self.metadata.get("runner_id", "")


class ConflictError(RefusedError):
    """The resource has changed since it was read: read it again."""

    @property
    def etag(self) -> str:
        """The current etag."""
        return self.metadata.get("etag", "")


class PositionOutOfRangeError(RefusedError):
    """Events at this position have been removed, or are not there yet."""

    @property
    def first_sequence(self) -> int:
        """Sequence of the oldest event that is there."""
        return int(self.metadata.get("first_sequence", "0"))

    @property
    def last_sequence(self) -> int:
        """Sequence of the newest event that is there."""
        return int(self.metadata.get("last_sequence", "0"))


class PermissionDeniedError(RefusedError):
    """The caller may not do that, or did not say who it is."""


class UnimplementedError(RefusedError):
    """The orchestrator does not have this call; it may be of an older version."""


class InternalError(RefusedError):
    """A fault of the orchestrator; its log has the details."""
