"""What a verification says of a run's log. Enum numbers are those of the contract in proto/."""

from dataclasses import dataclass
from enum import IntEnum


class Verdict(IntEnum):
    """How a log, or an attempt's part of it, stands."""

    COMPLETE = 1  # everything that was recorded is here and unaltered, by the digest of who recorded it
    INCOMPLETE = 2  # what is here is unaltered, but it is not, or not known to be, all that was recorded
    DAMAGED = 3  # events are missing or were altered, or what is kept beside the log does not agree with it
    UNDER_WAY = 4  # unaltered so far, and more is to come


class FaultKind(IntEnum):
    """What is wrong."""

    MISSING = 1  # each event of the range is not there
    ALTERED = 2  # each event of the range is not as it was stored
    DIGEST = 3  # at least one event of the range is not as it was stored; which one, nothing says
    SURPLUS = 4  # events of the range are stored outside of the log: in front of its beginning or behind its end
    DISAGREEMENT = 5  # the log is as it was, and what is kept beside it says otherwise


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is wrong with a log."""

    kind: FaultKind
    first_sequence: int  # 0 for both: of the log as a whole
    last_sequence: int
    attempt: int  # 0: of none, or not known
    detail: str  # for people


@dataclass(frozen=True, slots=True)
class AttemptFinding:
    """One attempt's part of a log."""

    number: int
    verdict: Verdict
    event_count: int  # events of it that were read
    first_sequence: int  # of them; 0 when there is none
    last_sequence: int
    digest: bytes  # chained anew over them, without the AttemptEnded
    log_complete: bool  # what was said when it ended
    detail: str  # why it is not complete; empty: it is, or is under way, or a fault says it


@dataclass(frozen=True, slots=True)
class Certificate:
    """What was found in a run's log, from its beginning to `last_sequence`."""

    verdict: Verdict
    last_sequence: int  # where the log ended when the verification began
    event_count: int  # events that were read
    attempts: tuple[AttemptFinding, ...]
    faults: tuple[Fault, ...]  # those that name events in the order of these, the others behind them
    more_fault_count: int = 0  # there was no room for these
