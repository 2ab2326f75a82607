"""Every condition so many times, each question at each turn alike, and a queue that goes by the seed."""

import random
from collections import Counter

from athanor_experiments.substrate_shift.configuration import ModelPair
from athanor_experiments.substrate_shift.design import (
    SWITCH_TURNS,
    TURNS,
    conditions,
    question_order,
    shuffled,
    without_own_controls,
)
from athanor_experiments.substrate_shift.questions import QUESTIONS

PAIRS = [ModelPair(model_a="one", model_b="two"), ModelPair(model_a="one", model_b="one")]


def test_every_pair_meets_every_switch_so_many_times() -> None:
    design = conditions(PAIRS, 3)
    assert Counter((one.pair, one.switch_turn) for one in design) == {
        (pair, turn): 3 for pair in (1, 2) for turn in (0, 3, 5, 7, 9)
    }
    assert [one.index for one in design] == list(range(30))
    assert {one.run for one in design} == {1, 2, 3}


def test_the_keys_are_those_that_are_promised_and_all_different() -> None:
    keys = [one.key for one in conditions(PAIRS, 2)]
    assert keys[:3] == ["pair_1/switch_0/run_1", "pair_1/switch_0/run_2", "pair_1/switch_3/run_1"]
    assert keys[-1] == "pair_2/switch_9/run_2"
    assert len(set(keys)) == len(keys) == 20


def test_the_second_model_answers_from_the_turn_of_the_switch_on() -> None:
    design = {one.switch_turn: one for one in conditions(PAIRS[:1], 1)}
    assert tuple(design) == SWITCH_TURNS == (0, 3, 5, 7, 9)
    assert [design[0].model_at(turn) for turn in range(1, 12)] == ["one"] * 11
    assert [design[3].model_at(turn) for turn in range(1, 12)] == ["one"] * 2 + ["two"] * 9
    assert [design[9].model_at(turn) for turn in range(1, 12)] == ["one"] * 8 + ["two"] * 3


def test_the_order_of_questions_is_a_cyclic_latin_square() -> None:
    rows = [question_order(run) for run in range(1, 11)]
    assert rows[0] == list(range(10))
    assert rows[3] == [3, 4, 5, 6, 7, 8, 9, 0, 1, 2]
    for at in range(10):
        assert sorted(rows[at]) == list(range(10)), "each once in each run"
        assert sorted(row[at] for row in rows) == list(range(10)), "each once at each turn"
    assert question_order(11) == rows[0], "and from the beginning"


def test_there_are_as_many_different_questions_as_turns() -> None:
    assert len(set(QUESTIONS)) == len(QUESTIONS) == TURNS == 10


def test_the_queue_is_shuffled_by_the_seed_and_loses_nothing() -> None:
    design = conditions(PAIRS, 5)
    first, again, other = (shuffled(design, random.Random(seed)) for seed in (7, 7, 8))
    assert first == again
    assert first != other
    assert first != design
    assert sorted(first, key=lambda one: one.index) == design == conditions(PAIRS, 5)


def test_a_second_model_that_is_in_no_pair_with_itself_is_told() -> None:
    pairs = [("one", "two"), ("one", "one"), ("two", "one"), ("one", "three"), ("three", "three"), ("two", "four")]
    made = [ModelPair(model_a=first, model_b=second) for first, second in pairs]
    assert without_own_controls(made) == [(1, "two"), (6, "four")]
