"""Reads a run that has ended from its beginning, once, and says how long it took: `replay_reader.py HOW TARGET RUN_ID`.

HOW is `watch`, the public client's `watch()`, which gives every event as its Python object; `batches`, its
`watch_batches()`, which checks that none is missing and makes an object of none; or `bytes`, a bare stream of messages
that nobody opens. Prints a line of JSON: seconds, events (0 when they were not looked at), bytes.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterable
from typing import cast

import grpc.aio
from athanor.client import AsyncClient, Event, EventBatch
from athanor.v1 import run_service_pb2 as pb

METHOD = "/athanor.v1.RunService/WatchRun"


async def by_watch(target: str, run_id: str) -> tuple[float, int, int]:
    """As a user's program does that looks at every event."""
    events = 0
    async with AsyncClient(target) as client:
        begin = time.perf_counter()
        async for item in client.runs.watch(run_id):
            if isinstance(item, Event):
                events += 1
        return time.perf_counter() - begin, events, 0


async def by_batches(target: str, run_id: str) -> tuple[float, int, int]:
    """As a user's program does that passes them on."""
    events = size = 0
    async with AsyncClient(target) as client:
        begin = time.perf_counter()
        async for item in client.runs.watch_batches(run_id):
            if isinstance(item, EventBatch):
                events += len(item)
                size += len(item.data)
        return time.perf_counter() - begin, events, size


async def by_stream(target: str, run_id: str) -> tuple[float, int, int]:
    """As little as can be done with a stream."""
    request = pb.WatchRunRequest(id=run_id).SerializeToString()
    size = 0
    async with grpc.aio.insecure_channel(target) as channel:
        begin = time.perf_counter()
        messages = cast("AsyncIterable[bytes]", channel.unary_stream(METHOD)(request))
        async for message in messages:
            size += len(message)
        return time.perf_counter() - begin, 0, size


WAYS = {"watch": by_watch, "batches": by_batches, "bytes": by_stream}

if __name__ == "__main__":
    how, where, which = sys.argv[1:]
    print(json.dumps(asyncio.run(WAYS[how](where, which))), flush=True)
