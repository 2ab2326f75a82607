"""Running an experiment in a test's own process."""

import asyncio
import logging
from typing import Any

import pytest
from athanor.experiment import DefinitionError, RunContext, experiment
from athanor.experiment.testing import ConfigurationError, RecordedLog, RecordedProgress, run_experiment
from athanor.v1 import run_event_pb2
from pydantic import BaseModel


class Config(BaseModel):
    n: int = 3


@experiment
def counts(ctx: RunContext[Config]) -> None:
    """Counts."""
    for i in ctx.track(range(ctx.config.n)):
        ctx.log("info", "counting", {"i": i})
        ctx.result("square", i * i)
    ctx.checkpoint({"n": ctx.config.n})
    ctx.result("sum", {"random": ctx.rng.random(), "restored": ctx.restored})


def test_what_it_recorded_is_handed_back() -> None:
    run = run_experiment(counts, {"n": 2}, seed=7)

    assert (run.outcome, run.failure, run.configuration) == ("completed", None, {"n": 2})
    assert run.results["square"] == [0, 1]
    assert run.logs == [RecordedLog("info", "counting", {"i": i}, "") for i in range(2)]
    assert run.messages == ["counting", "counting"]
    assert run.checkpoints == [{"n": 2}]
    assert run.progress == RecordedProgress(2, 2, "")
    assert [event.kind for event in run.events] == [
        "attempt_started",
        *("log", "result") * 2,
        "checkpoint",
        "result",
    ]
    assert [event.sequence for event in run.events] == list(range(1, 8))


def test_the_events_are_the_contracts_own() -> None:
    run = run_experiment(counts)

    events = [run_event_pb2.RunEvent.FromString(event.data) for event in run.events]
    assert events[0].attempt_started.configuration_json == '{"n":3}'
    assert [event.time.ToNanoseconds() for event in events] == [event.time_ns for event in run.events]
    assert events[2].result.value_json == "0"


def test_the_same_seed_gives_the_same_run() -> None:
    first, second = (run_experiment(counts, seed=5, restored="x").results["sum"] for _ in range(2))

    assert first == second
    assert first[0]["restored"] == "x"


@pytest.mark.parametrize("config", [None, {}, {"n": 3}, Config(), Config(n=3)])
def test_the_configuration_may_be_a_model_a_dict_or_nothing(config: Any) -> None:
    assert run_experiment(counts, config).configuration == {"n": 3}


@pytest.mark.parametrize(("config", "text"), [({"n": "x"}, "n: Input should be"), (Config, "is not what experiment")])
def test_a_configuration_that_does_not_fit_raises(config: Any, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        run_experiment(counts, config)


def test_what_is_no_experiment_raises() -> None:
    with pytest.raises(DefinitionError, match="decorate it with @experiment"):
        run_experiment(lambda ctx: None)


@pytest.mark.parametrize(("after", "results"), [(0, []), (1, [0]), (2, [0]), (3, [0, 1]), (100, [0, 1, 4])])
def test_it_is_cancelled_after_some_events(after: int, results: list[int]) -> None:
    run = run_experiment(counts, cancel_after=after, cancel_reason="enough")

    assert run.results.get("square", []) == results
    assert run.outcome == ("completed" if after == 100 else "cancelled")


@experiment
def leaves_early(ctx: RunContext[Any]) -> None:
    if ctx.cancelled:
        ctx.info("leaving", {"reason": ctx.cancel_reason})
        return
    ctx.info("staying")


def test_who_has_seen_the_cancellation_and_returns_is_cancelled() -> None:
    run = run_experiment(leaves_early, cancel_after=0, cancel_reason="enough")

    assert (run.outcome, run.failure) == ("cancelled", None)
    assert run.logs == [RecordedLog("info", "leaving", {"reason": "enough"}, "")]
    assert run_experiment(leaves_early, cancel_after=1).outcome == "completed"


@experiment
async def fails(ctx: RunContext[Config]) -> None:
    await asyncio.sleep(0)
    if ctx.config.n == 1:
        ctx.fail("said so")
    if ctx.config.n == 2:
        raise MemoryError
    raise ValueError("raised")


@pytest.mark.parametrize(
    ("n", "kind", "message"),
    [(1, "reported", "said so"), (2, "out_of_memory", "MemoryError"), (3, "exception", "ValueError: raised")],
)
def test_failures_are_handed_back(n: int, kind: str, message: str) -> None:
    run = run_experiment(fails, {"n": n})

    assert run.outcome == "failed"
    assert run.failure is not None
    assert (run.failure.kind, run.failure.message) == (kind, message)
    assert ("in fails" in run.failure.detail) == (kind != "reported")
    assert run_experiment(fails, {"n": n}, cancel_after=0).outcome == "cancelled"


@experiment
def prints(ctx: RunContext[Any]) -> None:
    print("printed")
    logging.getLogger("library").warning("logged")


def test_output_is_captured_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert [(entry.source, entry.message) for entry in run_experiment(prints, capture=True).logs] == [
        ("stdout", "printed"),
        ("library", "logged"),
    ]
    assert capsys.readouterr().out == ""

    assert run_experiment(prints).logs == []
    assert capsys.readouterr().out == "printed\n"
