"""`long_watcher.py TARGET RUN EVERY`: watches a run to its end, and prints now and then how many events it had."""

import asyncio
import sys

from athanor.client import AsyncClient
from athanor.client.events import LogEntry


async def main(target: str, run_id: str, every: int) -> None:
    """Watch and count."""
    count = 0
    async with AsyncClient(target) as client:
        async for item in client.runs.watch(run_id):
            if isinstance(item, LogEntry):
                count += 1
                if count % every == 0:
                    print(count, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
