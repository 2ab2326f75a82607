"""What is public, and what importing it brings along."""

import importlib.metadata

import athanor
import athanor.experiment
import pytest
from athanor.experiment import testing


def test_exports_of_experiment() -> None:
    assert athanor.experiment.__all__ == [
        "experiment",
        "RunContext",
        "RunInfo",
        "InstanceInfo",
        "Level",
        "Definition",
        "definition_of",
        "RunCancelled",
        "RecordingError",
        "InvalidValueError",
        "EventTooLargeError",
        "RunEndedError",
        "ForkedChildError",
        "DefinitionError",
    ]
    assert all(hasattr(athanor.experiment, name) for name in athanor.experiment.__all__)


def test_exports_of_testing() -> None:
    assert testing.__all__ == [
        "run_experiment",
        "RecordedRun",
        "RecordedEvent",
        "RecordedLog",
        "RecordedProgress",
        "RecordedFailure",
        "ConfigurationError",
    ]
    assert all(hasattr(testing, name) for name in testing.__all__)


def test_exports_of_athanor() -> None:
    assert athanor.__all__ == ["__version__", "client", "connect", "connect_async", "experiment"]
    assert athanor.__version__ == importlib.metadata.version("athanor")
    assert set(athanor.__all__) <= set(dir(athanor))
    with pytest.raises(AttributeError, match="module 'athanor' has no attribute 'nothing'"):
        _ = athanor.nothing  # type: ignore[attr-defined]


def test_the_members_of_a_context() -> None:
    members = {name for name in dir(athanor.experiment.RunContext) if not name.startswith("_")}

    assert members == {
        *("log", "debug", "info", "warn", "error", "log_batch", "result", "progress", "track"),
        *("complete", "fail", "cancelled", "cancel_reason", "raise_if_cancelled", "checkpoint", "rng"),
        *("cancellation_seen", "said"),
    }
