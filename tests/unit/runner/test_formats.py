"""What a runner must be able to read after an upgrade: a golden file of each format, and files of a later one.

`golden/state` is the state folder of a runner that was killed, byte for byte as format 1 has it. If one of these tests
fails a format has a new version: the old one is still to be read, and its golden file stays.
"""

import asyncio
import json
import logging
import shutil
import struct
import uuid
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from athanor.experiment import intent, wire
from athanor.experiment.assignment import Assignment, Checkpoint, Code, WhenFull
from athanor.experiment.control import ControlPage
from athanor.experiment.files import NewerFormatError
from athanor.experiment.intent import Ended, Intent
from athanor.experiment.spool import Claim, NewerSpoolError, SpoolReader, SpoolWriter, segment
from athanor.runner.v1 import dispatch_service_pb2 as pb
from athanor_runner import attempt_folder, state
from athanor_runner.attempt import Services
from athanor_runner.ports import ProcessId
from athanor_runner.roster import Roster
from athanor_runner.settings import Timings
from athanor_runner.shipping import Feeds
from athanor_runner.state import StateFolder, StateFolderDamaged
from athanor_runner.supervision import Tools

from tests.support.runner_fakes import Clock, Disk, Processes
from tests.support.virtual_time import virtual_time

GOLDEN = Path(__file__).parent / "golden" / "state"
LEASE = "6d0c1f6e-6a34-4a4e-9a44-0f6c8f0e2a11"
RUNNER = "b5b7e3d0-6c0e-4f0e-8f5e-4d4f5a9f1c22"
FILES = ("runner.json", "session.json", *(f"attempts/{LEASE}/{name}" for name in (
    "assignment.json", "cancel.json", "control", "intent.json", "process.json", "spool/00000000000000000017.seg"
)))  # fmt: skip
ASSIGNMENT = Assignment(
    lease_id=LEASE,
    run_id="0a7f35f5-93c5-4a3c-9f3b-0e3d0a5b7c33",
    instance_id="f4b8c3ab-21b6-4c1c-8d5c-6d7e8f9a0b44",
    instance_name="näme",
    attempt=2,
    experiment="digits",
    module="package.module:digits",
    configuration_json='{"n": 12345678901234567890}',
    seed=(1 << 64) - 1,
    next_sequence=17,
    search_path=("/a", "/b"),
    runner_id=RUNNER,
    code=Code("digest", "package.module:digits", "package==1", "commit", True),
    timeout_s=1.5,
    max_attempts=3,
    checkpoint=Checkpoint(5, '{"step": 3}'),
    segment_bytes=1 << 20,
    spool_limit_bytes=1 << 24,
    when_spool_full=WhenFull.DROP,
)
INTENT = Intent(Ended.RAISED, "boot", "ValueError: no", "Traceback", True, True, 19)
EVENTS = [
    wire.run_event(17 + index, 2, 1_700_000_000_000_000_000, wire.LOG, wire.log_entry(20, text))
    for index, text in enumerate(("one", "zwei \U0001f600", ""))
]


@pytest.fixture(autouse=True)
def in_one_boot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intent, "boot_id", lambda: "boot")


def write(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What this version writes."""
    with monkeypatch.context() as patch:
        patch.setattr(state.uuid, "uuid4", lambda: uuid.UUID(RUNNER))
        with closing(StateFolder.open(root)) as folder:
            folder.next_session_number()
            folder.next_session_number()
    attempt = root / "attempts" / LEASE
    page = attempt_folder.make(attempt, ASSIGNMENT)
    attempt_folder.write_process(attempt, ProcessId(4711, 815))
    attempt_folder.write_cancel(attempt, "enough")
    INTENT.write(attempt)
    with closing(page):
        page.set_cancelled()
        page.acknowledged_bytes = 65
        page.recorded(lambda: None)(19)
        page.dropped_entries = 3
        page.write_progress(3, 4, b"three")
    with closing(SpoolWriter.open(attempt / "spool", 17)) as writer:
        for index, data in enumerate(EVENTS):
            writer.append_output([data], [(index + 1, 2 * index)], claim=Claim.RECORD)


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_written_as_the_golden_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    write(tmp_path / "state", monkeypatch)

    assert (tmp_path / "state" / name).read_bytes() == (GOLDEN / name).read_bytes()


def test_every_golden_file_is_read(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN, tmp_path / "state")
    with closing(StateFolder.open(tmp_path / "state")) as folder:
        assert folder.runner_id == RUNNER
        assert folder.next_session_number() == 3
        [found] = folder.attempt_folders()
    assert attempt_folder.read_found(found) == ASSIGNMENT
    assert attempt_folder.first_process(found) == ProcessId(4711, 815)
    assert attempt_folder.intent_of_this_boot(found) == INTENT
    assert attempt_folder.noted_in_this_boot(found) == attempt_folder.Noted(19, 3)
    assert json.loads((found / attempt_folder.CANCEL).read_bytes())["reason"] == "enough"
    with closing(ControlPage(found / "control")) as page:
        assert (page.cancelled, page.acknowledged_bytes, page.boot_id) == (True, 65, "boot")
        assert page.read_progress() == (2, 3, 4, "three")
    with closing(SpoolReader(found / "spool")) as reader:
        assert reader.read(1 << 20) == EVENTS


def later(path: Path) -> None:
    """Makes a file one of a later version."""
    data = bytearray(path.read_bytes())
    if path.suffix == ".json":
        path.write_text(json.dumps({**json.loads(data), "format": 2, "mood": "good"}))
        return
    struct.pack_into("=I", data, 8 if path.suffix == ".seg" else 4, 2)
    if path.suffix == ".seg":
        struct.pack_into("<I", data, 124, zlib.crc32(data[:124]))
    path.write_bytes(data)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("attempts/")])
@virtual_time
async def test_an_attempt_with_a_file_of_a_later_version_is_told_and_goes_to_quarantine_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """The operator has gone back to an older version. What still lives of the attempt is ended all the same."""
    shutil.copytree(GOLDEN, tmp_path / "state")
    later(tmp_path / "state" / name)
    attempt = tmp_path / "state" / "attempts" / LEASE
    before = contents(attempt)
    processes = Processes()
    process = processes.spawn(4711, 9)
    caplog.set_level(logging.ERROR)
    with closing(StateFolder.open(tmp_path / "state")) as folder:
        roster = roster_over(folder, processes)
        async with roster.group:
            await roster.find_leftovers()
            assert list(roster) == []
            held = await roster.held()
            assert held == [pb.HeldAttempt(lease_id=LEASE, unreadable=True)]
            assert roster.leases() == []
            assert not roster.empty  # Goodbye would give back what may have been executed
            assert contents(attempt) == before
            assert process not in processes.others
            roster.judge(held, [fence()], 0.0)
            await roster.until(lambda: roster.gone)
        assert await roster.held() == []
        assert roster.empty
        aside = folder.root / "quarantine" / LEASE
        assert roster.gone == {LEASE: aside}
        assert [(each.lease_id, each.folder) for each in folder.unreported_quarantines()] == [(LEASE, aside)]
    note = (aside / "NOTE.txt").read_text()
    assert {path: data for path, data in contents(aside).items() if path not in ("NOTE.txt", "unreported")} == before
    [message] = [record.getMessage() for record in caplog.records if record.name == "athanor_runner.roster"]
    assert f"attempts/{LEASE} cannot be gone on with, and the orchestrator will be told so: " in message
    for said in (message, note):
        assert "is of format 2, and this version reads up to 1: it takes a later version" in said
    assert "reason     used up: " in note


class TestVerdictsOnWhatCannotBeGoneOnWith:
    @pytest.fixture
    def folder(self, tmp_path: Path):
        shutil.copytree(GOLDEN, tmp_path / "state")
        (tmp_path / "state" / "attempts" / LEASE / "assignment.json").write_text('{"format": 1, "lease_')
        with closing(StateFolder.open(tmp_path / "state")) as folder:
            yield folder

    @virtual_time
    async def test_kept_it_stays_as_it_is_and_is_told_again(self, folder: StateFolder) -> None:
        before = contents(folder.attempts)
        roster = roster_over(folder, Processes())
        async with roster.group:
            await roster.find_leftovers()
            held = await roster.held()
            roster.judge(held, [pb.Verdict(lease_id=LEASE, keep=pb.Keep())], 0.0)
            await asyncio.sleep(1.0)
            assert roster.empty
            assert await roster.held() == held
            roster.let_go()
        assert contents(folder.attempts) == before

    @virtual_time
    async def test_released_it_is_deleted(self, folder: StateFolder) -> None:
        roster = roster_over(folder, Processes())
        async with roster.group:
            await roster.find_leftovers()
            roster.judge(await roster.held(), [pb.Verdict(lease_id=LEASE, release=pb.Release())], 0.0)
        assert list(folder.attempts.iterdir()) == list((folder.root / "quarantine").iterdir()) == []
        assert roster.gone == {}

    @virtual_time
    async def test_resumed_by_an_orchestrator_that_knows_no_better_nobody_touches_it(self, folder: StateFolder) -> None:
        """No heartbeat names it, so that its lease is over in time."""
        before = contents(folder.attempts)
        roster = roster_over(folder, Processes())
        async with roster.group:
            await roster.find_leftovers()
            held = await roster.held()
            roster.judge(held, [pb.Verdict(lease_id=LEASE, resume=pb.Resume(next_sequence=17))], 0.0)
            await asyncio.sleep(1.0)
            assert roster.leases() == []
            assert not roster.empty
            assert await roster.held() == held
            roster.let_go()
        assert contents(folder.attempts) == before

    @virtual_time
    async def test_what_cannot_be_moved_stays_and_is_over_all_the_same(
        self, folder: StateFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def refused(*_: object) -> Path:
            raise OSError(30, "Read-only file system")

        monkeypatch.setattr(folder, "quarantine", refused)
        roster = roster_over(folder, Processes())
        async with roster.group:
            await roster.find_leftovers()
            roster.judge(await roster.held(), [fence()], 0.0)
        assert roster.gone == {LEASE: None}
        assert (folder.attempts / LEASE).exists()
        assert "stays where it is, it cannot be moved: [Errno 30] Read-only file system" in caplog.text

    @virtual_time
    async def test_a_folder_that_is_not_named_after_a_lease_is_left_alone(
        self, folder: StateFolder, caplog: pytest.LogCaptureFixture
    ) -> None:
        (folder.attempts / LEASE).rename(folder.attempts / "copy")
        roster = roster_over(folder, Processes())
        async with roster.group:
            await roster.find_leftovers()
            assert await roster.held() == []
        assert (folder.attempts / "copy" / "assignment.json").exists()
        assert "copy is left alone, it is not named after a lease and cannot be read" in caplog.text


def fence() -> pb.Verdict:
    return pb.Verdict(lease_id=LEASE, fence=pb.Fence(lease_id=LEASE, reason="used up"))


@pytest.mark.parametrize("name", ["runner.json", "session.json"])
def test_a_state_folder_of_a_later_version_is_refused_at_the_start(tmp_path: Path, name: str) -> None:
    shutil.copytree(GOLDEN, tmp_path / "state")
    later(tmp_path / "state" / name)
    before = (tmp_path / "state" / name).read_bytes()

    with pytest.raises(StateFolderDamaged, match=rf"{name} is of format 2, and this version reads up to 1"):
        StateFolder.open(tmp_path / "state")
    assert (tmp_path / "state" / name).read_bytes() == before


def test_a_spool_of_a_later_version_is_neither_read_nor_cut(tmp_path: Path) -> None:
    """It was taken for torn, and deleted."""
    folder = tmp_path / "spool"
    shutil.copytree(GOLDEN / "attempts" / LEASE / "spool", folder)
    later(segment.path_of(folder, 17))
    before = contents(folder)

    for _ in range(2):  # the lock is given back
        with pytest.raises(NewerSpoolError, match=r"00000000000000000017\.seg is of format 2"):
            SpoolWriter.resume(folder, 17)
    with closing(SpoolReader(folder)) as reader, pytest.raises(NewerSpoolError):
        reader.read(1 << 20)
    (folder / "lock").unlink()
    assert contents(folder) == before


def test_a_later_format_is_told_from_damage() -> None:
    with pytest.raises(NewerFormatError, match=r"intent\.json is of format 2"):
        Intent.from_json('{"format": 2}')
    for text in ('{"format": 0}', '{"format": "2"}', '{"format": true}', "[2]", "{}"):
        with pytest.raises(ValueError, match=r"intent\.json is not of format 1"):
            Intent.from_json(text)


class TestLeftoversThatCannotBeRead:
    """Whatever is wrong with what was left behind, the runner starts, and the rest is taken up."""

    @pytest.fixture
    def folder(self, tmp_path: Path):
        shutil.copytree(GOLDEN, tmp_path / "state")
        with closing(StateFolder.open(tmp_path / "state")) as folder:
            yield folder

    @virtual_time
    async def test_a_folder_that_may_not_be_entered(
        self, folder: StateFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        (folder.attempts / "closed").mkdir()
        (folder.attempts / "closed" / "assignment.json").write_text("{}")
        (folder.root / "quarantine" / "closed").mkdir()
        refuse(monkeypatch, "closed", PermissionError(13, "Permission denied"))
        roster = roster_over(folder, Processes())
        async with roster.group:
            await roster.find_leftovers()
            await asyncio.sleep(0)
            assert [attempt.lease_id for attempt in roster] == [LEASE]
            roster.let_go()
        assert caplog.text.count("Permission denied") == 2
        monkeypatch.undo()
        assert (folder.attempts / "closed").exists()

    @virtual_time
    async def test_a_folder_that_vanishes(self, folder: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
        found = folder.attempt_folders()
        monkeypatch.setattr(folder, "attempt_folders", lambda: [folder.attempts / "gone", *found])
        roster = roster_over(folder, Processes())
        async with roster.group:
            await roster.find_leftovers()
            await asyncio.sleep(0)
            assert [attempt.lease_id for attempt in roster] == [LEASE]
            roster.let_go()

    @virtual_time
    async def test_a_spool_that_cannot_be_read_keeps_no_session_from_being_made(
        self, folder: StateFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One bad block of one attempt held all others hostage: Hello was never sent."""
        refuse(monkeypatch, ".seg", OSError(5, "Input/output error"))
        monkeypatch.setattr(attempt_folder.segment, "first_sequences", lambda _: [])  # found before the block went bad
        roster = roster_over(folder, Processes())
        async with roster.group:
            await roster.find_leftovers()
            monkeypatch.setattr(segment, "first_sequences", lambda _: [17])
            [held] = await roster.held()
            assert (held.lease_id, held.first_sequence, held.last_sequence) == (LEASE, 0, 0)
            [attempt] = roster
            attempt.resume(17, 0.0)
            await asyncio.sleep(1.0)
            roster.let_go()
        [aside] = (folder.root / "quarantine").iterdir()
        assert "the spool cannot be read" in (aside / "NOTE.txt").read_text()


def refuse(monkeypatch: pytest.MonkeyPatch, part: str, error: OSError) -> None:
    """Has the system refuse whatever is done to paths with this in them."""
    stat, opened = Path.stat, Path.open

    def refusing(original: Any) -> Any:
        def do(path: Path, *arguments: Any, **options: Any) -> Any:
            if part in str(path):
                raise error
            return original(path, *arguments, **options)

        return do

    monkeypatch.setattr(Path, "stat", refusing(stat))
    monkeypatch.setattr(Path, "open", refusing(opened))


def roster_over(folder: StateFolder, processes: Processes) -> Any:
    tools = Tools(Clock(), Disk(), processes, Timings(), "python", {})  # type: ignore[arg-type]
    group = asyncio.TaskGroup()
    roster: Any = Roster(Services(folder, Feeds(), tools), None, 1, RUNNER, group)  # type: ignore[arg-type]
    roster.group = group
    return roster
