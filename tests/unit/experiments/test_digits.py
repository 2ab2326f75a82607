"""The numbers of `digits`: the same with the same seed, resumable after any fit, and right by the textbook."""

import statistics
from typing import Any

import numpy as np
import pytest
from athanor.experiment.testing import ConfigurationError, RecordedRun, run_experiment
from athanor_experiments import digits as module
from athanor_experiments.digits import digits

SMALL = {"classifiers": ["k_nearest", "rbf_svm"], "training_sizes": [50, 100], "repeats": 3}


def accuracies(run: RecordedRun) -> dict[str, float]:
    return {key: value["accuracy"] for key, (value,) in run.results.items() if key.startswith("fit/")}


def without_times(results: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {
        key: [{name: item for name, item in value.items() if name != "fit_time_s"} for value in values]
        for key, values in results.items()
    }


def test_every_fit_and_every_cell_of_the_grid_has_its_result() -> None:
    run = run_experiment(digits, SMALL, seed=7)
    assert run.outcome == "completed"
    fits = [f"fit/{name}/{size}/{n}" for name in SMALL["classifiers"] for size in (50, 100) for n in (1, 2, 3)]
    cells = [f"summary/{name}/{size}" for name in SMALL["classifiers"] for size in (50, 100)]
    assert set(run.results) == {*fits, *cells, "summary"}
    assert all(len(values) == 1 for values in run.results.values())
    assert run.progress is not None
    assert (run.progress.current, run.progress.total) == (12, 12)


def test_a_fit_says_what_it_was_and_its_confusion_matrix_adds_up() -> None:
    run = run_experiment(digits, SMALL, seed=7)
    for key, (fit,) in run.results.items():
        if key.startswith("fit/"):
            matrix = np.array(fit["confusion_matrix"])
            assert matrix.shape == (10, 10)
            assert matrix.sum() == fit["test_size"] == module.TEST_SIZE
            assert fit["accuracy"] == pytest.approx(matrix.trace() / matrix.sum(), abs=1e-6)
            assert key == f"fit/{fit['classifier']}/{fit['training_size']}/{fit['repeat']}"
            assert fit["fit_time_s"] > 0
            assert fit["accuracy"] > 0.5, "far better than guessing"


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others() -> None:
    first, again = (run_experiment(digits, SMALL, seed=7) for _ in range(2))
    assert without_times(first.results) == without_times(again.results)
    assert accuracies(first) != accuracies(run_experiment(digits, SMALL, seed=8))


def test_classifiers_are_compared_on_the_same_digits() -> None:
    """The matrix's row sums are the digits that were tested: alike for all classifiers of a size and repeat."""
    run = run_experiment(digits, SMALL, seed=7)
    for size in (50, 100):
        for repeat in (1, 2, 3):
            rows = {
                tuple(map(sum, run.results[f"fit/{name}/{size}/{repeat}"][0]["confusion_matrix"]))
                for name in SMALL["classifiers"]
            }
            assert len(rows) == 1


def test_killed_after_any_event_it_goes_on_and_every_fit_is_there_once() -> None:
    few = SMALL | {"training_sizes": [50], "repeats": 2}
    whole = run_experiment(digits, few, seed=7)
    assert len(whole.checkpoints) == 4
    for events in range(1, len(whole.events) - 1):
        killed = run_experiment(digits, few, seed=7, kill_after=events)
        rest = run_experiment(digits, few, seed=7, after=killed)
        assert len(accuracies(rest)) == 4 - len(killed.checkpoints), "no fit that was finished is repeated"
        assert rest.progress is not None
        assert (rest.progress.current, rest.progress.total) == (4, 4)

        standing = without_times(rest.standing_results)
        assert standing == without_times(whole.results)
        assert all(len(values) == 1 for values in standing.values())


def test_three_attempts_of_which_the_second_finishes_no_fit() -> None:
    whole = run_experiment(digits, SMALL, seed=7)
    first = run_experiment(digits, SMALL, seed=7, kill_after=9)
    second = run_experiment(digits, SMALL, seed=7, after=first, kill_after=3)  # behind a result, before its checkpoint
    assert len(accuracies(second)) == 1
    assert second.checkpoints == []
    third = run_experiment(digits, SMALL, seed=7, after=second)
    assert without_times(third.standing_results) == without_times(whole.results)


def test_a_cancelled_run_keeps_what_it_had() -> None:
    run = run_experiment(digits, SMALL, seed=7, cancel_after=5)
    assert run.outcome == "cancelled"
    assert 0 < len(accuracies(run)) < 12
    assert "summary" not in run.results


def test_mean_and_interval_are_those_of_the_textbook() -> None:
    values = [0.90, 0.92, 0.97, 0.91, 0.95]
    mean, deviation, interval = module.mean_and_interval(values, 0.95)
    assert mean == pytest.approx(statistics.mean(values))
    assert deviation == pytest.approx(statistics.stdev(values))
    half = 2.7764451 * statistics.stdev(values) / 5**0.5  # t for 4 degrees of freedom, two-sided 95 %
    assert interval == pytest.approx((mean - half, mean + half), abs=1e-7)


def test_a_single_fit_has_no_interval() -> None:
    run = run_experiment(digits, SMALL | {"repeats": 1}, seed=7)
    assert run.results["summary/k_nearest/50"][0]["sd"] is None
    assert run.results["summary/k_nearest/50"][0]["interval"] is None
    assert run.outcome == "completed"


@pytest.mark.parametrize("name", ["logistic_regression", "linear_svm", "rbf_svm", "k_nearest", "random_forest"])
def test_every_classifier_learns(name: str) -> None:
    run = run_experiment(digits, {"classifiers": [name], "training_sizes": [300], "repeats": 1}, seed=1)
    assert run.results[f"fit/{name}/300/1"][0]["accuracy"] > 0.85


@pytest.mark.parametrize(
    "wrong",
    [
        {"classifiers": []},
        {"classifiers": ["a_guess"]},
        {"training_sizes": [49]},
        {"training_sizes": [1401]},
        {"repeats": 0},
        {"repeats": 101},
        {"confidence": 1.0},
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        run_experiment(digits, wrong)
