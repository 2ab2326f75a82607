from athanor.experiment.testing import run_experiment
from athanor_experiments.hello import hello


def test_it_greets_as_often_as_it_is_told() -> None:
    run = run_experiment(hello, {"name": "Ada", "times": 2})
    assert run.outcome == "completed"
    assert run.messages == ["Hello, Ada!", "Hello, Ada!"]
    assert run.results == {"greetings": [2]}


def test_it_stops_when_it_is_cancelled() -> None:
    run = run_experiment(hello, {"times": 100}, cancel_after=3)
    assert run.outcome == "cancelled"
    assert len(run.messages) == 3
    assert run.results == {}
