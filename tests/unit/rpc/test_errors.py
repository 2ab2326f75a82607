"""The one table of errors: each has a row, each row says what error_reason.proto promises, and all of it fits."""

import logging
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from athanor.v1 import error_reason_pb2
from athanor_orchestrator.domain import errors
from athanor_orchestrator.domain.errors import AthanorError, Violation
from athanor_orchestrator.domain.records import RunState
from athanor_orchestrator.rpc.errors import TABLE, to_status
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2

AT_START_ONLY = {errors.StorageInUse, errors.StorageIncompatible}

CASES: list[tuple[AthanorError, str, str, dict[str, str]]] = [
    (errors.InvalidFields(Violation("name", "is required")), "INVALID_ARGUMENT", "INVALID_FIELD", {}),
    (
        errors.ConfigurationInvalid("digits", [Violation("/a/0", "is wrong")]),
        "INVALID_ARGUMENT",
        "CONFIGURATION_INVALID",
        {"experiment": "digits"},
    ),
    (errors.PageTokenInvalid(), "INVALID_ARGUMENT", "PAGE_TOKEN_INVALID", {}),
    (errors.NotFound("run", "r1"), "NOT_FOUND", "NOT_FOUND", {"resource": "run", "id": "r1"}),
    (
        errors.RunTerminal("r1", RunState.FAILED),
        "FAILED_PRECONDITION",
        "RUN_TERMINAL",
        {"run_id": "r1", "state": "FAILED"},
    ),
    (errors.RunLive("r1", RunState.RUNNING), "FAILED_PRECONDITION", "RUN_LIVE", {"run_id": "r1", "state": "RUNNING"}),
    (errors.EtagMismatch("e1"), "ABORTED", "ETAG_MISMATCH", {"etag": "e1"}),
    (errors.RequestIdReused("q1"), "ALREADY_EXISTS", "REQUEST_ID_REUSED", {"request_id": "q1"}),
    (
        errors.PositionOutOfRange("r1", 1, 9),
        "OUT_OF_RANGE",
        "POSITION_OUT_OF_RANGE",
        {"run_id": "r1", "first_sequence": "1", "last_sequence": "9"},
    ),
    (errors.SessionSuperseded("s1"), "ABORTED", "SESSION_SUPERSEDED", {"session_id": "s1"}),
    (errors.DatabaseFellBack(), "UNAVAILABLE", "", {}),
    (errors.RunnerConnected("n1", 3.2, 15.0), "FAILED_PRECONDITION", "RUNNER_CONNECTED", {"runner_id": "n1"}),
    (errors.WatchOutrun(), "ABORTED", "", {}),
    (errors.Stopping(2.5), "UNAVAILABLE", "", {}),
    (errors.StorageUnavailable("disk full", 1.5), "UNAVAILABLE", "STORAGE_UNAVAILABLE", {}),
]


def detail(error: Exception, kind: type[Message]) -> Message | None:
    for packed in to_status(error).details:
        if packed.Is(kind.DESCRIPTOR):
            message = kind()
            packed.Unpack(message)
            return message
    return None


def all_errors(base: type[AthanorError] = AthanorError) -> Iterator[type[AthanorError]]:
    for error in base.__subclasses__():
        yield error
        yield from all_errors(error)


def test_every_error_that_a_call_may_end_with_has_a_row_and_a_case() -> None:
    expected = {error for error in all_errors() if error.__module__ == errors.__name__} - AT_START_ONLY
    assert set(TABLE) == expected
    assert {type(error) for error, *_ in CASES} == expected


@pytest.mark.parametrize(("error", "code", "reason", "metadata"), CASES, ids=lambda value: type(value).__name__)
def test_an_error_becomes_its_code_reason_and_metadata(
    error: AthanorError, code: str, reason: str, metadata: dict[str, str]
) -> None:
    status = to_status(error)
    assert code_pb2.Code.Name(status.code) == code
    assert status.message == str(error)
    info = detail(error, error_details_pb2.ErrorInfo)
    if not reason:
        assert info is None
    else:
        assert info == error_details_pb2.ErrorInfo(reason=reason, domain="athanor", metadata=metadata)
        assert f"ERROR_REASON_{reason}" in set(error_reason_pb2.ErrorReason.keys())


def test_a_missing_resource_is_named_and_a_wait_is_told() -> None:
    info = detail(errors.NotFound("instance", "i1"), error_details_pb2.ResourceInfo)
    assert isinstance(info, error_details_pb2.ResourceInfo)
    assert (info.resource_type, info.resource_name) == ("instance", "i1")
    for error in (errors.StorageUnavailable("gone", 1.5), errors.Stopping(1.5)):
        retry = detail(error, error_details_pb2.RetryInfo)
        assert isinstance(retry, error_details_pb2.RetryInfo)
        assert retry.retry_delay.ToMilliseconds() == 1500


def test_violations_of_a_configuration_have_the_field_and_then_the_pointer() -> None:
    error = errors.ConfigurationInvalid("x", [Violation("/model_pairs/0/model_a", "is required"), Violation("", "odd")])
    request = detail(error, error_details_pb2.BadRequest)
    assert isinstance(request, error_details_pb2.BadRequest)
    assert [(v.field, v.description) for v in request.field_violations] == [
        ("instance.configuration_json/model_pairs/0/model_a", "is required"),
        ("instance.configuration_json", "odd"),
    ]


@pytest.mark.parametrize("character", ["a", "é", "漢"])
@pytest.mark.parametrize("count", [1, 30, 1001])
def test_whatever_is_wrong_the_trailers_stay_below_what_every_receiver_takes(character: str, count: int) -> None:
    violations = [Violation(f"/{character * 40}/{n}", f"{n} {character * 90}") for n in range(count)]
    for error in (errors.ConfigurationInvalid(character * 200, violations), errors.InvalidFields(*violations)):
        status = to_status(error)
        assert len(quote(status.message)) + status.ByteSize() * 4 / 3 < 7500
        request = detail(error, error_details_pb2.BadRequest)
        assert isinstance(request, error_details_pb2.BadRequest)
        if count > 30:
            shown = len(request.field_violations) - 1
            assert shown > 3
            assert request.field_violations[-1].description.startswith(f"has {count - shown} more violations")


def test_a_bug_is_told_by_an_id_and_its_trace_is_in_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise KeyError("secret detail")
    except KeyError as error:
        with caplog.at_level(logging.ERROR):
            status = to_status(error)
    assert status.code == code_pb2.INTERNAL
    assert "secret" not in status.message
    incident = status.message.split()[2].rstrip(":")
    assert incident in caplog.text
    assert "secret detail" in caplog.text


def test_an_error_without_a_row_is_a_bug_too(caplog: pytest.LogCaptureFixture) -> None:
    assert to_status(errors.StorageInUse("/data/athanor.db")).code == code_pb2.INTERNAL
    assert "is in use" in caplog.text
