"""What a runner makes of an attempt that it finds: after a crash, and after a power cut at every byte of the spool."""

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from athanor.experiment import intent, wire
from athanor.experiment.assignment import Assignment
from athanor.experiment.control import ControlPage
from athanor.experiment.intent import Ended, Intent
from athanor.experiment.spool import SpoolReader, SpoolWriter, segment
from athanor.v1 import run_event_pb2, run_pb2
from athanor_runner import attempt_folder
from athanor_runner.attempt import Attempt, Limits, Phase, Services
from athanor_runner.ending import Ending, Outcome
from athanor_runner.output import SpoolTail
from athanor_runner.ports import ProcessId
from athanor_runner.settings import Timings
from athanor_runner.shipping import Feeds
from athanor_runner.state import StateFolder
from athanor_runner.supervision import Tools

from tests.support.runner_fakes import Clock, Disk, Processes
from tests.support.virtual_time import virtual_time

FIRST = 2
EVENTS = 6
STORED = 3  # events that the orchestrator has
Kind = run_pb2.Failure
ASSIGNMENT = Assignment("lease", "run", "instance", "name", 1, "digits", "m:digits", "{}", 7, FIRST)


def event(sequence: int) -> bytes:
    return wire.run_event(sequence, 1, 1_700_000_000_000_000_000, wire.LOG, wire.log_entry(20, "x" * (sequence % 5)))


WRITTEN = [event(FIRST + index) for index in range(EVENTS)]


@pytest.fixture
def state(tmp_path: Path):
    folder = StateFolder.open(tmp_path / "state")
    yield folder
    folder.close()


@pytest.fixture
def unflushed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not flushed is what a test takes away; to flush for real takes only time."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(os, "fdatasync", lambda _: None)


def leave_behind(state: StateFolder, *, boot: str | None = None, said: Ended | None = None) -> Path:
    """What a runner that crashed leaves of an attempt with EVENTS events."""
    boot = intent.boot_id() if boot is None else boot
    folder = state.attempts / "lease"
    folder.mkdir()
    (folder / "assignment.json").write_text(ASSIGNMENT.to_json())
    attempt_folder.write_process(folder, ProcessId(1, 1))
    with (
        closing(ControlPage.create(folder / "control", boot)) as page,
        closing(SpoolWriter.open(folder / "spool", FIRST)) as writer,
    ):
        for index, data in enumerate(WRITTEN):
            writer.append([data])
            page.recorded(lambda: None)(FIRST + index)
    if said is not None:
        Intent(said, boot, last_sequence=FIRST + EVENTS - 1).write(folder)
    return folder


def cut_at(folder: Path, size: int) -> int:
    """Takes the tail of the spool; answers how many events are left."""
    path = segment.path_of(folder / "spool", FIRST)
    content = path.read_bytes()
    path.write_bytes(content[:size])
    left, end = 0, segment.HEAD_BYTES
    for data in WRITTEN:
        end += segment.RECORD_HEAD_BYTES + len(data)
        left += end <= size
    return left


async def recover(
    state: StateFolder, next_sequence: int, look: Callable[[Attempt], Awaitable[None]] | None = None
) -> list[bytes]:
    """Lets the runner take up what it finds, with the verdict to resume; answers what it then has to ship."""
    tools = Tools(Clock(), Disk(), Processes(), Timings(), "python", {})  # type: ignore[arg-type]
    attempt = Attempt(ASSIGNMENT, Limits(), Services(state, Feeds(), tools), 0.0, found=True)
    task = asyncio.create_task(attempt.recover(), name="recover")
    if look is not None:
        await look(attempt)
    attempt.resume(next_sequence, 0.0)
    while attempt.phase is not Phase.SHIPPING:
        if task.done():
            await task
        await asyncio.sleep(0.1)
    with closing(SpoolReader(attempt.folder / "spool")) as reader:
        reader.rewind(next_sequence)
        events = reader.read(1 << 20)
    assert attempt.feed is not None
    attempt.feed.acknowledged(wire.read_sequence_kind(events[-1])[0], rewind=False)
    await task
    assert attempt.phase is Phase.OVER
    assert not attempt.folder.exists()
    return events


def end_of(events: list[bytes]) -> tuple[int, run_event_pb2.AttemptEnded]:
    """The sequence of the attempt's end, which is its last event, and what it says."""
    last = run_event_pb2.RunEvent.FromString(events[-1])
    assert last.HasField("attempt_ended")
    return last.sequence, last.attempt_ended


def chain_over(events: list[bytes]) -> bytes:
    chain = bytes(32)
    for data in events:
        chain = sha256(chain + data).digest()
    return chain


SIZE = segment.HEAD_BYTES + sum(segment.RECORD_HEAD_BYTES + len(data) for data in WRITTEN)
CUTS = [*range(0, segment.HEAD_BYTES, 16), *range(segment.HEAD_BYTES, SIZE)]  # of a head any part is as good as none


@virtual_time
async def test_after_a_power_cut_at_any_byte_the_end_is_above_all_and_nothing_is_shown_as_whole(
    state: StateFolder, unflushed: None
) -> None:
    """Also where what is left ends between two events: then nobody can see that a tail is missing."""
    next_sequence = FIRST + STORED
    for size in [*CUTS, SIZE]:
        folder = leave_behind(state, boot="an earlier one", said=Ended.RETURNED)
        left = cut_at(folder, size)
        events = await recover(state, next_sequence)
        sequence, end = end_of(events)
        assert sequence == max(FIRST + left, next_sequence)
        assert events[:-1] == WRITTEN[STORED : max(left, STORED)]
        assert end.digest == b""
        assert end.event_count == sequence - FIRST + 1
        assert (end.outcome, end.failure.kind) == (run_pb2.ATTEMPT_OUTCOME_FAILED, Kind.KIND_RUNNER_RESTARTED)
    assert list((state.root / "quarantine").iterdir()) == []


@virtual_time
async def test_in_the_same_boot_a_tail_that_is_missing_at_any_byte_is_damage(
    state: StateFolder, unflushed: None
) -> None:
    """Its process was killed and left no intent; what it noted in the page says how far it had recorded."""
    next_sequence = FIRST + STORED
    for size in CUTS:
        cut_at(leave_behind(state), size)
        events = await recover(state, next_sequence)
        sequence, end = end_of(events)
        assert (sequence, end.digest) == (next_sequence, b"")
        assert (end.outcome, end.failure.kind) == (run_pb2.ATTEMPT_OUTCOME_FAILED, Kind.KIND_STORAGE)
        [aside] = (state.root / "quarantine").iterdir()
        shutil.rmtree(aside)


@virtual_time
async def test_in_the_same_boot_a_whole_spool_is_a_whole_log(state: StateFolder) -> None:
    """What is torn behind the last event that had been recorded is no loss."""
    folder = leave_behind(state)
    with segment.path_of(folder / "spool", FIRST).open("ab") as file:
        file.write(b"half a record")
    events = await recover(state, FIRST + STORED)
    sequence, end = end_of(events)
    assert sequence == FIRST + EVENTS
    assert (end.digest, end.failure.kind) == (chain_over(WRITTEN), Kind.KIND_RUNNER_RESTARTED)


@virtual_time
async def test_nothing_is_numbered_before_the_verdict(state: StateFolder) -> None:
    folder = leave_behind(state, said=Ended.RETURNED)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    async def look(attempt: Attempt) -> None:
        await asyncio.sleep(3600.0)
        assert attempt.phase is Phase.FOUND
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before

    _, end = end_of(await recover(state, FIRST + STORED, look))
    assert end.outcome == run_pb2.ATTEMPT_OUTCOME_COMPLETED


def test_an_end_that_could_not_be_flushed_is_not_recorded_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runner tries until it can, and each try appended one more."""
    tail = SpoolTail(tmp_path, ASSIGNMENT, 0, 0, lambda: 0)
    flush = os.fdatasync

    def failing(file: int) -> None:
        monkeypatch.setattr(os, "fdatasync", flush)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", failing)
    with closing(tail):
        with pytest.raises(OSError, match="Input/output"):
            tail.record_end(Ending(Outcome.COMPLETED), [], 0, True)
        assert tail.record_end(Ending(Outcome.COMPLETED), [], 0, True) == FIRST
    with closing(SpoolReader(tmp_path / "spool")) as reader:
        assert len(reader.read(1 << 20)) == 1


@virtual_time
async def test_everything_is_on_the_disk_before_the_process_starts(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the name of the spool in its folder: else a power cut could take a checkpoint that had been flushed."""
    done: list[str] = []
    flush, processes = os.fsync, Processes()

    def flushed(file: int) -> None:
        name = Path(os.readlink(f"/proc/self/fd/{file}")).relative_to(state.root)
        names = ",".join(sorted(path.name for path in (state.root / name).iterdir())) if name.suffix == "" else ""
        done.append(f"{name} {names}".strip())
        flush(file)

    def start(*_: object) -> None:
        done.append("start")
        raise OSError("enough")

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(processes, "start", start)
    tools = Tools(Clock(), Disk(), processes, Timings(), "python", {})  # type: ignore[arg-type]
    attempt = Attempt(ASSIGNMENT, Limits(), Services(state, Feeds(), tools), 0.0)
    task = asyncio.create_task(attempt.execute(), name="execute")
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert done[: done.index("start")] == [
        "attempts/lease/assignment.json.tmp",
        "attempts/lease assignment.json,control,spool",
        "attempts lease",
    ]


@virtual_time
async def test_what_was_dropped_is_told_once_though_the_runner_crashes_behind_it(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = leave_behind(state)
    with closing(ControlPage(folder / "control")) as page:
        page.dropped_entries = 3
    with monkeypatch.context() as patch:
        patch.setattr(SpoolTail, "record_end", lambda *_: (_ for _ in ()).throw(ZeroDivisionError))
        with pytest.raises(ZeroDivisionError):
            await recover(state, FIRST)
    events = [run_event_pb2.RunEvent.FromString(data) for data in await recover(state, FIRST)]
    told = [event.log.message for event in events if event.log.source == "athanor"]
    assert told == ["3 log entries were dropped because the spool was full"]
    assert events[-1].attempt_ended.digest


def test_which_process_was_started_is_noted_without_a_flush(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is of use in this boot of the machine only, and two flushes would stand between a run and its end."""
    monkeypatch.setattr(os, "fsync", None)
    process = ProcessId(4711, 815)
    attempt_folder.write_process(tmp_path, process)
    assert attempt_folder.first_process(tmp_path) == process
    assert [path.name for path in tmp_path.iterdir()] == ["process.json"]
    (tmp_path / "process.json").write_bytes(b"")  # as a power cut may leave it
    assert attempt_folder.first_process(tmp_path) is None


def test_a_folder_that_is_there_already_is_not_taken_for_a_new_one(tmp_path: Path, unflushed: None) -> None:
    attempt_folder.make(tmp_path / "lease", ASSIGNMENT).close()
    with pytest.raises(FileExistsError):
        attempt_folder.make(tmp_path / "lease", replace(ASSIGNMENT, attempt=7))
    assert Assignment.read(tmp_path / "lease").attempt == ASSIGNMENT.attempt
