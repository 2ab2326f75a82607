"""A gRPC proxy that hands every call on unchanged and counts calls and messages: what a server sees of a client."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

import grpc
import grpc.aio


class CountingProxy(grpc.GenericRpcHandler):
    """Listens on a port of its own, in a thread of its own, and forwards to `target`."""

    def __init__(self, target: str) -> None:
        self.calls: Counter[str] = Counter()  # by method, for example `/athanor.v1.RunService/WatchRun`
        self.answers: Counter[str] = Counter()  # messages that came back, by method
        self.address = ""
        self._target = target
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = handler_call_details.method

        async def forward(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
            self.calls[method] += 1
            call = self._channel.stream_stream(method)(requests)
            try:
                async for answer in call:
                    self.answers[method] += 1
                    yield answer
            except grpc.aio.AioRpcError as error:
                await context.abort(error.code(), error.details() or "", tuple(error.trailing_metadata() or ()))
            finally:
                call.cancel()

        return grpc.stream_stream_rpc_method_handler(forward)

    async def _serve(self) -> None:
        self._channel = grpc.aio.insecure_channel(self._target)
        server = grpc.aio.server()
        server.add_generic_rpc_handlers([self])
        self.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        self._ready.set()
        await self._stopping.wait()
        await server.stop(0)
        await self._channel.close()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(10)
        self._loop.close()
