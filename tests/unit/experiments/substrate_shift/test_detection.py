"""The statistics by numbers that were worked out by hand."""

import json
import random
from statistics import fmean
from typing import Any

import pytest
from athanor_experiments.models import Reply
from athanor_experiments.substrate_shift.configuration import ModelPair
from athanor_experiments.substrate_shift.conversation import Conversation, Outcome, Turn
from athanor_experiments.substrate_shift.design import CONTROL, SWITCH_TURNS, TURNS, Condition, conditions
from athanor_experiments.substrate_shift.detection import (
    change_of,
    change_of_perplexity,
    decide,
    outcome_of,
    summarize,
    threshold,
)

PAIR = [ModelPair(model_a="one", model_b="two")]


def outcomes(runs: int, control: list[Outcome], switched: list[Outcome]) -> list[tuple[Condition, Outcome]]:
    """The same outcomes by run number at every turn of the switch."""
    return [(one, (control if one.is_control else switched)[one.run - 1]) for one in conditions(PAIR, runs)]


def summed(given: list[tuple[Condition, Outcome]], asked: bool = False) -> dict[str, Any]:
    return summarize(given, asked=asked, false_alarm_rate=0.05, confidence=0.95, rng=random.Random(1))


@pytest.mark.parametrize(
    ("values", "change"),
    [
        ([1.0] * 10, 0.0),
        ([1.0] * 2 + [2.0] * 8, 1.0),  # a switch at 3
        ([1.0] * 8 + [2.0] * 2, 1.0),  # at 9
        ([2.0] * 4 + [0.5] * 6, 1.5),  # downwards is a change, too
        ([1.0] * 9 + [2.0], 0.5),  # at no turn of a switch: what is left of it from turn 9 on
    ],
)
def test_the_change_is_the_greatest_difference_of_means(values: list[float], change: float) -> None:
    assert change_of_perplexity(values) == pytest.approx(change)


def test_the_change_needs_all_answers() -> None:
    with pytest.raises(ValueError, match="9 answers, not 10"):
        change_of_perplexity([1.0] * 9)


def test_of_ten_different_answers_the_threshold_is_the_quantile_of_what_can_be_made_of_them() -> None:
    """With answers of 0 and 1 alone, a change is above 0.99 in the rare case that it is the greatest that there is."""
    half = [[0.0, 1.0] * 5] * 3
    assert threshold(half, 0.005, random.Random(1)) == 1.0  # two in a row, and eight of the other: 4 of 1024 and more
    assert 0.3 < threshold(half, 0.5, random.Random(1)) < 0.6
    assert threshold([[2.0] * TURNS] * 3, 0.01, random.Random(1)) == 0.0


@pytest.mark.parametrize(("runs", "rate"), [(10, 0.05), (30, 0.05), (100, 0.01)])
def test_as_many_conversations_without_a_change_are_above_the_threshold_as_it_is_set_for(
    runs: int, rate: float
) -> None:
    """Skewed, as perplexities are. Over many pairs, each with controls and a threshold of its own."""
    rng = random.Random(7)

    def conversation() -> list[float]:
        return [rng.lognormvariate(0.0, 0.5) for _ in range(TURNS)]

    above: list[bool] = []
    for _ in range(40):
        limit = threshold([conversation() for _ in range(runs)], rate, rng)
        above += [change_of_perplexity(conversation()) > limit for _ in range(200)]
    # A little more often, on the average: what is rarer than all answers of the controls is not in the threshold.
    assert 0.7 * rate <= fmean(above) <= 1.5 * rate


def test_a_control_is_held_against_a_threshold_that_it_has_not_helped_to_set() -> None:
    """One answer of the third control is another. With it among those the threshold is set on, that is nothing rare."""
    flat, odd, changed = [1.0] * TURNS, [1.0] * 9 + [9.0], [1.0] * 4 + [9.0] * 6
    decided, limit = decide(outcomes(3, [flat, flat, odd], [flat, odd, changed]), 0.05, random.Random(1))
    assert limit is not None
    assert change_of_perplexity(odd) == 4.0 <= limit < change_of_perplexity(changed) == 8.0
    assert [one.noticed for one in decided if one.switch_turn == CONTROL] == [False, False, True]
    assert [one.noticed for one in decided if one.switch_turn == 3] == [False, False, True]


def test_of_a_conversation_with_a_switch_the_change_alone_is_kept_and_it_counts_the_same() -> None:
    flat, odd, changed = [1.0] * TURNS, [1.0] * 9 + [9.0], [1.0] * 4 + [9.0] * 6
    whole = outcomes(3, [flat, flat, odd], [flat, odd, changed])
    kept = [
        (one, value if one.is_control or isinstance(value, str) else change_of(value) or 0.0) for one, value in whole
    ]
    assert summed(kept) == summed(whole)


@pytest.mark.parametrize("switch_turn", SWITCH_TURNS)
def test_what_is_kept_of_a_conversation_is_what_the_statistics_need(switch_turn: int) -> None:
    held = Conversation(Condition(0, 1, "one", "two", switch_turn, 1))
    held.turns = [Turn(turn, "one", 0, Reply("x"), float(turn > 4)) for turn in range(1, TURNS + 1)]
    assert outcome_of(held) == ([0.0] * 4 + [1.0] * 6 if switch_turn == CONTROL else 1.0)
    assert change_of(outcome_of(held)) == 1.0
    held.turns[3] = Turn(4, "one", 0, Reply(""), None)
    assert (outcome_of(held), change_of(outcome_of(held))) == ("unclear", None)


def test_the_last_checkpoint_of_the_largest_run_is_far_from_what_one_may_be() -> None:
    """It has all before it in it, so that together they grow with the square of the conversations."""
    all_of_it = conditions(PAIR * 10, 100)
    kept = [[2.3456] * TURNS if one.is_control else 0.123456 for one in all_of_it]
    assert len(json.dumps({"outcomes": kept})) < 130_000


def test_with_two_controls_there_is_no_threshold_and_so_no_rate() -> None:
    flat: Outcome = [1.0] * TURNS
    summary = summed(outcomes(2, [flat, flat], [flat, flat]))
    assert summary["threshold"] is None
    assert summary["judged_by"] == {"detection": "one", "false_alarm": "one"}, "both by the perplexity under it"
    nothing = {"count": 0, "of": 0, "rate": None, "interval": None}
    assert summary["detection"] == summary["false_alarm"] == nothing


def test_what_models_say_is_counted_and_failures_are_left_out() -> None:
    given: list[Outcome] = ["changed", "same", "unclear", "failed"]
    summary = summed(outcomes(4, ["same", "changed", "same", "same"], given), asked=True)
    assert summary["judged_by"] == {"detection": "two", "false_alarm": "one"}
    assert summary["detection"]["count"] == 4  # one at each of four turns
    assert summary["detection"]["of"] == 12
    assert summary["detection"]["rate"] == pytest.approx(1 / 3, abs=1e-6)
    assert summary["false_alarm"]["count"] == 1
    assert summary["false_alarm"]["of"] == 4
    assert summary["false_alarm"]["interval"] == pytest.approx([0.0456, 0.6994], abs=1e-4)
    assert summary["detection_by_switch_turn"]["switch_9"]["count"] == 1
    assert summary["detection_by_switch_turn"]["switch_9"]["of"] == 3
    assert (summary["conversations"], summary["failed"], summary["unclear"]) == (20, 4, 4)
    assert summary["threshold"] is None
