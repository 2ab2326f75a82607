"""What an event says by itself."""

from datetime import UTC, datetime

import pytest
from athanor.client import AttemptStarted, CodeVersion, LogEntry, LogLevel, Result

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


def test_a_log_entry_prints_as_a_line_for_people():
    at = datetime(2026, 11, 24, 15, 30, 7, tzinfo=UTC)
    clock = f"{at.astimezone():%H:%M:%S}"
    assert (
        str(LogEntry(3, 1, at, LogLevel.WARN, "slow", '{"s":9}', "urllib3"))
        == f'{clock} warn  urllib3: slow  {{"s":9}}'
    )
    assert str(LogEntry(4, 1, at, LogLevel.ERROR, "lost")) == f"{clock} error lost"
