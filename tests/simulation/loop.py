"""A world of machines on one event loop: virtual time, and processes that can be paused, and killed as by `kill -9`.

Each simulated process is a `Process`, carried by the context of everything that it started. Killing one means that none
of its callbacks is ever called again: no `finally`, no `except`, no farewell. Pausing one holds its callbacks back.
"""

import asyncio
import heapq
import selectors
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context, ContextVar, copy_context
from typing import Any

BEGIN = 1000.0  # seconds of the loop's clock at which every world begins


class Process:
    """Something that runs in the world until it ends or is killed."""

    def __init__(self, name: str, machine: "Machine | None" = None) -> None:
        self.name = name
        self.machine = machine
        self.alive = True
        self.paused = False
        self.parked: deque[asyncio.Handle] = deque()  # callbacks that came up while it was paused
        self.tasks: set[asyncio.Task[Any]] = set()  # kept, so that what was killed is not finished by its collection
        self.thread_delay: Callable[[], float] = lambda: 0.0
        self.on_death: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        return self.name

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> "asyncio.Task[Any]":
        """Start a task of this process."""
        context = copy_context()
        context.run(CURRENT.set, self)
        return asyncio.get_running_loop().create_task(work, name=f"{self.name}: {name}", context=context)

    def kill(self) -> None:
        """End it: nothing of it is ever called again."""
        if not self.alive:
            return
        self.alive = False
        self.parked.clear()
        for call in self.on_death:
            call()

    def resume(self) -> None:
        """Go on after a pause with what has come up meanwhile."""
        self.paused = False
        loop = asyncio.get_running_loop()
        assert isinstance(loop, WorldLoop)
        loop.give_back(self.parked)
        self.parked = deque()


class Machine:
    """What several processes share and lose together."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.boot = 1

    @property
    def boot_id(self) -> str:
        """Names the current boot."""
        return f"{self.name}-boot-{self.boot}"


CURRENT: ContextVar[Process | None] = ContextVar("process", default=None)


def later(seconds: float, call: Callable[..., object], *arguments: object) -> asyncio.TimerHandle:
    """Have the world itself call something, whatever becomes of the process that asks for it."""
    return asyncio.get_running_loop().call_later(seconds, call, *arguments, context=Context())


class WorldLoop(asyncio.SelectorEventLoop):
    """Nothing waits: the clock jumps to whatever is due next."""

    def __init__(self) -> None:
        super().__init__(selectors.SelectSelector())
        self.now = BEGIN
        self.limit = float("inf")  # of the clock: beyond it the world has hung
        self.steps = 0
        self.failures: list[dict[str, Any]] = []  # what nobody caught
        self.set_exception_handler(lambda loop, context: self.failures.append(context))
        self.set_task_factory(_make_task)

    def time(self) -> float:
        return self.now

    def give_back(self, handles: "deque[asyncio.Handle]") -> None:
        """Put callbacks back in line."""
        self._ready.extend(handles)  # type: ignore[attr-defined]

    def call_soon_threadsafe(self, callback: Callable[..., Any], *args: Any, context: Any = None) -> asyncio.Handle:
        """There are no threads."""
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(self, executor: Executor | None, func: Callable[..., Any], *args: Any) -> Any:
        """Threads do their work at once, after a delay that the process has for it."""
        return asyncio.ensure_future(self._on_thread(func, args))

    async def _on_thread(self, func: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        process = CURRENT.get()
        delay = process.thread_delay() if process is not None else 0.0
        await asyncio.sleep(delay)
        return func(*args)

    def _run_once(self) -> None:
        ready: deque[asyncio.Handle] = self._ready  # type: ignore[attr-defined]
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        if not ready:
            while scheduled and scheduled[0]._cancelled:
                heapq.heappop(scheduled)._scheduled = False
            if not scheduled:
                raise Hung("nothing will ever happen again")
            if scheduled[0].when() > self.limit:
                raise Hung(f"the world has not come to its end by {self.limit - BEGIN:g} s")
            self.now = max(self.now, scheduled[0].when())
        while scheduled and (scheduled[0]._cancelled or scheduled[0].when() <= self.now):
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            if not handle._cancelled:
                ready.append(handle)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            process: Process | None = handle._context.get(CURRENT)  # type: ignore[attr-defined]
            if process is not None:
                if not process.alive:
                    continue
                if process.paused:
                    process.parked.append(handle)
                    continue
            self.steps += 1
            handle._run()


class Hung(Exception):
    """The world did not come to its end."""


def _make_task(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any
) -> "asyncio.Task[Any]":
    task = asyncio.Task(coroutine, loop=loop, **options)
    context = options.get("context")
    process = context.get(CURRENT) if context is not None else CURRENT.get()
    if process is not None:
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        process.tasks.add(task)
        if len(process.tasks) > 64:
            process.tasks = {each for each in process.tasks if not each.done()}
    return task
