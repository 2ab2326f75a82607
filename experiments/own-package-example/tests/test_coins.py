"""Without services: `athanor.experiment.testing` runs an experiment in the test's own process."""

import pytest
from athanor.experiment.testing import ConfigurationError, run_experiment
from coin_lab.coins import coins


@pytest.mark.parametrize("biased", [True, False])
def test_it_is_mostly_right(biased: bool) -> None:
    run = run_experiment(coins, {"biased": biased, "bias": 0.7, "trials": 400}, seed=1)
    (summary,) = run.results["summary"]
    called_wrong = 1 - summary["said_biased"] if biased else summary["said_biased"]
    assert run.outcome == "completed"
    assert called_wrong < 0.1
    assert summary["mean_tosses"] > 5


def test_killed_anywhere_every_trial_is_there_once() -> None:
    whole = run_experiment(coins, {"trials": 3}, seed=7)
    for events in range(len(whole.events) - 1):
        killed = run_experiment(coins, {"trials": 3}, seed=7, kill_after=events)
        resumed = run_experiment(coins, {"trials": 3}, seed=7, after=killed)
        assert resumed.standing_results == whole.results


def test_it_stops_when_it_is_cancelled() -> None:
    run = run_experiment(coins, {"trials": 100}, cancel_after=4)
    assert run.outcome == "cancelled"
    assert "summary" not in run.results


def test_a_coin_that_is_not_biased_is_no_hypothesis() -> None:
    with pytest.raises(ConfigurationError):
        run_experiment(coins, {"bias": 0.5})
