"""When health says NOT_SERVING for the database's sake, and when no more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from athanor_orchestrator.domain.errors import StorageUnavailable
from athanor_orchestrator.engine.storage_health import StorageHealth

from tests.support.orchestrated import Orchestrated
from tests.support.virtual_time import virtual_time


@asynccontextmanager
async def watched(at: Orchestrated) -> AsyncIterator[list[tuple[float, bool]]]:
    """Run it meanwhile; what it tells, and when, by the loop's clock."""
    told: list[tuple[float, bool]] = []
    loop = asyncio.get_running_loop()

    async def tell(serving: bool) -> None:
        told.append((loop.time(), serving))

    health = asyncio.create_task(StorageHealth(at.typed_database, at.timings, tell).run(), name="storage health")
    try:
        await asyncio.sleep(1)
        yield told
    finally:
        health.cancel()
        await asyncio.wait({health})


def refuse(at: Orchestrated) -> None:
    at.database.refuse = lambda command: StorageUnavailable("the disk is full")


def accept(at: Orchestrated) -> None:
    at.database.refuse = lambda command: None


@virtual_time
async def test_nothing_is_told_while_all_is_well_and_an_idle_database_is_asked_every_few_seconds(orchestrate):
    at = orchestrate()
    async with watched(at) as told:
        await asyncio.sleep(600)
        assert told == []
        assert 100 <= at.database.writes <= 600 / at.timings.storage_probe + 1


@virtual_time
async def test_an_idle_system_notices_by_itself_and_says_when_it_is_over(orchestrate):
    at = orchestrate()
    async with watched(at) as told:
        refuse(at)
        lost = asyncio.get_running_loop().time()
        await asyncio.sleep(60)
        accept(at)
        back = asyncio.get_running_loop().time()
        await asyncio.sleep(60)
    assert [serving for _, serving in told] == [False, True]
    assert told[0][0] - lost <= at.timings.storage_probe
    assert told[1][0] - back <= at.timings.storage_probe_again


@virtual_time
async def test_a_refused_commit_is_told_at_once(orchestrate):
    at = orchestrate()
    async with watched(at) as told:
        refuse(at)
        lost = asyncio.get_running_loop().time()
        with suppress(StorageUnavailable):
            await at.database.write(lambda tx: None)
        await asyncio.sleep(0.1)
        assert told == [(lost, False)]


@virtual_time
async def test_a_disk_that_takes_small_writes_alone_is_full(orchestrate):
    # Heartbeats fit, what runs record does not: that one small commit went through says nothing.
    at = orchestrate()
    async with watched(at) as told:
        at.database.refuse = lambda command: (
            StorageUnavailable("the disk is full")
            if "size" in command.__code__.co_freevars and _size(command)
            else None
        )
        at.database.on_refusal()  # of a batch of events
        await asyncio.sleep(30)
        await at.database.write(lambda tx: None)
        await asyncio.sleep(30)
        assert [serving for _, serving in told] == [False]
        accept(at)
        await asyncio.sleep(2)
        assert [serving for _, serving in told] == [False, True]


@virtual_time
async def test_a_commit_that_takes_too_long_is_as_good_as_none(orchestrate):
    at = orchestrate()

    async def hanging(command: object, *, within: float | None = None) -> None:
        async with asyncio.timeout(within):
            await asyncio.Event().wait()

    async with watched(at) as told:
        write, at.database.write = at.database.write, unanswered(hanging)
        await asyncio.sleep(at.timings.storage_probe + at.timings.storage_slow)
        assert [serving for _, serving in told] == [False]
        at.database.write = write
        await asyncio.sleep(at.timings.storage_probe_again + at.timings.storage_slow)
        assert [serving for _, serving in told] == [False, True]


@virtual_time
async def test_a_fault_of_the_asking_itself_is_told_and_outlived(orchestrate):
    at = orchestrate()
    async with watched(at) as told:
        at.database.refuse = lambda command: ValueError("a fault of the code")
        await asyncio.sleep(10)
        accept(at)
        await asyncio.sleep(10)
    assert [serving for _, serving in told] == [False, True]


def _size(command) -> bool:
    """Whether a probe writes more than a little."""
    return command.__closure__[command.__code__.co_freevars.index("size")].cell_contents > 100_000


def unanswered(hang):
    """Return a `write` that raises what the real one does when it is not done in time."""

    async def write(command, *, within=None):
        try:
            await hang(command, within=within)
        except TimeoutError:
            raise StorageUnavailable("the database was not done in time", maybe_done=True) from None

    return write
