"""The one table from what went wrong to what the caller is told: status code and google.rpc details.

No servicer maps an error of its own. What no row of the table maps is a bug: INTERNAL with an id, and the trace in the
log alone.
"""

import logging
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2  # pyright: ignore[reportMissingTypeStubs]

from athanor_orchestrator.domain import errors
from athanor_orchestrator.domain.errors import AthanorError, Violation
from athanor_orchestrator.engine.instances import CONFIGURATION_FIELD
from athanor_orchestrator.engine.json_text import shorten

logger = logging.getLogger(__name__)

DOMAIN = "athanor"
DETAILS_KEY = "grpc-status-details-bin"

# Message and details travel in the trailers, and a receiver drops the stream from 8 KiB of those on (now and then: the
# limit is a soft one). What does not fit is counted in the last violation; ValidateConfiguration returns all of them.
TRAILER_BYTES = 7000
MESSAGE_CHARACTERS = 300


@dataclass(frozen=True)
class Answer:
    """What a caller is told."""

    code: grpc.StatusCode
    reason: str = ""  # of athanor.v1.ErrorReason, without its prefix; empty: the enum has none for it
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    details: tuple[Message, ...] = ()
    violations: tuple[Violation, ...] = ()  # become google.rpc.BadRequest


Code = grpc.StatusCode


def _invalid_fields(error: errors.InvalidFields) -> Answer:
    return Answer(Code.INVALID_ARGUMENT, "INVALID_FIELD", violations=error.violations)


def _configuration(error: errors.ConfigurationInvalid) -> Answer:
    violations = tuple(Violation(CONFIGURATION_FIELD + v.field, v.description) for v in error.violations)
    metadata = {"experiment": error.experiment}
    return Answer(Code.INVALID_ARGUMENT, "CONFIGURATION_INVALID", metadata, violations=violations)


def _page_token(error: errors.PageTokenInvalid) -> Answer:
    violation = Violation("page_token", "is not of this listing with these filters; start again without it")
    return Answer(Code.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID", violations=(violation,))


def _not_found(error: errors.NotFound) -> Answer:
    info = error_details_pb2.ResourceInfo(
        resource_type=error.resource, resource_name=error.id, description=shorten(str(error), MESSAGE_CHARACTERS)
    )
    return Answer(Code.NOT_FOUND, "NOT_FOUND", {"resource": error.resource, "id": error.id}, (info,))


def _run_terminal(error: errors.RunTerminal) -> Answer:
    metadata = {"run_id": error.run_id, "state": error.state.name}
    return Answer(Code.FAILED_PRECONDITION, "RUN_TERMINAL", metadata)


def _run_live(error: errors.RunLive) -> Answer:
    metadata = {"run_id": error.run_id, "state": error.state.name}
    return Answer(Code.FAILED_PRECONDITION, "RUN_LIVE", metadata)


def _etag(error: errors.EtagMismatch) -> Answer:
    return Answer(Code.ABORTED, "ETAG_MISMATCH", {"etag": error.etag})


def _request_id(error: errors.RequestIdReused) -> Answer:
    return Answer(Code.ALREADY_EXISTS, "REQUEST_ID_REUSED", {"request_id": error.request_id})


def _position(error: errors.PositionOutOfRange) -> Answer:
    metadata = {
        "run_id": error.run_id,
        "first_sequence": str(error.first_sequence),
        "last_sequence": str(error.last_sequence),
    }
    return Answer(Code.OUT_OF_RANGE, "POSITION_OUT_OF_RANGE", metadata)


def _session(error: errors.SessionSuperseded) -> Answer:
    return Answer(Code.ABORTED, "SESSION_SUPERSEDED", {"session_id": error.session_id})


def _fell_back(_: errors.DatabaseFellBack) -> Answer:
    return Answer(Code.UNAVAILABLE, details=(_retry(0),))


def _runner_connected(error: errors.RunnerConnected) -> Answer:
    return Answer(Code.FAILED_PRECONDITION, "RUNNER_CONNECTED", {"runner_id": error.runner_id})


def _watch_outrun(_: errors.WatchOutrun) -> Answer:
    return Answer(Code.ABORTED, details=(_retry(0),))


def _stopping(error: errors.Stopping) -> Answer:
    return Answer(Code.UNAVAILABLE, details=(_retry(error.retry_after_s),))


def _storage(error: errors.StorageUnavailable) -> Answer:
    return Answer(Code.UNAVAILABLE, "STORAGE_UNAVAILABLE", details=(_retry(error.retry_after_s),))


TABLE: Mapping[type[AthanorError], Callable[[Any], Answer]] = {
    errors.InvalidFields: _invalid_fields,
    errors.ConfigurationInvalid: _configuration,
    errors.PageTokenInvalid: _page_token,
    errors.NotFound: _not_found,
    errors.RunTerminal: _run_terminal,
    errors.RunLive: _run_live,
    errors.EtagMismatch: _etag,
    errors.RequestIdReused: _request_id,
    errors.PositionOutOfRange: _position,
    errors.SessionSuperseded: _session,
    errors.DatabaseFellBack: _fell_back,
    errors.RunnerConnected: _runner_connected,
    errors.WatchOutrun: _watch_outrun,
    errors.Stopping: _stopping,
    errors.StorageUnavailable: _storage,
}
"""Every error that a call may end with."""


def to_status(error: Exception) -> status_pb2.Status:
    """Return what the caller is told of `error`; an unknown one is logged here under the id that is told."""
    row = TABLE.get(type(error)) if isinstance(error, AthanorError) else None
    if row is None:
        incident = secrets.token_hex(6)
        logger.error("incident %s", incident, exc_info=error)
        text = f"internal error {incident}: a fault of the orchestrator; its log says more under this id"
        return status_pb2.Status(code=code_pb2.INTERNAL, message=text)

    answer = row(error)
    status = status_pb2.Status(code=answer.code.value[0], message=shorten(str(error), MESSAGE_CHARACTERS))
    if answer.reason:
        metadata = {key: shorten(value, MESSAGE_CHARACTERS) for key, value in answer.metadata.items()}
        _add(status, error_details_pb2.ErrorInfo(reason=answer.reason, domain=DOMAIN, metadata=metadata))
    for detail in answer.details:
        _add(status, detail)
    if answer.violations:
        # In the trailers a message is percent-encoded, and details are base64.
        room = (TRAILER_BYTES - len(quote(status.message))) * 3 // 4 - status.ByteSize()
        _add(status, _bad_request(answer.violations, room))
    return status


def _bad_request(violations: Iterable[Violation], room: int) -> error_details_pb2.BadRequest:
    """List violations, as many as there is room for; the last one then says how many there are beside them."""
    request = error_details_pb2.BadRequest()
    waiting = [
        error_details_pb2.BadRequest.FieldViolation(
            field=shorten(violation.field, MESSAGE_CHARACTERS),
            description=shorten(violation.description, MESSAGE_CHARACTERS),
        )
        for violation in violations
    ]
    room -= 250  # for the last one
    for count, violation in enumerate(waiting):
        room -= violation.ByteSize() + 4
        if room < 0:
            text = f"has {len(waiting) - count} more violations; ValidateConfiguration lists them"
            request.field_violations.add(field=waiting[0].field.partition("/")[0], description=text)
            break
        request.field_violations.append(violation)
    return request


def _retry(seconds: float) -> error_details_pb2.RetryInfo:
    delay = Duration()
    delay.FromTimedelta(timedelta(seconds=seconds))
    return error_details_pb2.RetryInfo(retry_delay=delay)


def _add(status: status_pb2.Status, detail: Message) -> None:
    packed = AnyMessage()
    packed.Pack(detail)
    status.details.append(packed)
