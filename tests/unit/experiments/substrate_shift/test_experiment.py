"""The whole experiment with local models: what it records, that it tells models apart, and that it goes on."""

import re
from typing import Any

import pytest
from athanor.experiment.testing import ConfigurationError, run_experiment
from athanor_experiments.substrate_shift import describe, substrate_shift
from athanor_experiments.substrate_shift.detection import change_of_perplexity

TINY: dict[str, Any] = {
    "pairs": [{"model_a": "zen", "model_b": "zen/2"}],
    "runs_per_pair": 1,
    "max_tokens": 10,
    "parallelism": 3,
}


def test_two_different_models_are_told_apart_and_two_equal_ones_are_not() -> None:
    pairs = [{"model_a": "reference", "model_b": "source"}, {"model_a": "reference", "model_b": "reference"}]
    run = run_experiment(substrate_shift, {"pairs": pairs, "runs_per_pair": 10, "max_tokens": 60}, seed=7)
    assert run.outcome == "completed"
    (summary,) = run.results["summary"]
    assert (summary["seed"], summary["provider"], summary["method"]) == (7, "local", "perplexity")
    assert {name: len(digest) for name, digest in summary["texts"].items()} == {"reference": 64, "source": 64}
    different, equal = summary["pairs"]["pair_1"], summary["pairs"]["pair_2"]

    assert different["detection"]["rate"] >= 0.9
    assert different["false_alarm"]["rate"] <= 0.3
    assert different["detection"]["interval"][0] > different["false_alarm"]["interval"][1]

    assert equal["detection"]["rate"] <= 0.3
    assert equal["false_alarm"]["rate"] <= 0.3
    assert equal["detection"]["interval"][0] < equal["false_alarm"]["interval"][1]


def test_a_model_that_knows_less_is_told_from_one_that_knows_more_and_hardly_the_other_way_round() -> None:
    """As the page about the examples says, with figures of many seeds."""
    pairs = [{"model_a": "reference/5", "model_b": "reference/4"}, {"model_a": "reference/4", "model_b": "reference/5"}]
    run = run_experiment(substrate_shift, {"pairs": pairs}, seed=7)
    down, up = run.results["summary"][0]["pairs"].values()
    assert down["detection"]["rate"] >= 0.95
    assert 0.1 <= up["detection"]["rate"] <= 0.5


def test_each_conversation_is_one_result_with_all_that_was_said() -> None:
    run = run_experiment(substrate_shift, TINY | {"runs_per_pair": 2}, seed=7)
    keys = [f"pair_1/switch_{turn}/run_{number}" for turn in (0, 3, 5, 7, 9) for number in (1, 2)]
    assert set(run.results) == {*keys, "summary"}
    assert all(len(values) == 1 for values in run.results.values())
    for key in keys:
        (result,) = run.results[key]
        assert result["state"] == "completed"
        assert result["verdict"] is None, "a local model cannot judge itself"
        assert result["log_perplexity_change"] > 0
        models = [turn["model"] for turn in result["turns"]]
        switch = result["switch_turn"] or 11
        assert models == ["zen"] * (switch - 1) + ["zen/2"] * (11 - switch)
        for turn in result["turns"]:
            assert turn["logprobs"]["tokens"] == list(turn["answer"])
            assert len(turn["logprobs"]["logprobs"]) == turn["usage"]["completion_tokens"] == 10
    # Drawn anew in each, also where question and model are the same.
    begun = {"".join(turn["answer"] for turn in run.results[key][0]["turns"][:2]) for key in keys}
    assert len(begun) == 10
    assert run.progress is not None
    assert (run.progress.current, run.progress.total) == (10, 10)


def test_the_same_seed_gives_the_same_whatever_goes_on_at_once() -> None:
    first = run_experiment(substrate_shift, TINY, seed=7).results
    assert run_experiment(substrate_shift, TINY | {"parallelism": 1}, seed=7).results == first
    assert run_experiment(substrate_shift, TINY, seed=8).results != first


def test_conversations_come_in_the_order_of_the_seed() -> None:
    one_by_one = TINY | {"parallelism": 1}
    first, other = (list(run_experiment(substrate_shift, one_by_one, seed=seed).results) for seed in (7, 8))
    assert sorted(first) == sorted(other)
    assert first != other


def test_killed_after_any_event_it_goes_on_and_no_conversation_is_repeated() -> None:
    whole = run_experiment(substrate_shift, TINY, seed=7)
    assert len(whole.checkpoints) == 5
    for events in range(len(whole.events) - 1):
        killed = run_experiment(substrate_shift, TINY, seed=7, kill_after=events)
        rest = run_experiment(substrate_shift, TINY, seed=7, after=killed)
        assert rest.outcome == "completed"
        assert len(rest.checkpoints) == 5 - len(killed.checkpoints)
        assert len([key for key in rest.results if key.startswith("pair_")]) == 5 - len(killed.checkpoints)
        assert rest.standing_results == whole.results
        assert rest.progress is not None
        assert (rest.progress.current, rest.progress.total) == (5, 5)


def test_a_cancelled_run_keeps_the_conversations_that_were_finished() -> None:
    run = run_experiment(substrate_shift, TINY | {"parallelism": 1}, seed=7, cancel_after=6)
    assert run.outcome == "cancelled"
    assert "summary" not in run.results
    assert len(run.results) == len(run.checkpoints) == 2


@pytest.mark.parametrize("name", ["novel", "zen/99"])
def test_a_model_that_there_is_not_fails_the_run_with_those_that_there_are(name: str) -> None:
    run = run_experiment(substrate_shift, {"pairs": [{"model_a": "zen", "model_b": name}]})
    assert run.outcome == "failed"
    assert run.failure is not None
    assert f"there is no local model {name!r}" in run.failure.message
    assert run.failure.kind == "reported"
    assert "Traceback" not in run.failure.message + run.failure.detail


def test_too_few_conversations_are_said_to_be_too_few() -> None:
    run = run_experiment(substrate_shift, TINY, seed=7)
    needs = "a threshold needs 3 controls, and so as many runs_per_pair"
    assert run.messages[-1] == f"pair_1: zen and then zen/2: too few conversations to tell: {needs}"


def test_the_log_says_what_came_of_each_conversation_and_of_an_earlier_attempt() -> None:
    run = run_experiment(substrate_shift, TINY | {"parallelism": 1}, seed=7)
    assert run.messages[0] == "5 conversations of 1 pair of models"
    found = sorted(run.messages[1:-1])
    change = run.results["pair_1/switch_3/run_1"][0]["log_perplexity_change"]
    assert re.fullmatch(r"pair_1/switch_0/run_1: zen: perplexity changes by \d\.\d{3} nats", found[0])
    assert found[1] == f"pair_1/switch_3/run_1: zen, from turn 3 on zen/2: perplexity changes by {change:.3f} nats"

    killed = run_experiment(substrate_shift, TINY, seed=7, kill_after=8)
    rest = run_experiment(substrate_shift, TINY, seed=7, after=killed)
    done = len(killed.checkpoints)
    assert done > 0
    assert rest.messages[0] == f"5 conversations of 1 pair of models, {done} of them held by an earlier attempt"


def test_what_is_recorded_is_what_is_computed_with() -> None:
    run = run_experiment(substrate_shift, TINY, seed=7)
    for key in [key for key in run.results if key != "summary"]:
        (result,) = run.results[key]
        recorded = [turn["log_perplexity_under_first"] for turn in result["turns"]]
        assert result["log_perplexity_change"] == round(change_of_perplexity(recorded), 6)


def test_the_summary_can_be_compared_over_runs() -> None:
    """Numbers under keys, none of them in a list, are what a comparison of runs takes."""
    run = run_experiment(substrate_shift, TINY | {"runs_per_pair": 3}, seed=7)
    (summary,) = run.results["summary"]
    assert isinstance(summary["pairs"]["pair_1"]["detection"]["rate"], float)
    assert isinstance(summary["pairs"]["pair_1"]["false_alarm"]["rate"], float)


def test_a_line_for_people() -> None:
    rates = {"detection": {"rate": 0.9, "interval": [0.8, 0.96]}, "false_alarm": {"rate": 0.1, "interval": [0.02, 0.4]}}
    pair: dict[str, Any] = {"model_a": "one", "model_b": "two", **rates}
    line = describe(pair | {"judged_by": {"detection": "one", "false_alarm": "one"}})
    assert line == "one and then two: noticed 90% (80% to 96%), false alarms 10% (2% to 40%)"
    line = describe(pair | {"judged_by": {"detection": "two", "false_alarm": "one"}})
    assert line == "one and then two: noticed 90% (80% to 96%) by two, false alarms 10% (2% to 40%) by one"


@pytest.mark.parametrize(
    "wrong",
    [
        {"pairs": []},
        {"pairs": [{"model_a": "zen", "model_b": "zen"}] * 11},
        {"pairs": [{"model_a": "zen"}]},
        {"runs_per_pair": 0},
        {"runs_per_pair": 101},
        {"parallelism": 0},
        {"parallelism": 11},
        {"false_alarm_rate": 0},
        {"provider": "remote"},
        {"api": {"base_url": "nowhere"}},
        {"questions": 3},
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        run_experiment(substrate_shift, wrong)


def test_the_schema_has_what_a_form_needs() -> None:
    from athanor_experiments.substrate_shift.configuration import Config

    schema = Config.model_json_schema()
    assert schema["properties"]["parallelism"]["minimum"] == 1
    assert schema["properties"]["parallelism"]["maximum"] == 10
    assert schema["properties"]["runs_per_pair"]["minimum"] == 1
    assert schema["properties"]["runs_per_pair"]["maximum"] == 100
    fields = [*schema["properties"].values(), *(f for d in schema["$defs"].values() for f in d["properties"].values())]
    assert all(field.get("title") for field in fields)
