"""The whole experiment with local models."""

from typing import Any

import pytest
from athanor.experiment import RunContext
from athanor.experiment.testing import ConfigurationError, run_experiment
from athanor_experiments.judge import describe, judge
from athanor_experiments.judge.prompts import PROMPTS

TINY: dict[str, Any] = {
    "models": ["zen", "zen/1"],
    "judge_model": "zen/3",
    "prompts": ["What is beautiful?", "What is sparse?", "What is flat?"],
    "max_tokens": 60,
    "resamples": 50,
    "parallelism": 2,
}


def test_who_writes_in_the_manner_of_the_judge_comes_first() -> None:
    run = run_experiment(judge, TINY, seed=7)
    assert run.outcome == "completed"
    (ranking,) = run.results["ranking"]
    assert [entry["model"] for entry in ranking["ranking"]] == ["zen", "zen/1"]
    assert list(ranking["texts"]) == ["zen"]
    assert ranking["first_position"]["rate"] == 0.5, "the statistic does not depend on the position"


def test_every_answer_and_every_pair_has_its_result() -> None:
    run = run_experiment(judge, TINY | {"models": ["zen", "zen/1", "zen/2"], "answers_per_prompt": 2}, seed=7)
    rounds = [f"{prompt}/{number}" for prompt in (1, 2, 3) for number in (1, 2)]
    answers = {f"answer/{one}/{model}" for one in rounds for model in (1, 2, 3)}
    pairs = {f"comparison/{one}/{pair}" for one in rounds for pair in ("1/2", "1/3", "2/3")}
    assert set(run.results) == {*answers, *pairs, "ranking"}
    assert all(len(values) == 1 for values in run.results.values())
    (pair,) = run.results["comparison/2/1/1/3"]
    assert (pair["first"], pair["second"]) == ("zen", "zen/2")
    assert pair["in_order"]["log_perplexities"] == pair["swapped"]["log_perplexities"][::-1]


def test_killed_after_any_event_it_goes_on_and_no_round_is_repeated() -> None:
    whole = run_experiment(judge, TINY, seed=7)
    assert len(whole.checkpoints) == 3
    for events in range(len(whole.events) - 1):
        killed = run_experiment(judge, TINY, seed=7, kill_after=events)
        rest = run_experiment(judge, TINY, seed=7, after=killed)
        assert len(rest.checkpoints) == 3 - len(killed.checkpoints)
        assert rest.standing_results == whole.results


def test_a_cancelled_run_has_no_ranking() -> None:
    run = run_experiment(judge, TINY, seed=7, cancel_after=3)
    assert run.outcome == "cancelled"
    assert "ranking" not in run.results


def test_a_cancelled_run_does_not_wait_for_its_intervals() -> None:
    whole = run_experiment(judge, TINY, seed=7)
    before_ranking = len(whole.events) - 3  # without the ranking, the line about it and the end
    run = run_experiment(judge, TINY, seed=7, cancel_after=before_ranking)
    assert run.outcome == "cancelled"
    assert len(run.checkpoints) == 3
    assert "ranking" not in run.results


def test_the_progress_says_how_far_the_intervals_are(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[object, ...]] = []
    monkeypatch.setattr(RunContext, "progress", lambda _, *values: said.append(values))
    run_experiment(judge, TINY, seed=7)
    assert said[:4] == [(number, 3) for number in range(4)]
    assert said[4:-1] == [(number, 50, "resamples for the intervals") for number in range(50)]
    assert said[-1] == (3, 3)


def test_the_log_says_what_came_of_each_round() -> None:
    run = run_experiment(judge, TINY | {"models": ["zen", "zen/1", "zen/2"], "parallelism": 1}, seed=7)
    assert run.messages[0] == "3 rounds of 3 answers and 3 pairs"
    assert len(run.messages) == 5
    assert run.messages[1] == "prompt 1, answers 1: zen > zen/1, zen > zen/2, zen/1 < zen/2"
    killed = run_experiment(judge, TINY, seed=7, kill_after=8)
    assert len(killed.checkpoints) == 1
    rest = run_experiment(judge, TINY, seed=7, after=killed)
    assert rest.messages[0] == "3 rounds of 2 answers and 1 pair, 1 of them judged by an earlier attempt"


def test_strengths_are_there_by_model_for_a_comparison_of_runs() -> None:
    (ranking,) = run_experiment(judge, TINY, seed=7).results["ranking"]
    assert ranking["log_strengths"] == {entry["model"]: entry["log_strength"] for entry in ranking["ranking"]}


def test_there_is_a_dozen_different_prompts() -> None:
    assert len(set(PROMPTS)) == 12


def test_lines_for_people() -> None:
    entries = [
        {"model": "one", "log_strength": 0.5, "interval": [0.25, 1.0]},
        {"model": "two", "log_strength": -0.5, "interval": None},
    ]
    line = "from the strongest: one +0.50 (+0.25 to +1.00), two -0.50"
    assert describe({"connected": True, "converged": True, "ranking": entries}) == line
    assert "no ranking: the strengths are too far apart" in describe({"connected": True, "converged": False})
    assert describe({"connected": True, "converged": True, "ranking": entries[1:]}) == (
        "from the strongest: two -0.50; too little varies for intervals"
    )
    groups = {"connected": False, "groups": [["one"], ["two", "three"]]}
    assert describe(groups) == "no ranking: the wins connect these models only within groups: one; two, three"


@pytest.mark.parametrize(
    "wrong",
    [
        {"models": ["zen"]},
        {"models": ["zen", "zen"]},
        {"prompts": []},
        {"prompts": [""]},
        {"answers_per_prompt": 11},
        {"parallelism": 11},
        {"resamples": 10},
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        run_experiment(judge, wrong)
