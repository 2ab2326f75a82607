"""The transport over gRPC: the one file of the runner that knows it."""

import asyncio
from typing import Any, Generic, TypeVar

import grpc
from athanor.runner.v1 import dispatch_service_pb2 as pb
from athanor.runner.v1 import dispatch_service_pb2_grpc as dispatch
from grpc import aio

from athanor_runner.ports import ControlStream, ReportStream, StreamEnded

MESSAGE_BYTES = 4 * 1024 * 1024
FAREWELL = 2.0  # seconds that the other side gets to end a stream that was finished on purpose

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),  # keepalive alone takes over a minute to notice a stopped peer
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.bdp_probe", 0),  # else a reader that does not read absorbs megabytes
    ("grpc.use_local_subchannel_pool", 1),  # a new connection does not inherit the pauses of an older one
    ("grpc.min_reconnect_backoff_ms", 5_000),  # despite its name: how long one try to connect may take
    ("grpc.enable_retries", 0),
)

Outgoing = TypeVar("Outgoing")
Incoming = TypeVar("Incoming")


class GrpcStream(Generic[Outgoing, Incoming]):
    """One stream of a call."""

    def __init__(self, call: "aio.StreamStreamCall[Outgoing, Incoming]") -> None:
        self._call = call

    async def send(self, message: Outgoing) -> None:
        """Returns once the transport has taken the message. Raises StreamEnded."""
        try:
            await self._call.write(message)
        except aio.AioRpcError as error:
            raise _ended(error) from None
        except asyncio.InvalidStateError:
            raise StreamEnded("the stream has ended") from None

    async def receive(self) -> Incoming:
        """The next message. Raises StreamEnded."""
        try:
            message: Any = await self._call.read()
        except aio.AioRpcError as error:
            raise _ended(error) from None
        except asyncio.InvalidStateError:
            raise StreamEnded("the stream has ended") from None
        if message is aio.EOF:
            raise StreamEnded("the orchestrator ended the stream")
        return message

    def cancel(self) -> None:
        """Ends the stream at once."""
        self._call.cancel()

    async def finish(self) -> None:
        """Says that nothing more will be sent, and waits a moment for the other side to end the stream too."""
        try:
            async with asyncio.timeout(FAREWELL):
                await self._call.done_writing()
                await self._call.code()
        except (TimeoutError, aio.AioRpcError, asyncio.InvalidStateError):
            self._call.cancel()


class GrpcConnection:
    """A channel of its own: when it is closed nothing of it remains."""

    def __init__(self, address: str) -> None:
        self._channel = aio.insecure_channel(address, options=OPTIONS)
        self._stub = dispatch.DispatchServiceStub(self._channel)

    def connect(self) -> ControlStream:
        """Opens DispatchService.Connect."""
        call: Any = self._stub.Connect()
        return GrpcStream[pb.ConnectRequest, pb.ConnectResponse](call)

    def report(self) -> ReportStream:
        """Opens DispatchService.Report."""
        call: Any = self._stub.Report()
        return GrpcStream[pb.ReportRequest, pb.ReportResponse](call)

    async def close(self) -> None:
        """Ends every stream and the connection."""
        await self._channel.close()


def _ended(error: aio.AioRpcError) -> StreamEnded:
    code = error.code()
    reason = f"{code.name}: {error.details() or 'no details'}"
    # The contract knows one reason for ABORTED on these streams.
    return StreamEnded(reason, superseded=code == grpc.StatusCode.ABORTED)
