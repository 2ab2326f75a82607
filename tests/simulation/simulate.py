"""Putting a world in place of the real one for as long as it lives, and clearing up behind it."""

import asyncio
import gc
import os
import random
import secrets
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from athanor.experiment import intent
from athanor.experiment.control import ControlPage
from athanor_orchestrator.domain import ids
from athanor_runner import output
from athanor_runner.backoff import Backoff

from tests.simulation.body import NotedWriter
from tests.simulation.decisions import Decisions
from tests.simulation.loop import BEGIN, CURRENT, Hung, Process, WorldLoop
from tests.simulation.oracles import Breach
from tests.simulation.store import Engine
from tests.simulation.world import World


@dataclass(frozen=True)
class Report:
    """How a world went."""

    breach: str  # empty: every promise was kept
    seconds: float  # of the world's clock
    steps: int
    commits: int
    states: tuple[str, ...]  # of the runs at the end


def simulate(engine: Engine, decisions: Decisions) -> Report:
    """Let a world live; how it went."""
    gc.disable()  # a world makes much that is gone with it; collected between two worlds, not all the time
    folder = Path(tempfile.mkdtemp(prefix="world-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    loop = WorldLoop()
    breach = ""
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        world = undo.enter_context(_installed(loop, engine, decisions, folder))
        try:
            loop.run_until_complete(world.live())
        except (Breach, Hung) as error:
            breach = str(error) or repr(error)
        states = tuple(str(row[0]) for row in world.store.raw.execute("SELECT state FROM runs ORDER BY id"))
        report = Report(breach, loop.now - BEGIN, loop.steps, world.oracles.commits, states)
    gc.enable()
    return report


@contextmanager
def _installed(loop: WorldLoop, engine: Engine, decisions: Decisions, folder: Path) -> Iterator[World]:
    """A world in place of the real one: its clock, its chance, its flushes, its boots."""
    chance = random.Random(7)
    pages: list[ControlPage] = []
    real_init = ControlPage.__init__

    def noted_init(page: ControlPage, path: Path) -> None:
        real_init(page, path)
        pages.append(page)

    real_next = Backoff.next

    def drawn_next(backoff: Backoff) -> float:
        backoff.chance = chance
        return real_next(backoff)

    def drawn_uuid() -> uuid.UUID:
        return uuid.UUID(int=chance.getrandbits(128), version=4)

    def boot_id() -> str:
        process = CURRENT.get()
        return process.machine.boot_id if process is not None and process.machine is not None else ""

    patches = [
        mock.patch.object(ids, "time", mock.Mock(time_ns=lambda: round(loop.now * 1e9))),
        mock.patch.object(ids, "os", mock.Mock(urandom=lambda count: chance.randbytes(count))),
        mock.patch.object(ids, "_last", {"machine": 0, "given": 0}),
        mock.patch.object(secrets, "randbits", chance.getrandbits),
        mock.patch.object(secrets, "token_hex", lambda count=8: chance.randbytes(count).hex()),
        mock.patch.object(uuid, "uuid4", drawn_uuid),
        mock.patch.object(intent, "boot_id", boot_id),
        mock.patch.object(output, "SpoolWriter", NotedWriter),
        mock.patch.object(ControlPage, "__init__", noted_init),
        mock.patch.object(Backoff, "next", drawn_next),
    ]
    random.seed(7)
    with ExitStack() as undo:
        for patch in patches:
            undo.enter_context(patch)
        asyncio.set_event_loop(loop)

        async def make() -> World:
            return World(engine, decisions, folder)

        world = loop.run_until_complete(make())
        undo.enter_context(world.platter.installed())
        try:
            yield world
        finally:
            _bury(loop, world, pages, folder)
            asyncio.set_event_loop(None)
            loop.close()


def _bury(loop: WorldLoop, world: World, pages: list[ControlPage], folder: Path) -> None:
    """Close what the dead have left open, so that nothing of this world reaches into the next."""
    engine_raw = world.store.raw
    engine_raw.before_commit = engine_raw.after_commit = None  # type: ignore[attr-defined]
    processes: list[Process] = [*world.clients]
    for host in world.hosts:
        processes += host.incarnations
    for machine in world.machines:
        processes += machine.incarnations
        processes += [child.process for child in machine.processes.children]
    for process in processes:
        process.on_death.clear()
        process.kill()
        for task in process.tasks:
            coroutine = task.get_coro()
            with suppress(BaseException):  # its last words, spoken into a world that is no more
                coroutine.close()  # type: ignore[union-attr]
    for page in pages:
        with suppress(ValueError, BufferError):
            page.close()
    for entry in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if os.readlink(f"/proc/self/fd/{entry}").startswith(f"{folder}/"):
                os.close(int(entry))
