"""The strengths by cases whose answer is known."""

import math

import pytest
from athanor_experiments.judge.bradley_terry import NotConnectedError, connected_groups, log_strengths


def expected_wins(strengths: list[float], games: float = 12) -> list[list[float]]:
    """What comes of it on average: of such wins the greatest likelihood is at the strengths themselves."""
    return [[0.0 if i == j else games * a / (a + b) for j, b in enumerate(strengths)] for i, a in enumerate(strengths)]


def test_of_two_the_ratio_of_strengths_is_that_of_wins() -> None:
    assert log_strengths([[0, 3], [1, 0]]) == pytest.approx([math.log(3) / 2, -math.log(3) / 2])


@pytest.mark.parametrize("strengths", [[1, 2, 4], [1, 1, 1, 1], [5, 0.1, 3, 0.7]])
def test_strengths_are_found_again_from_the_wins_that_they_lead_to(strengths: list[float]) -> None:
    center = math.fsum(map(math.log, strengths)) / len(strengths)
    expected = [math.log(one) - center for one in strengths]
    assert log_strengths(expected_wins(strengths)) == pytest.approx(expected, abs=1e-6)


def test_at_the_maximum_everybody_has_won_as_often_as_was_to_be_expected() -> None:
    """The likelihood equations, of a tournament in which not everybody met."""
    wins = [[0, 4, 0, 1], [2, 0, 3.5, 0], [0, 1.5, 0, 2], [3, 0, 2, 0]]
    strengths = [math.exp(value) for value in log_strengths(wins)]
    for i in range(4):
        others = [j for j in range(4) if j != i]
        expected = sum((wins[i][j] + wins[j][i]) * strengths[i] / (strengths[i] + strengths[j]) for j in others)
        assert sum(wins[i]) == pytest.approx(expected, abs=1e-6)


def test_a_tie_as_two_halves_draws_two_together() -> None:
    assert log_strengths([[0, 0.5], [0.5, 0]]) == pytest.approx([0, 0])
    won, tied = log_strengths([[0, 3], [1, 0]]), log_strengths([[0, 3.5], [1.5, 0]])
    assert tied[0] < won[0]


@pytest.mark.parametrize(
    ("wins", "groups"),
    [
        ([[0, 1], [0, 0]], [[0], [1]]),  # somebody always won
        ([[0, 1, 1], [1, 0, 1], [0, 0, 0]], [[0, 1], [2]]),
        ([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]], [[0, 1], [2, 3]]),  # two tournaments
        ([[0, 1, 0], [0, 0, 1], [1, 0, 0]], [[0, 1, 2]]),  # in a circle
    ],
)
def test_connectedness_is_checked(wins: list[list[float]], groups: list[list[int]]) -> None:
    assert connected_groups(wins) == groups
    if len(groups) > 1:
        with pytest.raises(NotConnectedError) as caught:
            log_strengths(wins)
        assert caught.value.groups == groups
    else:
        assert log_strengths(wins) == pytest.approx([0, 0, 0])


def test_a_prior_makes_somebody_who_always_won_finite_but_connects_nobody_who_never_met() -> None:
    assert log_strengths([[0, 4], [0, 0]], prior_wins=0.5) == pytest.approx([math.log(9) / 2, -math.log(9) / 2])
    with pytest.raises(NotConnectedError):
        log_strengths([[0, 1, 0], [1, 0, 0], [0, 0, 0]], prior_wins=0.5)
