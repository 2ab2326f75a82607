"""A FakeOrchestrator in a thread of its own, for tests of what has an event loop of its own."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

from tests.support.fake_orchestrator import FakeOrchestrator


class FakeThread:
    """`fake` is touched only by way of `do`, so that its event loop sees the change."""

    def __init__(self) -> None:
        self.fake = FakeOrchestrator()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake orchestrator")

    @property
    def target(self) -> str:
        return self.fake.target

    def do(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Call a function, or run a coroutine function, in the orchestrator's thread."""

        async def call() -> Any:
            result = function(*arguments, **options)
            return await result if asyncio.iscoroutine(result) else result

        future: Future[Any] = asyncio.run_coroutine_threadsafe(call(), self._loop)
        return future.result(30)

    def __enter__(self) -> Self:
        self._thread.start()
        self.do(self.fake.start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.fake.server:
            self.do(self.fake.kill)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()
