"""An orchestrator that does what it is told, on an event loop of its own: for a test that blocks."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from tests.support.fake_orchestrator import FakeOrchestrator, FakeRun

T = TypeVar("T")


class Elsewhere:
    """A FakeOrchestrator in another thread. What touches it is done there, by `do`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="orchestrator", daemon=True)
        self._thread.start()
        self.fake = self.wait(self._start())
        self.target = self.fake.target

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for a coroutine there."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def do(self, work: Callable[..., T], *arguments: Any) -> T:
        """Call a function there, and return what it returns."""

        async def call() -> T:
            return work(*arguments)

        return self.wait(call())

    def later(self, seconds: float, *work: Callable[[], Any]) -> None:
        """Call functions there after a while, one behind the other."""
        for function in work:
            self._loop.call_soon_threadsafe(self._loop.call_later, seconds, function)

    def run(self, run_id: str) -> FakeRun:
        """A run as it is there."""
        return self.fake.runs[run_id]

    def kill(self) -> None:
        """End the orchestrator at once; calls under way break."""
        self.wait(self.fake.kill())

    def start(self) -> None:
        """Start it again, at the same address."""
        self.wait(self.fake.start())

    def close(self) -> None:
        """End all of it."""
        if self.fake.server:
            self.kill()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self) -> FakeOrchestrator:
        fake = FakeOrchestrator()
        await fake.start()
        fake.add_experiment("hello", configuration_schema_json='{"type":"object"}')
        return fake
