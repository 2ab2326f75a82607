"""Reads a run that has ended from its beginning, once, and says how long it took: `replay_reader.py HOW TARGET RUN_ID`.

HOW is `watch`, the public client's `watch()`, which gives every event as its Python object; `messages`, a bare stream
whose messages are parsed by protobuf and their events counted; or `bytes`, a bare stream of messages that nobody opens.
Prints a line of JSON: seconds, events (0 when they were not looked at), bytes.
"""

import asyncio
import json
import sys
import time

import grpc.aio
from athanor.client import AsyncClient
from athanor.client.events import Event
from athanor.v1 import run_service_pb2 as pb

METHOD = "/athanor.v1.RunService/WatchRun"


async def by_watch(target: str, run_id: str) -> tuple[float, int, int]:
    """As a user's program does."""
    events = 0
    async with AsyncClient(target) as client:
        begin = time.perf_counter()
        async for item in client.runs.watch(run_id):
            if isinstance(item, Event):
                events += 1
        return time.perf_counter() - begin, events, 0


async def by_stream(target: str, run_id: str, parse: bool) -> tuple[float, int, int]:
    """As little as can be done with a stream."""
    request = pb.WatchRunRequest(id=run_id).SerializeToString()
    events = size = 0
    async with grpc.aio.insecure_channel(target) as channel:
        begin = time.perf_counter()
        async for message in channel.unary_stream(METHOD)(request):
            size += len(message)
            if parse:
                events += len(pb.WatchRunResponse.FromString(message).batch.events)
        return time.perf_counter() - begin, events, size


if __name__ == "__main__":
    how, where, which = sys.argv[1:]
    reading = by_watch(where, which) if how == "watch" else by_stream(where, which, how == "messages")
    print(json.dumps(asyncio.run(reading)), flush=True)
