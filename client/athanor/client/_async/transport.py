"""What is different where the client awaits; `_sync/transport.py` has the same names for the client that blocks.

Everything else is written once, here in `_async`, and derived by `tools/derive_sync.py`.
"""

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeVar

import grpc.aio

from athanor.client import _channel

if TYPE_CHECKING:
    Request = TypeVar("Request")
    Response = TypeVar("Response")
    Method: TypeAlias = grpc.aio.UnaryUnaryMultiCallable[Request, Response]

Channel: TypeAlias = grpc.aio.Channel

# What `read` returns at a regular end.
EOF: Final[Any] = grpc.aio.EOF

# What gRPC raises for a call on a channel that has been closed.
ClosedError = grpc.aio.UsageError

# With this a caller who waits is told to stop.
Interrupt = asyncio.CancelledError


def interrupted() -> bool:
    """Whether a caller who waits is being told so: gRPC says it in the same way when its channel is closed."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


sleep = asyncio.sleep
# One that takes longer to connect to is passed over; where it is the only one, gRPC's own patience counts.
_CONNECT = 1.0  # seconds

_Connectivity = grpc.ChannelConnectivity


class Home:
    """Where channels were opened, and alone work."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def check(self) -> None:
        """Raise RuntimeError when this is somewhere else."""
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("this client was used in another event loop and belongs to it: make one for each loop")


class WatchCall(Protocol):
    """One stream of responses, of which a watch has several one after the other."""

    async def read(self) -> Any:
        """Return the next response, or `EOF` at a regular end."""
        ...

    def cancel(self) -> bool:
        """Give the stream up."""
        ...

    def leave(self) -> None:
        """Go to another orchestrator the next time, if there is one."""
        ...


class Reader:
    """Reads one stream, and waits for each response only so long."""

    def __init__(self, call: WatchCall) -> None:
        self._call = call

    async def read(self, seconds: float) -> Any:
        """Return the next response, or `EOF`. Raises TimeoutError when none comes; the stream is of no use then."""
        async with asyncio.timeout(seconds):
            return await self._call.read()

    def close(self, *, leave: bool = False) -> None:
        """Give the stream up; with `leave` its orchestrator too."""
        if leave:
            self._call.leave()
        self._call.cancel()


def open_channel(address: str) -> Channel:
    """Return a channel to one address; nothing is sent before the first call."""
    return grpc.aio.insecure_channel(address, options=_channel.options(address))


async def receive(call: Any) -> Any:
    """Return the next response of one of gRPC's calls, or `EOF`."""
    return await call.read()


async def connected(channel: Channel) -> bool:
    """Connect, if that is not done; False when it does not come to it."""
    state = channel.get_state(try_to_connect=True)
    try:
        async with asyncio.timeout(_CONNECT):
            while state in (_Connectivity.IDLE, _Connectivity.CONNECTING):
                await channel.wait_for_state_change(state)
                state = channel.get_state(try_to_connect=True)
    except TimeoutError:
        return False
    return state is _Connectivity.READY
