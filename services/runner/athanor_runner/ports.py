"""What moves by itself, behind small interfaces: clocks, the disk, processes, the transport.

The monotonic clock and sleeping are the event loop's (`loop.time()`, `asyncio.sleep`): a deterministic loop drives
both.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from athanor.runner.v1 import dispatch_service_pb2 as pb

T = TypeVar("T")
Outgoing = TypeVar("Outgoing", contravariant=True)
Incoming = TypeVar("Incoming", covariant=True)


class Clock(Protocol):
    """The clocks that are not the event loop's."""

    def now_ns(self) -> int:
        """Nanoseconds since the epoch, UTC: for people, never to measure with."""
        ...

    def boot_time(self) -> float:
        """Seconds since the machine was started, suspend included: leases are counted by it."""
        ...


class Disk(Protocol):
    """Runs blocking file work where it holds up nothing else."""

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        """Calls `work(*arguments)` and returns what it returns, or raises what it raises.

        Work that was begun is finished.
        """
        ...


@dataclass(frozen=True)
class ProcessId:
    """One process for all time: a process id may be used again, together with the start time it may not."""

    pid: int
    start_ticks: int  # clock ticks after boot, from /proc/PID/stat


@dataclass(frozen=True)
class Command:
    """How a process is to be started."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    stdout: Path  # both are appended to
    stderr: Path


class Child(Protocol):
    """A process that the runner started. Until `release` its id belongs to it, and so does its process group's."""

    @property
    def id(self) -> ProcessId:
        """Which process it is."""
        ...

    async def wait(self) -> int:
        """Waits for its end, and returns 0 to 255 or the negated number of a signal.

        May be called by one task at a time.
        """
        ...

    def release(self) -> None:
        """Lets the system forget a process that has ended."""
        ...


class Processes(Protocol):
    """Starts processes and finds, signals and buries all that descend from them."""

    async def prepare(self, command: Command) -> None:
        """Makes ready what starts such a process quickly, and waits for that, but not for long."""
        ...

    def start(self, command: Command, on_ring: Callable[[], None] | None = None) -> Child:
        """Starts a process in a session of its own; must be called by the main thread, on the event loop.

        With `on_ring` the process gets a doorbell, the descriptor named in its environment, and `on_ring` is called on
        the event loop when it was rung. Raises OSError when the process cannot be started.
        """
        ...

    def living(self, lease_id: str, main: ProcessId | None, owned: bool) -> list[ProcessId]:
        """All living processes of an attempt, the oldest first; buries dead orphans. Blocks for milliseconds.

        `main` is its first process; `owned` says that this runner started it and has not released it.
        """
        ...

    def trace(self) -> None:
        """Notes the descendants of every attempt, and buries dead orphans. Blocks for milliseconds.

        Done every now and then, so that a process is still known as an attempt's when its parent is gone and it carries
        no mark.
        """
        ...

    def signal(self, process: ProcessId, number: int) -> bool:
        """Sends a signal. False when exactly this process is gone."""
        ...

    def memory_kills(self) -> int:
        """How often the kernel has killed a process for want of memory, since some moment in the past."""
        ...


class StreamEnded(Exception):
    """A stream ended. What that means only a message can say, but for a newer session."""

    def __init__(self, reason: str, *, superseded: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.superseded = superseded  # a newer session of this runner exists


class Stream(Protocol[Outgoing, Incoming]):
    """One bidirectional stream. It is read by one task and written by one task."""

    async def send(self, message: Outgoing) -> None:
        """Returns once the transport has taken the message, which says nothing about its arrival.

        Raises StreamEnded.
        """
        ...

    async def receive(self) -> Incoming:
        """The next message. Raises StreamEnded."""
        ...

    def cancel(self) -> None:
        """Ends the stream at once."""
        ...

    async def finish(self) -> None:
        """Says that nothing more will be sent, and waits a moment for the other side to end the stream too."""
        ...


ControlStream = Stream[pb.ConnectRequest, pb.ConnectResponse]
ReportStream = Stream[pb.ReportRequest, pb.ReportResponse]


class Connection(Protocol):
    """A connection to an orchestrator."""

    def connect(self) -> ControlStream:
        """Opens DispatchService.Connect."""
        ...

    def report(self) -> ReportStream:
        """Opens DispatchService.Report."""
        ...

    async def close(self) -> None:
        """Ends every stream and the connection."""
        ...


Dial = Callable[[str], Connection]
"""Connects to the orchestrator at an address, `HOST:PORT`."""


class SystemClock:
    """The machine's own clocks."""

    def now_ns(self) -> int:
        """Nanoseconds since the epoch, UTC."""
        return time.time_ns()

    def boot_time(self) -> float:
        """Seconds since the machine was started, suspend included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)


class ThreadedDisk:
    """Does file work on the event loop's threads."""

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        """Calls `work(*arguments)` on a thread.

        When the caller is cancelled the work is waited for all the same: nothing goes on behind the back of who owns
        its files.
        """
        future = asyncio.get_running_loop().run_in_executor(None, work, *arguments)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            while not future.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([future])
            raise


def environment_without(environ: Mapping[str, str], prefixes: Sequence[str]) -> dict[str, str]:
    """A copy of an environment without the variables whose names begin so."""
    return {name: value for name, value in environ.items() if not name.startswith(tuple(prefixes))}
