"""The design: which conversations there are, with which order of questions, and in which order they are held."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from athanor_experiments.substrate_shift.configuration import ModelPair

TURNS = 10
CONTROL = 0
SWITCH_TURNS = (CONTROL, 3, 5, 7, 9)
"""The turn from which on the second model answers; CONTROL for never."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One conversation that is to be held."""

    index: int  # its place in the list of all, from 0
    pair: int  # from 1
    model_a: str
    model_b: str
    switch_turn: int  # one of SWITCH_TURNS
    run: int  # from 1

    @property
    def key(self) -> str:
        """The key of its result."""
        return f"pair_{self.pair}/switch_{self.switch_turn}/run_{self.run}"

    @property
    def is_control(self) -> bool:
        """Whether the same model answers throughout."""
        return self.switch_turn == CONTROL

    def model_at(self, turn: int) -> str:
        """Who answers at a turn, from 1."""
        return self.model_a if self.is_control or turn < self.switch_turn else self.model_b


def conditions(pairs: Sequence[ModelPair], runs_per_pair: int) -> list[Condition]:
    """Every pair with every turn of the switch, so many times each."""
    cells = product(enumerate(pairs, 1), SWITCH_TURNS, range(1, runs_per_pair + 1))
    return [
        Condition(index, number, pair.model_a, pair.model_b, switch_turn, run)
        for index, ((number, pair), switch_turn, run) in enumerate(cells)
    ]


def shuffled(all_conditions: Sequence[Condition], rng: random.Random) -> list[Condition]:
    """The queue: what changes while the run lasts, as a server may, falls upon all conditions alike."""
    queue = list(all_conditions)
    rng.shuffle(queue)
    return queue


def without_own_controls(pairs: Sequence[ModelPair]) -> list[tuple[int, str]]:
    """The pairs, from 1, whose second model stands in no pair with itself, and that model.

    Models that are asked are asked at the end, and so the second one in no control but those of a pair of its own.
    """
    own = {pair.model_b for pair in pairs if pair.model_a == pair.model_b}
    return [(number, pair.model_b) for number, pair in enumerate(pairs, 1) if pair.model_b not in own]


def question_order(run: int) -> list[int]:
    """Which question is asked at each of the TURNS turns of a run, from 0: a row of the cyclic Latin square.

    Row r of the square is r, r + 1, ..., TURNS - 1, 0, ..., r - 1. Over TURNS runs in a row each question has stood at
    each turn once; the conversations of one run number have the same order whatever their pair and switch.
    """
    return [(run - 1 + turn) % TURNS for turn in range(TURNS)]
