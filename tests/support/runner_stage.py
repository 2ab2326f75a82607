"""The stage of the tests that drive a real runner: the double, runners on one state folder, a run that logs."""

import json
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.support.runner import Granted, Orchestrator, Runner, end_processes_of
from tests.support.runner_experiments import write_experiments

Start = Callable[..., Coroutine[Any, Any, Runner]]


@pytest.fixture
async def orchestrator() -> AsyncIterator[Orchestrator]:
    double = Orchestrator()
    await double.start()
    yield double
    await double.stop()


@pytest.fixture
async def start(orchestrator: Orchestrator, tmp_path: Path) -> AsyncIterator[Start]:
    """Starts a runner; every one has the same state folder."""
    write_experiments(tmp_path)
    started: list[Runner] = []

    async def one(*arguments: str, **env: str) -> Runner:
        started.append(await Runner.start(orchestrator.target, tmp_path, *arguments, env=env))
        return started[-1]

    yield one
    for runner in started:
        await runner.close()
    end_processes_of(orchestrator.leases)
    if started:
        print(started[0].log)


async def logging_run(orchestrator: Orchestrator, count: int, pause: float = 0.0, size: int = 10) -> Granted:
    configuration = json.dumps({"count": count, "pause": pause, "size": size})
    lease = await orchestrator.give("logs", configuration=configuration)
    await orchestrator.until(lambda: len(lease.events) > 5)
    return lease


def numbers(lease: Granted) -> list[int]:
    return [int(line.split()[0]) for line in lease.lines]


def another_boot(folder: Path) -> None:
    """Makes an attempt's folder one from before the machine was started anew, as far as its files say."""
    page = bytearray((folder / "control").read_bytes())
    page[1152:1216] = b"an earlier one".ljust(64, b"\0")
    (folder / "control").write_bytes(page)
    for name in ("process.json", "intent.json"):
        if (folder / name).exists():
            document = json.loads((folder / name).read_text())
            (folder / name).write_text(json.dumps({**document, "boot_id": "an earlier one"}))
