"""`python -m athanor.cli.discovery TARGET` prints the experiments that runners offer, once there are any.

What it prints is a JSON array of two: their names, and the modules that could not be loaded.
"""

import asyncio
import json
import sys
from contextlib import suppress

from athanor.client import AsyncClient, AthanorError

_LIMIT = 20.0  # seconds to wait for the first experiments before saying that there are none
_SETTLED = 0.3  # seconds without another one after which all experiments have been reported


async def discovered(target: str) -> tuple[list[str], list[str]]:
    """The experiments that runners offer, and the modules that could not be loaded, once there are any."""
    experiments, broken = list[str](), list[str]()
    with suppress(TimeoutError):
        async with asyncio.timeout(_LIMIT), AsyncClient(target) as client:
            seen = None
            # They are reported one by one: it is all when nothing was added for a moment.
            while seen != (experiments, broken) or not (experiments or broken):
                seen = experiments, broken
                await asyncio.sleep(_SETTLED)
                with suppress(AthanorError):
                    known = await client.experiments.list().all()
                    # What is from a folder belongs to no distribution: a person's own come first.
                    known.sort(key=lambda item: bool(item.code.distribution))
                    experiments = [item.name for item in known if item.available_runner_count]
                    broken = [item.module for item in await client.experiments.discovery_errors()]
    return experiments, broken


def main() -> None:
    """Find, and print."""
    print(json.dumps(asyncio.run(discovered(sys.argv[1]))))


if __name__ == "__main__":
    main()
