"""From the status of a call to the exception that says it: the one table of this client."""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2  # pyright: ignore[reportMissingTypeStubs]

from athanor.client import _channel, errors

_DETAILS = "grpc-status-details-bin"
_DOMAIN = "athanor"


@dataclass(frozen=True)
class Answer:
    """What a call that failed came back with."""

    code: grpc.StatusCode
    message: str
    reason: str = ""  # of google.rpc.ErrorInfo in the domain `athanor`: the orchestrator's own word
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    violations: tuple[errors.Violation, ...] = ()
    retry_after: float | None = None  # seconds

    @property
    def may_pass(self) -> bool:
        """Whether the same call may succeed in a moment."""
        return self.code is grpc.StatusCode.UNAVAILABLE


def read(error: grpc.RpcError) -> Answer:
    """Take an error of gRPC apart. Details that cannot be read are left out: the status is enough to go on."""
    reason, metadata, violations, retry_after = "", dict[str, str](), list[errors.Violation](), None
    with contextlib.suppress(DecodeError):
        for name, value in _details(error):
            match name:
                case "google.rpc.ErrorInfo":
                    info = error_details_pb2.ErrorInfo.FromString(value)
                    if info.domain == _DOMAIN:
                        reason = info.reason.removeprefix("ERROR_REASON_")
                        metadata |= dict(info.metadata)
                case "google.rpc.ResourceInfo":
                    resource = error_details_pb2.ResourceInfo.FromString(value)
                    metadata.setdefault("resource", resource.resource_type)
                    metadata.setdefault("id", resource.resource_name)
                case "google.rpc.BadRequest":
                    request = error_details_pb2.BadRequest.FromString(value)
                    violations += [errors.Violation(item.field, item.description) for item in request.field_violations]
                case "google.rpc.RetryInfo":
                    retry = error_details_pb2.RetryInfo.FromString(value)
                    retry_after = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
                case _:
                    pass
    return Answer(error.code(), error.details() or "", reason, metadata, tuple(violations), retry_after)


def exception(answer: Answer, *, target: str, timeout: float) -> errors.AthanorError:
    """Return the exception for `answer`, which came, or did not come, from `target` within `timeout` seconds."""
    if answer.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return errors.DeadlineExceededError(target, timeout)
    if answer.code is grpc.StatusCode.UNAVAILABLE:
        if answer.reason:  # it is there, and says that it cannot
            return errors.UnavailableError(target, answer.message, "It says that it cannot work just now: try again.")
        return errors.UnavailableError(target, plain(answer.message), _channel.advice(target))

    message = answer.message or answer.code.name.lower().replace("_", " ")
    code, reason, metadata = answer.code.name, answer.reason, answer.metadata
    if answer.code is grpc.StatusCode.INVALID_ARGUMENT:
        invalid = errors.ConfigurationInvalidError if reason == "CONFIGURATION_INVALID" else errors.InvalidArgumentError
        return invalid(message, violations=answer.violations, reason=reason, metadata=metadata)
    make = _BY_REASON.get(reason) or _BY_CODE.get(answer.code, errors.RefusedError)
    return make(message, code=code, reason=reason, metadata=metadata)


def plain(message: str) -> str:
    """Return gRPC's words about a connection as a person would say them, as far as that is known."""
    lower = message.lower()
    for sign, words in _CONNECTION:
        if sign in lower:
            return words
    return message or "the connection broke"


_BY_REASON: dict[str, Callable[..., errors.RefusedError]] = {
    "NOT_FOUND": errors.NotFoundError,
    "RUN_TERMINAL": errors.RunTerminalError,
    "RUN_LIVE": errors.RunLiveError,
    "RUNNER_CONNECTED": errors.RunnerConnectedError,
    "ETAG_MISMATCH": errors.ConflictError,
    "REQUEST_ID_REUSED": errors.AlreadyExistsError,
    "POSITION_OUT_OF_RANGE": errors.PositionOutOfRangeError,
}

_BY_CODE: dict[grpc.StatusCode, Callable[..., errors.RefusedError]] = {
    grpc.StatusCode.NOT_FOUND: errors.NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: errors.AlreadyExistsError,
    grpc.StatusCode.FAILED_PRECONDITION: errors.FailedPreconditionError,
    grpc.StatusCode.ABORTED: errors.ConflictError,
    grpc.StatusCode.OUT_OF_RANGE: errors.PositionOutOfRangeError,
    grpc.StatusCode.PERMISSION_DENIED: errors.PermissionDeniedError,
    grpc.StatusCode.UNAUTHENTICATED: errors.PermissionDeniedError,
    grpc.StatusCode.UNIMPLEMENTED: errors.UnimplementedError,
    grpc.StatusCode.INTERNAL: errors.InternalError,
    grpc.StatusCode.UNKNOWN: errors.InternalError,
    grpc.StatusCode.DATA_LOSS: errors.InternalError,
}

# What gRPC 1.x writes for the commonest troubles, and what they mean.
_CONNECTION = (
    ("connection refused", "connection refused: nothing listens there"),
    ("dns resolution failed", "its host name is not known"),
    ("name or service not known", "its host name is not known"),
    ("no route to host", "no route to that host"),
    ("network is unreachable", "the network is unreachable"),
    ("no such file or directory", "there is no such socket"),
    ("timed out", "no answer to the attempt to connect"),
    ("timeout", "no answer to the attempt to connect"),
    ("connection reset", "the connection was cut"),
    ("socket closed", "the connection was closed"),
    ("ping timeout", "it stopped answering"),
)


def _details(error: grpc.RpcError) -> list[tuple[str, bytes]]:
    """Full name and bytes of each detail."""
    trailing: Iterable[tuple[str, Any]] = cast(Any, error).trailing_metadata() or ()  # its stub calls them no pairs
    for key, value in trailing:
        if key == _DETAILS and isinstance(value, bytes):
            status = status_pb2.Status.FromString(value)
            return [(detail.type_url.rpartition("/")[2], detail.value) for detail in status.details]
    return []
