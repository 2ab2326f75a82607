"""Clocks, disk, processes and streams that a test moves by hand, for the runner's own classes on a virtual loop."""

import asyncio
import signal
from collections.abc import Callable
from typing import Any

from athanor.runner.v1 import dispatch_service_pb2 as pb
from athanor_runner.ports import Command, ProcessId, StreamEnded


class Clock:
    """A boot clock that goes with the loop's, and suspends when told to."""

    def __init__(self) -> None:
        self.suspended = 0.0

    def now_ns(self) -> int:
        return round(asyncio.get_running_loop().time() * 1e9)

    def boot_time(self) -> float:
        return asyncio.get_running_loop().time() + self.suspended


class Disk:
    """Does everything at once."""

    async def run(self, work: Callable[..., Any], *arguments: object) -> Any:
        return work(*arguments)


class Child:
    """A process that ends when the test, or a signal, says so."""

    def __init__(self, number: int) -> None:
        self.id = ProcessId(number, number)
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.released = False

    async def wait(self) -> int:
        return await asyncio.shield(self.ended)

    def end(self, status: int = 0) -> None:
        if not self.ended.done():
            self.ended.set_result(status)

    def release(self) -> None:
        assert self.ended.done()
        self.released = True


class Processes:
    """A process table. Each process has the signals that end it."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.children: list[Child] = []
        self.others: dict[ProcessId, set[int]] = {}
        self.main_dies_of = {signal.SIGTERM, signal.SIGKILL}
        self.sent: list[tuple[float, int, str]] = []
        self.kills = 0
        self.error: OSError | None = None

    async def prepare(self, command: Command) -> None:
        """Nothing has to be made ready."""

    def start(self, command: Command, on_ring: Callable[[], None] | None = None) -> Child:
        if self.error is not None:
            raise self.error
        self.commands.append(command)
        self.children.append(Child(100 + len(self.children)))
        return self.children[-1]

    def spawn(self, number: int, *dies_of: int) -> ProcessId:
        process = ProcessId(number, number)
        self.others[process] = {*dies_of}
        return process

    def living(self, lease_id: str, main: Any, owned: bool) -> list[ProcessId]:
        return [child.id for child in self.children if not child.ended.done()] + list(self.others)

    def trace(self) -> None:
        pass

    def signal(self, process: ProcessId, number: int) -> bool:
        now = asyncio.get_running_loop().time()
        if number != signal.SIGCONT:
            self.sent.append((round(now, 3), process.pid, signal.Signals(number).name))
        for child in self.children:
            if child.id == process and number in self.main_dies_of:
                child.end(-number)
        if number in self.others.get(process, ()):
            del self.others[process]
        return True

    def memory_kills(self) -> int:
        return self.kills


class Stream:
    """One stream; the test is the other side."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.incoming: asyncio.Queue[Any] = asyncio.Queue()
        self.cancelled = False
        self.finished = False
        self.ended: StreamEnded | None = None

    async def send(self, message: Any) -> None:
        if self.ended is not None:
            raise self.ended
        self.sent.append(message)
        await asyncio.sleep(0)

    async def receive(self) -> Any:
        message = await self.incoming.get()
        if isinstance(message, Exception):
            raise message
        return message

    def cancel(self) -> None:
        self.cancelled = True

    async def finish(self) -> None:
        self.finished = True

    def say(self, *messages: Any) -> None:
        for message in messages:
            self.incoming.put_nowait(message)

    def kinds(self) -> list[str]:
        return [message.WhichOneof("message") for message in self.sent]


class Connection:
    """A connection whose streams the test holds."""

    def __init__(self) -> None:
        self.control = Stream()
        self.reports: list[Stream] = []
        self.closed = False

    def connect(self) -> Stream:
        return self.control

    def report(self) -> Stream:
        self.reports.append(Stream())
        return self.reports[-1]

    async def close(self) -> None:
        self.closed = True


def welcome(*verdicts: pb.Verdict, interval: float = 5.0) -> pb.ConnectResponse:
    """A Welcome as the orchestrator sends it."""
    message = pb.Welcome(
        protocol=1,
        session_id="session",
        max_delivery_bytes=3 << 20,
        max_unacknowledged_bytes=8 << 20,
        verdicts=verdicts,
    )
    message.heartbeat_interval.FromMilliseconds(round(interval * 1000))
    return pb.ConnectResponse(welcome=message)
