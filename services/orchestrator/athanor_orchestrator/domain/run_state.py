"""The states of a run and who may cause which transition: the table of docs/explanation/guarantees.md as data.

Storage applies a transition as a compare-and-set; this table says whether it may be tried at all.
"""

from enum import Enum

from athanor_orchestrator.domain.records import RunState

TERMINAL = frozenset({RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED})
LIVE = frozenset({RunState.PENDING, RunState.RUNNING})


class Actor(Enum):
    """Who causes a transition."""

    START_RUN = "StartRun"
    DISPATCHER = "dispatcher"  # grants a lease
    RUNNER_DECLINED = "runner declined"
    HELLO = "Hello"  # the transaction that registers a session: a lease that it does not name
    ATTEMPT_STARTED = "AttemptStarted"  # storing it
    CANCEL_RUN = "CancelRun"
    ATTEMPT_ENDED = "AttemptEnded"  # storing it, or ending an attempt whose events broke the append rule
    REAPER = "reaper"
    FORGET = "ForgetRunner"


class IllegalTransition(Exception):
    """A transition that the table does not have: a bug of the caller."""


_AFTER_AN_ATTEMPT = (RunState.FAILED, RunState.CANCELLED, RunState.PENDING)

TRANSITIONS: frozenset[tuple[RunState | None, RunState, Actor]] = frozenset(
    [
        (None, RunState.PENDING, Actor.START_RUN),
        (RunState.PENDING, RunState.PENDING, Actor.DISPATCHER),
        (RunState.PENDING, RunState.PENDING, Actor.RUNNER_DECLINED),
        (RunState.PENDING, RunState.CANCELLED, Actor.RUNNER_DECLINED),
        (RunState.PENDING, RunState.RUNNING, Actor.ATTEMPT_STARTED),
        (RunState.PENDING, RunState.CANCELLED, Actor.CANCEL_RUN),
    ]
    # An attempt may end before its AttemptStarted: nothing could be started, or log entries are all that was stored.
    + [
        (source, target, actor)
        for source in (RunState.PENDING, RunState.RUNNING)
        for target in _AFTER_AN_ATTEMPT
        for actor in (Actor.ATTEMPT_ENDED, Actor.HELLO, Actor.REAPER, Actor.FORGET)
    ]
    + [
        (RunState.PENDING, RunState.COMPLETED, Actor.ATTEMPT_ENDED),
        (RunState.RUNNING, RunState.COMPLETED, Actor.ATTEMPT_ENDED),
    ]
)
"""Every transition there is; None is a run that does not exist yet."""


def allowed(source: RunState | None, target: RunState, actor: Actor) -> bool:
    """Tell whether `actor` may move a run from `source` (None: it does not exist yet) to `target`."""
    return (source, target, actor) in TRANSITIONS


def check(source: RunState | None, target: RunState, actor: Actor) -> None:
    """Raise `IllegalTransition` unless `actor` may move a run from `source` to `target`."""
    if not allowed(source, target, actor):
        origin = "nothing" if source is None else source.name
        raise IllegalTransition(f"{actor.value} may not move a run from {origin} to {target.name}")
