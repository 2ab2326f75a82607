"""Work is done several items at a time, in order, and stops when the run is cancelled, whatever it waits for."""

import asyncio

import pytest
from athanor.experiment import RunContext, experiment
from athanor.experiment.testing import run_experiment
from athanor_experiments import parallel
from athanor_experiments.parallel import work_through


def test_never_more_at_a_time_than_allowed_and_all_of_it() -> None:
    at_once, most, begun = 0, 0, []

    @experiment
    async def counts(ctx: RunContext) -> None:
        async def work(item: int) -> None:
            nonlocal at_once, most
            begun.append(item)
            at_once += 1
            most = max(most, at_once)
            for _ in range(3):
                await asyncio.sleep(0)
            at_once -= 1

        await work_through(ctx, list(range(10)), work, parallelism=3, done=2)

    run = run_experiment(counts)
    assert run.outcome == "completed"
    assert (begun, most) == (list(range(10)), 3)
    assert run.progress is not None
    assert (run.progress.current, run.progress.total) == (12, 12)


def test_nothing_to_do_is_done() -> None:
    @experiment
    async def rests(ctx: RunContext) -> None:
        async def work(item: int) -> None:
            raise AssertionError(item)

        await work_through(ctx, [], work, parallelism=3, done=4)

    run = run_experiment(rests)
    assert run.outcome == "completed"
    assert run.progress is not None
    assert (run.progress.current, run.progress.total) == (4, 4)


def test_cancellation_reaches_work_that_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "LOOK_EVERY_S", 0)
    undone = []

    @experiment
    async def waits(ctx: RunContext) -> None:
        async def work(item: int) -> None:
            ctx.info("waiting")
            try:
                await asyncio.Event().wait()
            finally:
                undone.append(item)

        await work_through(ctx, [1, 2, 3], work, parallelism=2)

    run = run_experiment(waits, cancel_after=2, cancel_reason="enough")
    assert run.outcome == "cancelled"
    assert sorted(undone) == [1, 2]


def test_what_work_raises_fails_the_run_and_ends_the_rest() -> None:
    @experiment
    async def breaks(ctx: RunContext) -> None:
        async def work(item: int) -> None:
            if item == 2:
                raise ValueError("two")
            await asyncio.Event().wait()

        await work_through(ctx, [1, 2, 3], work, parallelism=2)

    run = run_experiment(breaks)
    assert run.outcome == "failed"
    assert run.failure is not None
    assert "ValueError: two" in run.failure.detail
