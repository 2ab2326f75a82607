"""Work through a list, several at a time, with progress, until it is done or the run is cancelled."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from athanor.experiment import RunContext

ItemT = TypeVar("ItemT")

LOOK_EVERY_S = 0.5
"""How often it is looked whether cancellation was requested while everything waits for something."""


async def work_through(
    ctx: RunContext[Any],
    items: Sequence[ItemT],
    work: Callable[[ItemT], Awaitable[None]],
    *,
    parallelism: int,
    done: int = 0,
) -> None:
    """Do the work of each item, in order, at most `parallelism` at a time.

    Args:
        items: what is left to do. work: what to do with each; it raises only for what ends the run. done: how many
        there were before, as after a checkpoint.

    Raises RunCancelled: between two items, and within half a second from whatever is waited for.
    """
    waiting, total = iter(items), done + len(items)
    ctx.progress(done, total)

    async def worker() -> None:
        nonlocal done
        for item in waiting:
            ctx.raise_if_cancelled()
            await work(item)
            done += 1
            ctx.progress(done, total)

    async with asyncio.TaskGroup() as group:
        workers = [group.create_task(worker(), name=f"worker-{number}") for number in range(parallelism)]
        watch = group.create_task(_watch(ctx), name="watch-cancellation")
        await asyncio.wait(workers)
        watch.cancel()


async def _watch(ctx: RunContext[Any]) -> None:
    """Raise RunCancelled in a task of its own, so that a long wait in another does not outlast the grace period."""
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        ctx.raise_if_cancelled()
