"""Running an experiment in a test's own process."""

import asyncio
import logging
import signal
import threading
from contextvars import ContextVar
from typing import Any

import pytest
from athanor.experiment import DefinitionError, RunContext, experiment
from athanor.experiment.testing import ConfigurationError, RecordedLog, RecordedProgress, RecordedRun, run_experiment
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


def where_a_loop_runs(*arguments: Any, **named: Any) -> RecordedRun:
    """As a cell of a notebook does it; without what `asyncio.run` makes of an interrupt."""

    async def cell() -> RecordedRun:
        return run_experiment(*arguments, **named)

    with asyncio.Runner() as runner:
        return runner.get_loop().run_until_complete(cell())


VARIABLE = ContextVar("VARIABLE", default="lost")


@experiment
async def says_where_it_is(ctx: RunContext[Any]) -> None:
    await asyncio.sleep(0)
    ctx.result("variable", VARIABLE.get())
    ctx.result("thread", threading.get_ident())


def test_a_coroutine_runs_also_where_a_loop_runs_already() -> None:
    before = VARIABLE.set("carried over")
    try:
        run, plain = where_a_loop_runs(says_where_it_is), run_experiment(says_where_it_is)
    finally:
        VARIABLE.reset(before)

    assert (run.outcome, run.failure) == ("completed", None)
    assert run.results["variable"] == plain.results["variable"] == ["carried over"]
    assert run.results["thread"] != plain.results["thread"] == [threading.get_ident()]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_where_a_loop_runs_it_ends_as_it_does_elsewhere(n: int) -> None:
    run, plain = where_a_loop_runs(fails, {"n": n}), run_experiment(fails, {"n": n})

    assert run.failure is not None
    assert plain.failure is not None
    assert (run.failure.kind, run.failure.message) == (plain.failure.kind, plain.failure.message)
    assert ("in fails" in run.failure.detail) == ("in fails" in plain.failure.detail)
    assert where_a_loop_runs(fails, {"n": n}, cancel_after=0).outcome == "cancelled"
    assert where_a_loop_runs(fails, {"n": n}, kill_after=0).failure == run_experiment(fails, kill_after=0).failure


@experiment
async def is_interrupted(ctx: RunContext[Any]) -> None:
    try:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        await asyncio.Event().wait()
    finally:
        ctx.result("cleaned", "up")


def test_an_interrupt_ends_it_also_where_a_loop_runs() -> None:
    run, plain = where_a_loop_runs(is_interrupted), run_experiment(is_interrupted)

    assert run.results == plain.results == {"cleaned": ["up"]}
    assert run.failure is not None
    assert plain.failure is not None
    assert run.failure.message == plain.failure.message == "KeyboardInterrupt"


@experiment
def says_its_thread(ctx: RunContext[Any]) -> None:
    ctx.result("thread", threading.get_ident())


def test_what_is_no_coroutine_stays_in_the_callers_thread() -> None:
    assert where_a_loop_runs(says_its_thread).results["thread"] == [threading.get_ident()]


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


@experiment
def resumes(ctx: RunContext[Config]) -> None:
    done = ctx.restored or 0
    ctx.info(f"attempt {ctx.run.attempt} of {ctx.run.max_attempts} goes on after {done}")
    for i in ctx.track(range(done, ctx.config.n), done=done):
        ctx.result(f"square/{i}", i * i)
        ctx.log_batch([("info", "one"), ("info", "two")])
        ctx.checkpoint(i + 1)


@pytest.mark.parametrize("events", range(14))
def test_killed_anywhere_the_next_attempt_ends_it_with_every_result_once(events: int) -> None:
    whole = run_experiment(resumes)
    killed = run_experiment(resumes, kill_after=events)
    assert killed.outcome == "failed"
    assert [event.kind for event in killed.events] == [event.kind for event in whole.events[: events + 1]]
    assert killed.failure is not None
    assert (killed.failure.kind, killed.failure.message) == ("process_exit", f"killed after {events} events")

    run = run_experiment(resumes, after=killed)
    assert (run.outcome, run.attempt) == ("completed", 2)
    assert run.messages[0] == f"attempt 2 of 2 goes on after {len(killed.checkpoints)}"
    assert run.standing_results == whole.results == whole.standing_results
    assert run.progress == RecordedProgress(3, 3, "")
    assert [event.sequence for event in (*killed.events, *run.events)] == list(
        range(1, len(killed.events) + len(run.events) + 1)
    )
    started = run_event_pb2.RunEvent.FromString(run.events[0].data)
    assert (started.attempt, started.attempt_started.restored_sequence) == (2, run.restored_sequence)


def test_one_that_dies_before_a_checkpoint_of_its_own_leaves_the_earlier_one() -> None:
    first = run_experiment(resumes, kill_after=7)  # behind the first checkpoint and the second result
    assert first.standing_results == {"square/0": [0], "square/1": [1]}
    second = run_experiment(resumes, after=first, kill_after=2)
    assert second.standing_results == {"square/0": [0], "square/1": [1]}
    third = run_experiment(resumes, after=second)
    assert (third.attempt, third.restored_sequence) == (3, second.restored_sequence)
    assert third.standing_results == {f"square/{i}": [i * i] for i in range(3)}
    assert third.results == {"square/1": [1], "square/2": [4]}


@experiment
def adds_to_what_it_had(ctx: RunContext[Config]) -> None:
    done = ctx.restored or []
    ctx.result("restored", list(done))
    done.append(1)
    if ctx.run.attempt == 1:
        ctx.checkpoint(done)


def test_what_an_attempt_does_with_its_restored_state_does_not_change_what_the_next_one_gets() -> None:
    first = run_experiment(adds_to_what_it_had)
    second = run_experiment(adds_to_what_it_had, after=first)
    third = run_experiment(adds_to_what_it_had, after=second)
    assert second.results["restored"] == third.results["restored"] == [[1]]


@experiment
def does_not_give_in(ctx: RunContext[Any]) -> None:
    for i in range(3):
        try:
            ctx.info(str(i))
        except BaseException:
            pass
        finally:
            ctx.result("last", "words")


def test_a_killed_one_records_nothing_more_whatever_it_tries() -> None:
    run = run_experiment(does_not_give_in, kill_after=1, capture=True)
    assert (run.outcome, run.messages, run.results) == ("failed", ["0"], {})


def test_the_next_attempt_says_by_itself_which_it_is() -> None:
    first = run_experiment(resumes, kill_after=1)
    for wrong in ({"attempt": 2}, {"restored": 1}):
        with pytest.raises(ValueError, match="leave out both"):
            run_experiment(resumes, after=first, **wrong)  # type: ignore[arg-type]
