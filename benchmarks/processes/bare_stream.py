"""The limit of a replay: a minimal grpc.aio server that sends what a WatchRun stream of Athanor sent, the same bytes.

`bare_stream.py TARGET RUN_ID` takes them from Athanor, keeps them in memory, and prints `listening on HOST:PORT`.
"""

import asyncio
import sys
from collections.abc import AsyncIterator

import grpc
import grpc.aio
from athanor.v1 import run_service_pb2 as pb

METHOD = "WatchRun"
SERVICE = "athanor.v1.RunService"


async def main(target: str, run_id: str) -> None:
    """Take the messages, then serve them until the process is ended."""
    request = pb.WatchRunRequest(id=run_id).SerializeToString()
    async with grpc.aio.insecure_channel(target) as channel:
        messages = [message async for message in channel.unary_stream(f"/{SERVICE}/{METHOD}")(request)]

    async def watch_run(_request: bytes, _context: object) -> AsyncIterator[bytes]:
        for message in messages:
            yield message

    server = grpc.aio.server()
    handler = grpc.unary_stream_rpc_method_handler(watch_run)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"listening on 127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
