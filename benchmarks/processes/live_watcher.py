"""Watches a run as a user's program does, and says how old each event was: `live_watcher.py TARGET RUN_ID`.

Prints, at the end, one line of JSON: the age in milliseconds of each log entry, in order.
"""

import asyncio
import json
import sys
import time

from athanor.client import AsyncClient
from athanor.client.events import LogEntry


async def watch(target: str, run_id: str) -> list[float]:
    """Follow the run to its end."""
    ages: list[float] = []
    async with AsyncClient(target) as client:
        async for item in client.runs.watch(run_id):
            if isinstance(item, LogEntry):
                ages.append((time.monotonic_ns() - item.metadata["at"]) / 1e6)
    return ages


if __name__ == "__main__":
    print(json.dumps(asyncio.run(watch(sys.argv[1], sys.argv[2]))), flush=True)
