"""What Athanor is measured by; runs in its own environment."""

import asyncio
import os
import time

import talk
from athanor.client import AsyncClient, LogEntry, NotFoundError

ENDS = ("COMPLETED", "FAILED", "CANCELLED")


async def main() -> None:
    """One command."""
    command, wanted = talk.task()
    async with AsyncClient(wanted["address"]) as client:
        match command:
            case "write":
                await start(client, "told", {"wanted": wanted})
                await appeared(wanted["out"])
            case "read" | "follow":
                await follow(client, command, wanted)
            case "count":
                talk.say(count=await total(client, wanted["run"]))
            case "start":
                for path in wanted["marks"]:
                    await start(client, "resting", {"mark": path, "rest": wanted["rest"]})
                    await appeared(path)
            case "watch":
                await watch(client, wanted)
            case _:
                raise SystemExit(f"no command {command}")


async def appeared(path: str) -> None:
    """Return once a file is there: the runs of all peers tell what they do by files."""
    while not os.path.exists(path):  # noqa: ASYNC110, ASYNC240 - in another process
        await asyncio.sleep(0.005)


async def start(client: AsyncClient, experiment: str, configuration: dict) -> None:
    """Start a run of an instance that is made for it."""
    for _ in range(200):
        try:
            instance = await client.instances.create(experiment, configuration)
            break
        except NotFoundError:  # the runner is connected and has not described its experiments yet
            await asyncio.sleep(0.05)
    at = time.monotonic()
    run = await client.runs.start(instance.id)
    talk.say(run=str(run.id), at=at)


async def follow(client: AsyncClient, command: str, wanted: dict) -> None:
    """The watch of a run."""
    arrivals = talk.Arrivals(wanted["count"])
    talk.say(ready=True)
    async for item in client.runs.watch(wanted["run"]):
        if isinstance(item, LogEntry) and arrivals.add(talk.number_in(item.message)):
            break
    arrivals.tell(each=command == "follow")


async def total(client: AsyncClient, run: str) -> int:
    """How many records are there: a run that has ended gives its log to its end."""
    found: set[int] = set()
    async for item in client.runs.watch(run):
        if isinstance(item, LogEntry) and (number := talk.number_in(item.message)) is not None:
            found.add(number)
    return len(found)


async def watch(client: AsyncClient, wanted: dict) -> None:
    """`talk.watch_state` for a client that is asynchronous."""
    before = None
    until = time.monotonic() + wanted["seconds"]
    while time.monotonic() < until:
        run = await client.runs.get(wanted["run"])
        now = str(run.state.name)
        if run.failure is not None:
            now += f", {run.failure.kind.name}"
        elif run.unreachable_since is not None:
            now += ", unreachable"
        if now != before:
            talk.say(state=now, at=time.monotonic())
            before = now
        if run.state.name in ENDS:
            return
        await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(main())
