"""What a person is told."""

import pytest
from athanor.cli import exits, failures
from athanor.client import _channel, errors
from athanor.client.errors import Violation


def test_every_violation_of_a_configuration_is_listed_with_its_path():
    error = errors.ConfigurationInvalidError(
        "2 violations",
        reason="CONFIGURATION_INVALID",
        metadata={"experiment": "digits"},
        violations=[
            Violation("instance.configuration_json/repeats", "0 is less than 1"),
            Violation("instance.configuration_json/pairs/0/a", "is not a string"),
            Violation("instance.configuration_json", "is not an object"),
        ],
    )
    text, status = failures.explain(error)
    assert status == exits.USAGE
    assert "does not fit digits" in text
    assert "  /repeats: 0 is less than 1" in text
    assert "  /pairs/0/a: is not a string" in text
    assert "  (the whole): is not an object" in text
    assert "athanor experiments show digits" in text


def test_an_orchestrator_that_is_away_comes_with_what_was_tried_and_what_to_do():
    text, status = failures.explain(errors.UnavailableError("h:1", "connection refused", "Start one."))
    assert status == exits.UNREACHABLE
    assert "h:1" in text
    assert "connection refused" in text
    assert text.endswith("Start one.")


@pytest.mark.parametrize("target", ["127.0.0.1:1", "lab:1", "a:1,b:1"])
def test_another_orchestrator_is_named_by_the_option(target):
    text, _ = failures.explain(errors.UnavailableError(target, "refused", _channel.advice(target)))
    assert "--target HOST:PORT" in text
    assert "athanor.connect" not in text


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (errors.DeadlineExceededError("h:1", 30), exits.UNREACHABLE, "within 30 s"),
        (
            errors.WaitTimeoutError("r1", 90),
            exits.UNREACHABLE,
            "run r1 has not ended within 90 s; it goes on\n`athanor logs -f r1` follows it.",
        ),
        (
            errors.MissingExtraError("pyarrow", "parquet"),
            exits.USAGE,
            "pyarrow is not installed: pip install pyarrow (Athanor's extra 'parquet')",
        ),
        (errors.ProtocolError("odd"), exits.UNREACHABLE, "odd"),
        (errors.TargetError("must be HOST:PORT"), exits.USAGE, "HOST:PORT"),
        (
            errors.InvalidArgumentError("x", violations=[Violation("instance.name", "too long")]),
            exits.USAGE,
            "instance.name: too long",
        ),
        (errors.InvalidArgumentError("page_token is wrong"), exits.USAGE, "page_token is wrong"),
        (
            errors.NotFoundError("there is no experiment 'x'", metadata={"resource": "experiment"}),
            exits.REFUSED,
            "athanor experiments list",
        ),
        (errors.NotFoundError("there is no run 'x'", metadata={"resource": "run"}), exits.REFUSED, "no run 'x'"),
        (errors.RunLiveError("run r is RUNNING", metadata={"run_id": "r"}), exits.REFUSED, "runs cancel --wait r"),
        (errors.RunTerminalError("run r is COMPLETED"), exits.REFUSED, "COMPLETED"),
        (errors.InternalError("id 17"), exits.REFUSED, "id 17"),
        (errors.ConflictError("changed"), exits.REFUSED, "changed"),
    ],
)
def test_each_error_has_its_words_and_its_status(error, status, words):
    text, code = failures.explain(error)
    assert code == status
    assert words in text


def test_exit_statuses_are_pinned():
    statuses = {name: value for name, value in vars(exits).items() if isinstance(value, int)}
    assert statuses == {
        "OK": 0,
        "FAILED": 1,
        "USAGE": 2,
        "CANCELLED": 3,
        "UNREACHABLE": 4,
        "REFUSED": 5,
        "BUG": 70,
        "INTERRUPTED": 130,
        "UNREAD": 141,
    }


def test_what_is_too_large_to_be_sent_is_said_with_the_limit():
    said = "CLIENT: Sent message larger than max (24691441 vs. 4194304)"
    text, status = failures.explain(errors.RefusedError(said, code="RESOURCE_EXHAUSTED"))
    assert status == exits.USAGE
    assert text.startswith(
        "that is too large to be sent: 24.7 MB, of 4 MiB at most; a configuration may have 256 KiB.\n"
    )
    assert failures.explain(errors.RefusedError("a quota", code="RESOURCE_EXHAUSTED")) == ("a quota", exits.REFUSED)
