"""When an attempt's processes are told to end, and when they are made to: a pure function over what is known."""

from dataclasses import dataclass
from enum import Enum, auto


class Step(Enum):
    """What is to be done now."""

    WAIT = auto()  # nothing, until `Decision.until`
    TERM = auto()  # SIGTERM to every process
    KILL = auto()  # SIGKILL to every process
    DONE = auto()  # nothing is left


@dataclass(frozen=True)
class Facts:
    """What is known of an attempt's processes; times are seconds of one monotonic clock, None is not yet."""

    main_ended: bool
    others_left: bool  # processes besides the main one; only looked at once the main one ended or was told to end
    cancelled_at: float | None = None
    cancel_grace: float = 10.0
    stopped_at: float | None = None  # for a timeout, or because the runner stops: no grace
    fenced: bool = False  # its lease is over: at once, and without a word
    left_at: float | None = None  # when the main process ended by itself and others were found to live on
    terminated_at: float | None = None  # when the first SIGTERM was sent
    kill_delay: float = 5.0


@dataclass(frozen=True)
class Decision:
    """What is to be done, and when to ask again at the latest."""

    step: Step
    until: float | None = None


def decide(facts: Facts, now: float) -> Decision:
    """What is to be done with an attempt's processes at `now`."""
    if facts.main_ended and not facts.others_left:
        return Decision(Step.DONE)
    if facts.fenced:
        return Decision(Step.KILL)
    if facts.terminated_at is not None:
        deadline = facts.terminated_at + facts.kill_delay
        return Decision(Step.KILL) if now >= deadline else Decision(Step.WAIT, deadline)

    due = [
        moment
        for moment in (
            facts.stopped_at,
            facts.cancelled_at + facts.cancel_grace
            if facts.cancelled_at is not None and not facts.main_ended
            else None,
            facts.left_at,
        )
        if moment is not None
    ]
    if not due:
        return Decision(Step.WAIT)
    return Decision(Step.TERM) if now >= min(due) else Decision(Step.WAIT, min(due))
