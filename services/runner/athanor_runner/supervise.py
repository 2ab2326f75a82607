"""Tasks that belong together: named, owned, and ended together."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any


async def until_first_ends(**jobs: Coroutine[Any, Any, Any]) -> None:
    """Runs every job as a task of its name until the first ends, cancels the others, and waits for all of them.

    Raises what the first one raised. When several have failed by then the one named first is raised.
    """
    tasks = [asyncio.create_task(job, name=name) for name, job in jobs.items()]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        ended = [task for task in tasks if task.done()]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in ended:
        task.result()


async def first_of(*, timeout: float | None, **waits: Coroutine[Any, Any, Any]) -> None:
    """Like `until_first_ends`, but for no longer than `timeout` seconds; None is without end."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            await until_first_ends(**waits)
