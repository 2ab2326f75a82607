"""From verdicts to wins, positions, intervals."""

import random
from typing import Any

import pytest
from athanor_experiments.judge import describe
from athanor_experiments.judge.ranking import bootstrap, count_wins, position_preference, rank

MODELS = ["one", "two", "three"]
OPTIONS: dict[str, Any] = {"prior_wins": 0.5, "resamples": 100, "confidence": 0.95}


def test_wins_are_counted_over_both_positions() -> None:
    # one beats two; one and three tie, because the judge took the first both times; of two and three nothing is known.
    wins = count_wins(["ABAA??"], 3)
    assert wins == [[0, 1, 0.5], [0, 0, 0], [0.5, 0, 0]]


def test_the_preference_for_a_position_is_told() -> None:
    assert position_preference(["AB", "AA", "T?"]).count == 3
    assert position_preference(["AB", "AA", "T?"]).of == 4


def test_models_are_ranked_from_the_strongest() -> None:
    by_prompt = [["ABABAB"], ["ABABBA"], ["ABABAB"], ["TTABAB"]]
    ranking = rank(by_prompt, MODELS, rng=random.Random(1), **OPTIONS)
    assert ranking["connected"] is True
    assert [entry["model"] for entry in ranking["ranking"]] == ["one", "two", "three"]
    first = ranking["ranking"][0]
    assert (first["won"], first["tied"], first["lost"]) == (7, 1, 0)
    for entry in ranking["ranking"]:
        low, high = entry["interval"]
        assert low <= entry["log_strength"] <= high
    assert ranking["resamples_left_out"] == 0
    assert ranking["verdicts_missing"] == 0


def test_by_the_likelihood_alone_somebody_who_always_won_has_no_strength() -> None:
    by_prompt = [["ABABAB"], ["ABABBA"]]
    ranking = rank(by_prompt, MODELS, rng=random.Random(1), **(OPTIONS | {"prior_wins": 0}))
    assert ranking["connected"] is False
    assert ranking["groups"] == [["one"], ["two", "three"]]
    assert all(entry["log_strength"] is None and entry["interval"] is None for entry in ranking["ranking"])


def test_resamples_without_strengths_are_left_out_and_counted() -> None:
    by_prompt = [["AB"], ["BA"]]  # half of the resamples have one of them twice
    ranking = rank(by_prompt, MODELS[:2], rng=random.Random(1), **(OPTIONS | {"prior_wins": 0}))
    assert 30 < ranking["resamples_left_out"] < 70
    assert ranking["connected"] is True


def test_answers_of_one_prompt_are_drawn_together() -> None:
    """One prompt alone: every resample is the sample, however many answers it has."""
    samples = bootstrap([["AB", "BA", "AB"]], 2, 0.5, 20, random.Random(1))
    assert len(set(map(tuple, samples))) == 1


@pytest.mark.parametrize(
    "by_prompt",
    [
        [["AB", "BA", "AB"]],  # one prompt
        [["AB", "AB", "BA"], ["A?", "??", "?B"], ["??", "??", "??"]],  # one that was judged
        [["AB"]] * 12,  # no two that differ
    ],
)
def test_where_nothing_varies_there_is_no_interval(by_prompt: list[list[str]]) -> None:
    """One of no width would say that the strength is known exactly."""
    ranking = rank(by_prompt, MODELS[:2], rng=random.Random(1), **OPTIONS)
    assert [entry["interval"] for entry in ranking["ranking"]] == [None, None]
    assert ranking["ranking"][0]["log_strength"] > 0
    assert describe(ranking).endswith("; too little varies for intervals")


def test_a_pair_that_was_judged_in_one_order_alone_does_not_count() -> None:
    by_prompt = [["A?", "?B", "A?"], ["AB", "BA", "TT"]]
    assert count_wins([verdicts for one in by_prompt for verdicts in one], 2) == [[0, 1.5], [1.5, 0]]


@pytest.mark.parametrize("prior", [0.5, 0.01, 0.001, 1e-9])
def test_whoever_always_wins_is_ranked_with_any_prior(prior: float) -> None:
    """Ten models, each of which beats all behind it, in far more comparisons than there can be: none is too far off."""
    models = [f"model {number}" for number in range(10)]
    by_prompt = [["AB" * 45]] * 1000
    options = OPTIONS | {"prior_wins": prior, "resamples": 3}
    ranking = rank(by_prompt, models, rng=random.Random(1), **options)
    assert ranking["converged"]
    assert [entry["model"] for entry in ranking["ranking"]] == models
    assert ranking["resamples_left_out"] == 0


def test_strengths_that_are_not_found_are_no_ranking_and_no_failure() -> None:
    """With a prior that the numbers of a computer hardly have."""
    models = [f"model {number}" for number in range(10)]
    options = OPTIONS | {"prior_wins": 1e-300}
    ranking = rank([["AB" * 45]], models, rng=random.Random(1), **options)
    assert (ranking["connected"], ranking["converged"]) == (True, False)
    assert all(entry["log_strength"] is None and entry["interval"] is None for entry in ranking["ranking"])
