"""What is done now and then: what was recorded gets to the disk, and nothing is looked at for nothing."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from athanor.experiment.spool import SpoolWriter
from athanor_runner.output import SPOOL
from athanor_runner.upkeep import Upkeep


class Here:
    """File work, done at once."""

    def __init__(self) -> None:
        self.calls = 0

    async def run(self, work: Any, *arguments: object) -> Any:
        self.calls += 1
        return work(*arguments)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[SpoolWriter]:
    writer = SpoolWriter.open(tmp_path / SPOOL, 1)
    yield writer
    writer.close()


def test_a_spool_is_flushed_when_its_process_has_recorded_and_again_when_that_failed(
    tmp_path: Path, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushes: list[int] = []
    fails: list[OSError] = []

    def flush(descriptor: int) -> None:
        if fails:
            raise fails.pop()
        flushes.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(os, "fdatasync", flush)
    feed = SimpleNamespace(recorded_sequence=0)
    attempt = SimpleNamespace(lease_id="lease", folder=tmp_path, active=True, feed=feed)
    attempts = [attempt]
    disk = Here()
    upkeep: Any = Upkeep(attempts, [], SimpleNamespace(disk=disk))  # type: ignore[arg-type]

    def go_round() -> int:
        before = len(flushes)
        asyncio.run(upkeep._flush_all())
        return len(flushes) - before

    writer.append([b"\x08\x01first"])
    assert go_round() == 1  # its process says nothing: the spool is looked at
    writer.append([b"\x08\x02second"])
    feed.recorded_sequence = 2
    assert go_round() == 1
    calls = disk.calls
    assert go_round() == 0
    assert disk.calls == calls  # nothing was recorded: nothing was looked at

    writer.append([b"\x08\x03third"])
    feed.recorded_sequence = 3
    fails.append(OSError(5, "the disk does not answer"))
    assert go_round() == 0
    assert go_round() == 1  # tried on, though nothing was recorded since
    attempts.clear()
    go_round()
    assert upkeep._flushers == {}
