"""The orchestrators of one client: a channel to each, and the one that is called, until it is lost."""

import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import cache, partial
from typing import Any, cast

import grpc

from athanor.client import _channel
from athanor.client._async import transport

# With these a call, or a stream, ends whose orchestrator is gone, goes, or cannot work: nobody here cancelled.
_LOST = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


class Orchestrators:
    """What a channel is to the stubs. Where there are several, each call goes to one that is connected.

    So a call that must not be repeated does not fail by an orchestrator that is away from the beginning. What was lost
    on the way is made again by those who know whether that is harmless (`Caller`, the watches), and then goes to the
    next.

    The channels are opened where the first call is made, and belong there: to that process, and see `transport.Home`.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses
        self._opening = threading.Lock()
        self._channels: list[transport.Channel] = []
        self._home: transport.Home | None = None  # where they were opened
        self._current = 0
        self._closed = False

    def as_channel(self) -> transport.Channel:
        """Return it as what it is to the stubs: they use nothing of a channel but the methods below."""
        return cast(transport.Channel, self)

    def unary_unary(self, *arguments: Any, **options: Any) -> Callable[..., Any]:
        """As a channel has it."""
        methods = cache(lambda: [channel.unary_unary(*arguments, **options) for channel in self._open()])
        return partial(self._call, methods)

    def unary_stream(self, *arguments: Any, **options: Any) -> Callable[..., "Stream"]:
        """As a channel has it; what its calls offer is in `Stream`."""
        methods = cache(lambda: [channel.unary_stream(*arguments, **options) for channel in self._open()])
        return partial(Stream, self, methods)

    async def choose(self) -> int:
        """Return the first that is connected, from the present one on; where none is, the present one says why."""
        count = len(self._channels)
        if count > 1:
            for index in [(self._current + step) % count for step in range(count)]:
                if await transport.connected(self._channels[index]):
                    self._current = index
                    break
        return self._current

    def leave(self, index: int) -> None:
        """Go to the next one from now on, unless somebody has done so before."""
        if index == self._current:
            self._current = (index + 1) % len(self._channels)

    def lost(self, index: int, error: grpc.RpcError) -> None:
        """Take in how a call ended."""
        if error.code() in _LOST:
            self.leave(index)

    def check(self) -> None:
        """Raise RuntimeError when this is closed, or is not to be used here."""
        if self._closed:
            raise RuntimeError("this client has been closed")
        _channel.check_process()
        if self._home is not None:
            self._home.check()

    def explain(self) -> None:
        """Raise RuntimeError when what has just been broken off was so because this was closed, and by nobody else."""
        if not transport.interrupted():
            self.check()

    async def close(self) -> None:
        """Close all connections. Raises RuntimeError when this is not to be used here."""
        if self._home is not None:
            self._home.check()
        self._closed = True
        for channel in self._channels:
            await channel.close()

    def _open(self) -> Sequence[transport.Channel]:
        """Return the channels; those who come first open them."""
        with self._opening:
            if not self._channels:
                self._home = transport.Home()
                self._channels = [transport.open_channel(address) for address in self._addresses]
            return self._channels

    async def _call(self, methods: Callable[[], Sequence[Any]], request: Any, *, timeout: float) -> Any:
        self.check()
        deadline = time.monotonic() + timeout
        index = self._current
        try:
            call = methods()
            index = await self.choose()
            return await call[index](request, timeout=max(0.001, deadline - time.monotonic()))
        except (transport.ClosedError, transport.Interrupt):
            self.explain()
            raise
        except grpc.RpcError as error:
            self.lost(index, error)
            raise


class Stream:
    """A stream of responses, opened with the first `read`."""

    def __init__(self, orchestrators: Orchestrators, methods: Callable[[], Sequence[Any]], request: Any) -> None:
        orchestrators.check()
        self._orchestrators = orchestrators
        self._methods = methods
        self._request = request
        self._index = -1
        self._call: Any = None
        self._cancelled = False

    async def read(self) -> Any:
        """Return the next response, or `transport.EOF` at a regular end."""
        if self._call is None:
            methods = self._methods()
            self._index = await self._orchestrators.choose()
            self._call = methods[self._index](self._request)
            if self._cancelled:  # while it was being opened
                self._call.cancel()
        try:
            return await transport.receive(self._call)
        except transport.Interrupt:
            self._orchestrators.explain()
            raise
        except grpc.RpcError as error:
            self._orchestrators.lost(self._index, error)
            raise

    async def __aiter__(self) -> AsyncIterator[Any]:
        while (response := await self.read()) is not transport.EOF:
            yield response

    def cancel(self) -> bool:
        """Give the stream up."""
        self._cancelled = True
        return self._call is not None and self._call.cancel()

    def leave(self) -> None:
        """Go to another orchestrator the next time, if there is one."""
        self._orchestrators.leave(self._index)
