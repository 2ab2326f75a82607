"""The loop that removes what was deleted: by steps that follow the disk, awake when told, alive after failures."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import pytest
from athanor_orchestrator.domain.errors import StorageUnavailable
from athanor_orchestrator.engine import deletion
from athanor_orchestrator.engine.deletion import TOPIC, Deletion
from athanor_orchestrator.engine.wakeups import Wakeups

from tests.support.virtual_time import virtual_time

T = TypeVar("T")


class Disk:
    """A database with so many rows to remove, of which each step says how many it asked for."""

    def __init__(self, rows: int, *, failures: int = 0, commit: float = 0.0) -> None:
        """`commit`: seconds that one takes."""
        self.rows = rows
        self.commit = commit
        self.failures = failures
        self.steps: list[int] = []
        self.idle = asyncio.Event()

    def remove_some(self, _tx: object, rows: int) -> bool:
        if not self.rows:
            self.idle.set()
            return False
        self.steps.append(rows)
        self.rows = max(0, self.rows - rows)
        return True

    async def write(self, command: Callable[[object], T]) -> T:
        if self.failures:
            self.failures -= 1
            raise StorageUnavailable("locked") if self.failures else ZeroDivisionError
        await asyncio.sleep(self.commit)
        return command(None)


async def until_idle(disk: Disk, loop: Deletion, wakeups: Wakeups, *more: int) -> None:
    running = asyncio.create_task(loop.run())
    await disk.idle.wait()
    for rows in more:
        disk.idle.clear()
        disk.rows = rows
        wakeups.publish(frozenset([TOPIC]))
        await disk.idle.wait()
    running.cancel()
    await asyncio.wait({running})


async def test_steps_grow_while_the_disk_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    disk, wakeups = Disk(20_000), Wakeups()
    monkeypatch.setattr(deletion, "remove_some", disk.remove_some)
    await until_idle(disk, Deletion(disk, wakeups, step=3600.0), wakeups)  # type: ignore[arg-type]
    assert disk.steps[:4] == [500, 1000, 2000, 4000]
    assert max(disk.steps) == 5000


async def test_steps_shrink_while_the_disk_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    disk, wakeups = Disk(2000), Wakeups()
    monkeypatch.setattr(deletion, "remove_some", disk.remove_some)
    await until_idle(disk, Deletion(disk, wakeups, step=0.0), wakeups)  # type: ignore[arg-type]
    assert disk.steps[:4] == [500, 250, 125, 62]
    assert min(disk.steps) == 50


@virtual_time
async def test_slow_commits_do_not_make_steps_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine 300 thousand events went in steps of 50, as long as nothing else was to be done."""
    disk, wakeups = Disk(20_000, commit=0.06), Wakeups()
    monkeypatch.setattr(deletion, "remove_some", disk.remove_some)
    await until_idle(disk, Deletion(disk, wakeups, step=0.02), wakeups)  # type: ignore[arg-type]
    assert disk.steps[:4] == [500, 1000, 2000, 4000]


async def test_a_deletion_wakes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    disk, wakeups = Disk(0), Wakeups()
    monkeypatch.setattr(deletion, "remove_some", disk.remove_some)
    await until_idle(disk, Deletion(disk, wakeups, poll=3600.0), wakeups, 10, 20)  # type: ignore[arg-type]
    assert len(disk.steps) == 2


async def test_it_outlives_failures_of_every_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    disk, wakeups = Disk(10, failures=3), Wakeups()
    monkeypatch.setattr(deletion, "remove_some", disk.remove_some)
    await until_idle(disk, Deletion(disk, wakeups, poll=0.0), wakeups)  # type: ignore[arg-type]
    assert disk.rows == 0
