"""The table of transitions: exactly what docs/explanation/guarantees.md allows, and nothing else."""

from itertools import product

import pytest
from athanor_orchestrator.domain.records import RunState
from athanor_orchestrator.domain.run_state import LIVE, TERMINAL, TRANSITIONS, Actor, IllegalTransition, allowed, check

PENDING, RUNNING, COMPLETED, FAILED, CANCELLED = RunState

# (from, actor): every state it may lead to
TABLE = {
    (None, Actor.START_RUN): {PENDING},
    (PENDING, Actor.DISPATCHER): {PENDING},
    (PENDING, Actor.RUNNER_DECLINED): {PENDING, CANCELLED},
    (PENDING, Actor.ATTEMPT_STARTED): {RUNNING},
    (PENDING, Actor.CANCEL_RUN): {CANCELLED},
    (PENDING, Actor.ATTEMPT_ENDED): {PENDING, COMPLETED, FAILED, CANCELLED},
    (RUNNING, Actor.ATTEMPT_ENDED): {PENDING, COMPLETED, FAILED, CANCELLED},
    (PENDING, Actor.HELLO): {PENDING, FAILED, CANCELLED},
    (RUNNING, Actor.HELLO): {PENDING, FAILED, CANCELLED},
    (PENDING, Actor.REAPER): {PENDING, FAILED, CANCELLED},
    (RUNNING, Actor.REAPER): {PENDING, FAILED, CANCELLED},
    (PENDING, Actor.FORGET): {PENDING, FAILED, CANCELLED},
    (RUNNING, Actor.FORGET): {PENDING, FAILED, CANCELLED},
}


@pytest.mark.parametrize(("source", "target", "actor"), list(product([None, *RunState], RunState, Actor)))
def test_every_combination_is_allowed_or_not_as_the_table_says(
    source: RunState | None, target: RunState, actor: Actor
) -> None:
    expected = target in TABLE.get((source, actor), set())
    assert allowed(source, target, actor) is expected
    if expected:
        check(source, target, actor)
    else:
        with pytest.raises(IllegalTransition, match=f"{actor.value} may not move a run from .* to {target.name}"):
            check(source, target, actor)


def test_nobody_leaves_a_terminal_state() -> None:
    assert not {source for source, _, _ in TRANSITIONS} & TERMINAL


def test_nobody_but_an_attempt_that_ended_completes_a_run() -> None:
    assert {actor for _, target, actor in TRANSITIONS if target is COMPLETED} == {Actor.ATTEMPT_ENDED}


def test_every_state_is_live_or_terminal() -> None:
    assert set(RunState) == LIVE | TERMINAL
    assert not LIVE & TERMINAL


def test_every_actor_has_something_to_do() -> None:
    assert {actor for _, _, actor in TRANSITIONS} == set(Actor)
