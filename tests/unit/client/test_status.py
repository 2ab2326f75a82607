"""The table from statuses to exceptions."""

import grpc
import pytest
from athanor.client import _status, errors

from tests.support.fake_orchestrator import Refusal, not_found
from tests.support.watch_calls import rpc_error

S = grpc.StatusCode


def raised(refusal: Refusal) -> errors.AthanorError:
    status = refusal.status()
    error = rpc_error(refusal.code, refusal.message, tuple(status.trailing_metadata))
    return _status.exception(_status.read(error), target="h:1", timeout=30)


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (S.INVALID_ARGUMENT, "INVALID_FIELD", errors.InvalidArgumentError),
        (S.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID", errors.InvalidArgumentError),
        (S.INVALID_ARGUMENT, "CONFIGURATION_INVALID", errors.ConfigurationInvalidError),
        (S.INVALID_ARGUMENT, "", errors.InvalidArgumentError),
        (S.NOT_FOUND, "NOT_FOUND", errors.NotFoundError),
        (S.NOT_FOUND, "", errors.NotFoundError),
        (S.FAILED_PRECONDITION, "RUN_TERMINAL", errors.RunTerminalError),
        (S.FAILED_PRECONDITION, "RUN_LIVE", errors.RunLiveError),
        (S.FAILED_PRECONDITION, "RUNNER_CONNECTED", errors.RunnerConnectedError),
        (S.ABORTED, "ETAG_MISMATCH", errors.ConflictError),
        (S.ALREADY_EXISTS, "REQUEST_ID_REUSED", errors.AlreadyExistsError),
        (S.OUT_OF_RANGE, "POSITION_OUT_OF_RANGE", errors.PositionOutOfRangeError),
        (S.UNAVAILABLE, "STORAGE_UNAVAILABLE", errors.UnavailableError),
        (S.UNAVAILABLE, "", errors.UnavailableError),
        (S.DEADLINE_EXCEEDED, "", errors.DeadlineExceededError),
        (S.UNIMPLEMENTED, "", errors.UnimplementedError),
        (S.PERMISSION_DENIED, "", errors.PermissionDeniedError),
        (S.UNAUTHENTICATED, "", errors.PermissionDeniedError),
        (S.INTERNAL, "", errors.InternalError),
        (S.UNKNOWN, "", errors.InternalError),
        (S.RESOURCE_EXHAUSTED, "", errors.RefusedError),
        (S.CANCELLED, "", errors.RefusedError),
        (S.NOT_FOUND, "SOMETHING_NEWER", errors.NotFoundError),
    ],
)
def test_each_status_has_its_exception(code, reason, expected):
    error = raised(Refusal(code, "the message", reason))
    assert type(error) is expected
    assert isinstance(error, errors.AthanorError)


def test_every_violation_is_there_with_its_path():
    error = raised(
        Refusal(
            S.INVALID_ARGUMENT,
            "configuration of 'digits' has 2 violations",
            "CONFIGURATION_INVALID",
            {"experiment": "digits"},
            violations=(
                ("instance.configuration_json/model_pairs/0/model_a", "is not a string"),
                ("instance.name", "is empty"),
            ),
        )
    )
    assert isinstance(error, errors.ConfigurationInvalidError)
    assert error.experiment == "digits"
    assert [(v.field, v.pointer, v.description) for v in error.violations] == [
        ("instance.configuration_json/model_pairs/0/model_a", "/model_pairs/0/model_a", "is not a string"),
        ("instance.name", "", "is empty"),
    ]


def test_what_was_not_found_is_named():
    error = raised(not_found("run", "r-1"))
    assert isinstance(error, errors.NotFoundError)
    assert (error.resource, error.id, error.code, error.reason) == ("run", "r-1", "NOT_FOUND", "NOT_FOUND")


def test_the_facts_of_each_reason_are_attributes():
    terminal = raised(Refusal(S.FAILED_PRECONDITION, "", "RUN_TERMINAL", {"run_id": "r", "state": "COMPLETED"}))
    assert isinstance(terminal, errors.RunTerminalError)
    assert (terminal.run_id, terminal.state) == ("r", "COMPLETED")
    live = raised(Refusal(S.FAILED_PRECONDITION, "", "RUN_LIVE", {"run_id": "r"}))
    assert isinstance(live, errors.RunLiveError)
    assert live.run_id == "r"
    stale = raised(Refusal(S.ABORTED, "", "ETAG_MISMATCH", {"etag": "7"}))
    assert isinstance(stale, errors.ConflictError)
    assert stale.etag == "7"
    beyond = raised(Refusal(S.OUT_OF_RANGE, "", "POSITION_OUT_OF_RANGE", {"first_sequence": "3", "last_sequence": "9"}))
    assert isinstance(beyond, errors.PositionOutOfRangeError)
    assert (beyond.first_sequence, beyond.last_sequence) == (3, 9)


def test_a_reason_of_another_domain_is_not_ours():
    status = Refusal(S.NOT_FOUND, "x").status()
    answer = _status.read(rpc_error(S.NOT_FOUND, "x", tuple(status.trailing_metadata)))
    assert answer.reason == ""


def test_details_that_cannot_be_read_leave_the_status():
    answer = _status.read(rpc_error(S.NOT_FOUND, "x", (("grpc-status-details-bin", b"\xff\xff\xff"),)))
    assert answer.code is S.NOT_FOUND


@pytest.mark.parametrize(
    ("target", "advice"),
    [("127.0.0.1:7400", "athanor up"), ("localhost:1", "athanor up"), ("lab:7400", "reaches lab:7400")],
)
def test_an_orchestrator_that_is_away_comes_with_advice(target, advice):
    answer = _status.read(rpc_error(S.UNAVAILABLE, "failed to connect: ipv4: connect: Connection refused (111)"))
    error = _status.exception(answer, target=target, timeout=30)
    assert isinstance(error, errors.UnavailableError)
    assert isinstance(error, ConnectionError)
    assert str(error) == (f"the orchestrator at {target} is not available: connection refused: nothing listens there")
    assert advice in error.advice
    assert 'athanor.connect("HOST:PORT")' in error.advice
    assert "--target" not in error.advice
    assert "ATHANOR_TARGET" in error.advice


def test_one_that_is_there_and_says_that_it_cannot_is_tried_again():
    error = raised(Refusal(S.UNAVAILABLE, "the database is locked", "STORAGE_UNAVAILABLE"))
    assert isinstance(error, errors.UnavailableError)
    assert error.advice == "It says that it cannot work just now: try again."


def test_builtin_exceptions_fit():
    assert issubclass(errors.DeadlineExceededError, TimeoutError)
    assert issubclass(errors.TargetError, ValueError)
