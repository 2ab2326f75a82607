"""Pages of runs' logs, read once for all who want the same one at about the same time.

Who watches a run and falls behind is seldom alone in that. What is behind a position does not change as long as the run
is there; whether it is there, each watcher looks for itself. A page is given for a moment only, all the same: so a
database that was restored from an older copy is what counts soon.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

PAGES = 16  # each of about 256 KiB
MOMENT = 1.0  # seconds

T = TypeVar("T")


class LogPages(Generic[T]):
    """The pages that were read last, by run and the position that they follow."""

    def __init__(self) -> None:
        self._reads: dict[
            tuple[str, int], tuple[float, asyncio.Task[T]]
        ] = {}  # with when it began, by the loop's clock

    async def get(self, run_id: str, position: int, read: Callable[[], Awaitable[T]]) -> T:
        """Return what `read` does, or did for another reader. Raises what it raises, and then the next one reads."""
        # A reader that goes away takes nothing from the others.
        return await asyncio.shield(self.ahead(run_id, position, read))

    def ahead(self, run_id: str, position: int, read: Callable[[], Awaitable[T]]) -> asyncio.Task[T]:
        """Begin to read a page that somebody is going to ask for, unless it is there; `get` then has it the sooner."""
        key = run_id, position
        now = asyncio.get_running_loop().time()
        begun, task = self._reads.get(key, (now, None))
        if task is None or now - begun > MOMENT:
            task = asyncio.create_task(_awaited(read()), name=f"read run {run_id} after {position}")
            self._reads.pop(key, None)
            self._reads[key] = now, task
            task.add_done_callback(lambda done: self._done(key, done))
            if len(self._reads) > PAGES:
                # One that is still being read is waited for all the same, by those who have it.
                del self._reads[next(iter(self._reads))]
        return task

    def _done(self, key: tuple[str, int], task: asyncio.Task[T]) -> None:
        failed = task.cancelled() or task.exception() is not None
        if failed and key in self._reads and self._reads[key][1] is task:
            del self._reads[key]


async def _awaited(reading: Awaitable[T]) -> T:
    return await reading
