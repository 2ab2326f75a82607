"""What an event says by itself."""

from datetime import UTC, datetime

import pytest
from athanor.client import AttemptStarted, CodeVersion, Result

AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("sequence", "attempt", "restored", "superseded"),
    [
        (5, 1, 7, False),  # before the checkpoint
        (8, 1, 7, True),
        (12, 2, 7, True),  # of an attempt that went on from the same one
        (5, 1, 0, True),  # it begins anew
        (21, 3, 7, False),  # its own
    ],
)
def test_what_an_attempt_supersedes(sequence: int, attempt: int, restored: int, superseded: bool) -> None:
    started = AttemptStarted(20, 3, AT, "runner", CodeVersion(), restored_sequence=restored)
    assert started.supersedes(Result(sequence, attempt, AT, "key", "1")) == superseded
