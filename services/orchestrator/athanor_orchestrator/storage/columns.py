"""Columns that several tables share, to records and back."""

from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from json import dumps, loads
from typing import Any

from athanor_orchestrator.domain.records import CodeVersion, Failure, FailureKind, Policy
from athanor_orchestrator.storage.aliases import AnyRow

_DETAIL_CHARACTERS = 64 << 10  # twice what a runner sends; the event has whatever it is in full
_MICROSECOND = timedelta(microseconds=1)


def clean(text: str) -> str:
    """Return `text` with what a database refuses made visible: NUL as U+2400, lone surrogates as U+FFFD.

    For text that runners send for people. Names and documents are checked before they come here.
    """
    if text.isascii() and "\x00" not in text:
        return text
    return text.replace("\x00", "\u2400").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def storable(text: str | None) -> str | None:
    """Return `text`, or None when a database would refuse it."""
    if text is None or "\x00" in text:
        return None
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return None
    return text


def to_us(duration: timedelta | None) -> int | None:
    """Return a duration in microseconds."""
    return None if duration is None else duration // _MICROSECOND


def from_us(us: int | None) -> timedelta | None:
    """Return microseconds as a duration."""
    return None if us is None else timedelta(microseconds=us)


def labels_json(labels: Mapping[str, str]) -> str:
    """Return labels as they are kept on the row."""
    return dumps(dict(labels), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def labels_of(text: str) -> dict[str, str]:
    """Return the labels of a row."""
    return loads(text) if text != "{}" else {}


def code_columns(code: CodeVersion) -> dict[str, Any]:
    """Return the columns of a code version."""
    return {
        "code_digest": clean(code.digest),
        "code_module": clean(code.module),
        "code_distribution": clean(code.distribution),
        "code_git_commit": clean(code.git_commit),
        "code_git_dirty": code.git_dirty,
    }


def code_of(row: AnyRow) -> CodeVersion:
    """Return the code version of a row."""
    return CodeVersion(
        row.code_digest, row.code_module, row.code_distribution, row.code_git_commit, bool(row.code_git_dirty)
    )


def policy_columns(policy: Policy) -> dict[str, Any]:
    """Return the columns of a policy."""
    return {
        "policy_timeout_us": to_us(policy.timeout),
        "policy_cancel_grace_period_us": to_us(policy.cancel_grace_period),
        "policy_max_attempts": policy.max_attempts,
        "policy_retry_backoff_us": to_us(policy.retry_backoff),
        "policy_lost_after_us": to_us(policy.lost_after),
    }


def policy_of(row: AnyRow) -> Policy:
    """Return the policy of a row."""
    return policy_from_us(
        row.policy_timeout_us,
        row.policy_cancel_grace_period_us,
        row.policy_max_attempts,
        row.policy_retry_backoff_us,
        row.policy_lost_after_us,
    )


@lru_cache(1024)  # few are different, and every run of every commit has one
def policy_from_us(
    timeout_us: int | None,
    cancel_grace_period_us: int | None,
    max_attempts: int | None,
    retry_backoff_us: int | None,
    lost_after_us: int | None,
) -> Policy:
    """Return a policy of what stands in its columns."""
    return Policy(
        timeout=from_us(timeout_us),
        cancel_grace_period=from_us(cancel_grace_period_us),
        max_attempts=max_attempts,
        retry_backoff=from_us(retry_backoff_us),
        lost_after=from_us(lost_after_us),
    )


def failure_columns(failure: Failure | None) -> dict[str, Any]:
    """Return the columns of a failure, or of none."""
    if failure is None:
        return {"failure_kind": None, "failure_message": None, "failure_detail": None, "failure_exit_status": None}
    return {
        "failure_kind": int(failure.kind),
        "failure_message": clean(failure.message),
        "failure_detail": clean(failure.detail)[:_DETAIL_CHARACTERS],
        "failure_exit_status": failure.exit_status,
    }


def failure_of(row: AnyRow) -> Failure | None:
    """Return the failure of a row."""
    return failure_from(row.failure_kind, row.failure_message, row.failure_detail, row.failure_exit_status)


def failure_from(kind: int | None, message: str, detail: str, exit_status: int | None) -> Failure | None:
    """Return a failure of what stands in its columns."""
    return None if kind is None else Failure(FailureKind(kind), message, detail, exit_status)
