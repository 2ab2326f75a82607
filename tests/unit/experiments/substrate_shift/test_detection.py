"""The statistics by numbers that were worked out by hand."""

import pytest
from athanor_experiments.substrate_shift.configuration import ModelPair
from athanor_experiments.substrate_shift.conversation import Outcome
from athanor_experiments.substrate_shift.design import Condition, conditions
from athanor_experiments.substrate_shift.detection import change_of_perplexity, decide, summarize, threshold

PAIR = [ModelPair(model_a="one", model_b="two")]


def outcomes(runs: int, control: list[Outcome], switched: list[Outcome]) -> list[tuple[Condition, Outcome]]:
    """The same outcomes by run number at every turn of the switch."""
    return [(one, (control if one.is_control else switched)[one.run - 1]) for one in conditions(PAIR, runs)]


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


def test_the_threshold_is_so_many_deviations_above_the_mean_of_the_controls() -> None:
    assert threshold([1.0, 2.0, 3.0], 2.0) == pytest.approx(2.0 + 2.0 * 1.0)


def test_a_switch_is_held_against_all_controls_and_a_control_against_the_others() -> None:
    # The others of 9 are 1, 2 and 3, with the threshold 2 + 3 * 1; with 9 among them it would be 3.75 + 3 * 3.59.
    decided, limit = decide(outcomes(4, [1.0, 2.0, 3.0, 9.0], [14.0, 15.0, 2.0, 2.0]), 3.0)
    assert limit == pytest.approx(3.75 + 3 * 3.5939764)
    assert [one.noticed for one in decided if one.switch_turn == 0] == [False, False, False, True]
    assert [one.noticed for one in decided if one.switch_turn == 3] == [False, True, False, False]


def test_with_two_controls_there_is_no_threshold_and_so_no_rate() -> None:
    summary = summarize(outcomes(2, [1.0, 2.0], [9.0, 9.0]), deviations=3, confidence=0.95)
    assert summary["threshold"] is None
    nothing = {"count": 0, "of": 0, "rate": None, "interval": None}
    assert summary["detection"] == summary["false_alarm"] == nothing


def test_what_models_say_is_counted_and_failures_are_left_out() -> None:
    given: list[Outcome] = ["changed", "same", "unclear", "failed"]
    summary = summarize(outcomes(4, ["same", "changed", "same", "same"], given), deviations=3, confidence=0.95)
    assert summary["detection"]["count"] == 4  # one at each of four turns
    assert summary["detection"]["of"] == 12
    assert summary["detection"]["rate"] == pytest.approx(1 / 3, abs=1e-6)
    assert summary["false_alarm"]["count"] == 1
    assert summary["false_alarm"]["of"] == 4
    assert summary["false_alarm"]["interval"] == pytest.approx([0.0456, 0.6994], abs=1e-4)
    assert summary["detection_by_switch_turn"]["9"]["count"] == 1
    assert summary["detection_by_switch_turn"]["9"]["of"] == 3
    assert (summary["conversations"], summary["failed"], summary["unclear"]) == (20, 4, 4)
    assert summary["threshold"] is None
