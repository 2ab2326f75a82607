"""`athanor-runner spool`: what it finds, what it says of damage, and that it changes nothing."""

import json
import os
import shutil
import sys
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from athanor.experiment import intent, wire
from athanor.experiment.assignment import Assignment
from athanor.experiment.control import ControlPage
from athanor.experiment.intent import Ended, Intent
from athanor.experiment.spool import SpoolWriter, remove_acknowledged, segment
from athanor.v1 import run_event_pb2
from athanor_runner import __main__ as program
from athanor_runner import spool_walk
from athanor_runner.ending import Ending, Failure, Kind, Outcome
from athanor_runner.output import SpoolTail
from athanor_runner.state import StateFolder
from google.protobuf import json_format

FIRST = 2
LEASE = "6d0c1f6e-6a34-4a4e-9a44-0f6c8f0e2a11"
ASSIGNMENT = Assignment(LEASE, "the run", "instance", "name", 3, "digits", "m:digits", "{}", 7, FIRST)


def event(sequence: int, size: int = 60) -> bytes:
    return wire.run_event(
        sequence,
        3,
        1_700_000_000_123_456_789,
        wire.RESULT,
        wire.result("k", '{"n": 12345678901234567890.10}' + " " * size),
    )


@pytest.fixture
def state(tmp_path: Path):
    with closing(StateFolder.open(tmp_path / "state")) as folder:
        yield folder


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_walk.time, "sleep", lambda _: None)


def fill(state: StateFolder, count: int = 12, *, end: bool = False, lease: str = LEASE) -> Path:
    """An attempt with some segments."""
    folder = state.attempts / lease
    assignment = replace(ASSIGNMENT, lease_id=lease, segment_bytes=500)
    folder.mkdir()
    (folder / "assignment.json").write_text(assignment.to_json())
    with closing(SpoolWriter.open(folder / "spool", FIRST, segment_bytes=500)) as writer:
        for index in range(count):
            writer.append([event(FIRST + index)])
    if end:
        with closing(SpoolTail(folder, assignment, 0, 0, lambda: 0)) as tail:
            tail.record_end(Ending(Outcome.FAILED, Failure(Kind.REPORTED, "no")), [], 1, True)
    return folder


@pytest.fixture
def spool(state: StateFolder, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Calls the program with the words after `spool`; answers status, output and errors. Nothing may be changed."""

    def call(*words: str) -> tuple[int, str, str]:
        before = {path: path.read_bytes() for path in state.root.rglob("*") if path.is_file()}
        status = program.main(["spool", *words, "--state", str(state.root)])
        assert {path: path.read_bytes() for path in state.root.rglob("*") if path.is_file()} == before
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


Spool = Callable[..., tuple[int, str, str]]


def test_list_says_what_there_is_while_the_runner_has_the_folder(state: StateFolder, spool: Spool) -> None:
    fill(state)
    aside = fill(state, 4, end=True, lease="other")
    state.quarantine(aside, "other", "attempt 1\nreason     given up\n")

    status, out, _ = spool("list", "--json")

    assert status == 0
    one, other = json.loads(out)["spools"]
    assert (one["lease_id"], one["run_id"], one["attempt"], one["experiment"]) == (LEASE, "the run", 3, "digits")
    assert (one["where"], one["first_sequence"], one["last_sequence"], one["ended"]) == ("attempts", 2, 13, False)
    assert one["bytes"] == sum(path.stat().st_size for path in (state.attempts / LEASE / "spool").glob("*.seg"))
    assert (other["where"], other["last_sequence"], other["ended"], other["note"]) == (
        "quarantine",
        6,
        True,
        "given up",
    )

    status, out, _ = spool("list")
    head, *lines = out.splitlines()
    assert head.split() == ["LEASE", "RUN", "ATTEMPT", "EXPERIMENT", "WHERE", "SEQUENCES", "BYTES", "ENDED", "NOTE"]
    assert [line.split()[0] for line in lines] == [LEASE, "other"]
    assert "2..13" in lines[0]


def test_a_whole_spool_is_whole_with_and_without_its_first_segments(state: StateFolder, spool: Spool) -> None:
    folder = fill(state, end=True)
    status, out, _ = spool("verify")
    assert (status, out) == (0, f"{folder}: whole, 2..14, 13 events, ended\n")

    remove_acknowledged(folder / "spool", 8)
    status, out, _ = spool("verify", LEASE, "--json")
    [verdict] = json.loads(out)["spools"]
    assert (status, verdict["whole"], verdict["digest_known"]) == (0, True, True)
    assert verdict["first_sequence"] > 2


def places(folder: Path) -> list[tuple[Path, int, int]]:
    """Where each event's record begins: file, offset, sequence."""
    found: list[tuple[Path, int, int]] = []
    for first in segment.first_sequences(folder / "spool"):
        path = segment.path_of(folder / "spool", first)
        offset = segment.HEAD_BYTES
        for index, event in enumerate(segment.unpack_records(path.read_bytes(), first - 1, offset).events):
            found.append((path, offset, first + index))
            offset += segment.RECORD_HEAD_BYTES + len(event)
    return found


def change(path: Path, at: int, how: Callable[[bytes], bytes]) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:at] + how(content[at:]))


FAULTS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "flipped": (lambda rest: rest[:30] + bytes([rest[30] ^ 1]) + rest[31:], "the checksum of event 9 does not fit"),
    "cut": (lambda rest: rest[:50], "of which 26 are there"),
    "head cut": (lambda rest: rest[:7], "7 bytes, which is no whole record"),
    "zeros": (lambda rest: bytes(40), "40 bytes of zeros"),
    "another": (lambda _: segment.pack_record(event(7), 0, 0), "a whole record, and not that of event 9"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_verify_says_where_it_breaks_and_export_goes_up_to_there(state: StateFolder, spool: Spool, fault: str) -> None:
    folder = fill(state)
    path, offset, _ = places(folder)[9 - FIRST]
    how, reason = FAULTS[fault]
    change(path, offset, how)

    status, out, _ = spool("verify", "--json")
    [verdict] = json.loads(out)["spools"]
    assert (status, verdict["whole"]) == (1, False)
    first = verdict["damage"][0]
    assert (first["file"], first["offset"], first["after_sequence"]) == (str(path), offset, 8)
    assert reason in first["reason"]

    status, out, err = spool("export", LEASE)
    assert status == 1
    assert [json.loads(line)["sequence"] for line in out.splitlines()] == [str(n) for n in range(FIRST, 9)]
    assert f"{path} at byte {offset}, behind event 8: " in err


def test_a_segment_that_is_missing_or_was_replaced_is_a_break(state: StateFolder, spool: Spool) -> None:
    folder = fill(state)
    first, second, third, *_ = segment.first_sequences(folder / "spool")
    segment.path_of(folder / "spool", second).unlink()
    status, out, _ = spool("verify")
    assert status == 1
    assert f"it begins with event {third}: what is between is missing" in out

    shutil.rmtree(folder)
    fill(state)
    path = segment.path_of(folder / "spool", first)
    content = path.read_bytes().replace(b"12345678901234567890", b"12345678901234567891", 1)
    old = segment.unpack_records(path.read_bytes(), first - 1, segment.HEAD_BYTES).events[0]
    changed = content[segment.HEAD_BYTES + segment.RECORD_HEAD_BYTES :][: len(old)]
    change(path, segment.HEAD_BYTES, lambda rest: segment.pack_record(changed, 0, 0) + rest[24 + len(changed) :])
    status, out, _ = spool("verify")
    assert status == 1
    assert "the digest in its head is not that of the events before it" in out


@pytest.mark.parametrize("witness", ["intent", "page"])
def test_a_tail_that_is_missing_between_two_events_is_known_by_what_was_noted(
    state: StateFolder, spool: Spool, witness: str
) -> None:
    folder = fill(state)
    path, offset, _ = places(folder)[-1]
    os.truncate(path, offset)
    assert spool("verify")[0] == 0
    if witness == "intent":
        Intent(Ended.RETURNED, intent.boot_id(), last_sequence=13).write(folder)
    else:
        with closing(ControlPage.create(folder / "control")) as page:
            page.recorded(lambda: None)(13)
    status, out, _ = spool("verify")
    assert status == 1
    assert "event 13 had been recorded, and it is not there" in out


def test_an_end_that_says_something_else_is_a_break(state: StateFolder, spool: Spool) -> None:
    folder = fill(state)
    with closing(SpoolWriter.resume(folder / "spool", FIRST)) as writer:
        body = wire.attempt_ended(1, None, 13, bytes(31) + b"x")
        writer.append([wire.run_event(14, 3, 1, wire.ATTEMPT_ENDED, body)])
    status, out, _ = spool("verify")
    assert status == 1
    assert "the digest in the attempt's end is not that of the events before it" in out


def test_what_is_just_being_written_is_no_break(state: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record of which a part was there is looked at again; a segment that has no head yet has no events."""
    folder = fill(state)
    path, offset, _ = places(folder)[-1]
    content = path.read_bytes()
    os.truncate(path, offset + 10)
    segment.path_of(folder / "spool", 14).touch()
    monkeypatch.setattr(spool_walk.time, "sleep", lambda _: path.write_bytes(content))
    found = spool_walk.survey(folder / "spool")
    assert (found.last_sequence, found.breaks) == (13, ())


def test_a_segment_that_is_acknowledged_and_goes_meanwhile_is_no_break(
    state: StateFolder, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fill(state)
    first, second, *_ = segment.first_sequences(folder / "spool")
    for gone in (first, second):
        segment.path_of(folder / "spool", gone).unlink()
    listed = segment.first_sequences
    monkeypatch.setattr(segment, "first_sequences", lambda at: sorted({first, second, *listed(at)}))
    status, out, _ = spool("verify")
    assert (status, "whole" in out) == (0, True)


def test_exported_events_are_exactly_what_was_recorded(state: StateFolder, spool: Spool, tmp_path: Path) -> None:
    fill(state, end=True)
    status, out, _ = spool("export", LEASE)
    lines = out.splitlines()
    assert (status, len(lines)) == (0, 13)
    first = json.loads(lines[0])
    assert first["time"] == "2023-11-14T22:13:20.123456789Z"
    assert first["result"]["valueJson"].strip() == '{"n": 12345678901234567890.10}'
    parsed = [json_format.Parse(line, run_event_pb2.RunEvent()) for line in lines]
    assert [one.SerializeToString() for one in parsed[:-1]] == [event(FIRST + index) for index in range(12)]
    assert parsed[-1].attempt_ended.failure.message == "no"

    status, printed, _ = spool("export", LEASE, "--output", str(tmp_path / "events.jsonl"))
    assert (status, printed) == (0, "")
    assert (tmp_path / "events.jsonl").read_text() == out


def test_a_spool_is_found_by_lease_by_folder_and_by_path(state: StateFolder, spool: Spool, tmp_path: Path) -> None:
    folder = fill(state)
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(folder / "spool", elsewhere)
    for name in (LEASE, str(folder), str(elsewhere)):
        assert len(spool("export", name)[1].splitlines()) == 12
    aside = state.quarantine(elsewhere, f"{LEASE}-spool", "reason     damaged\n", part=True)
    shutil.copy(folder / "assignment.json", aside)
    status, _, err = spool("export", LEASE)
    assert status == 2
    assert f"there are 2 spools of lease {LEASE}; give one of the folders" in err
    assert len(spool("export", f"{LEASE}-spool")[1].splitlines()) == 12


@pytest.mark.parametrize(
    ("words", "error"),
    [(["export", "nobody"], "there is no spool of lease nobody"), (["verify", "nobody"], "there is no spool of lease")],
)
def test_what_is_not_there_is_told(state: StateFolder, spool: Spool, words: list[str], error: str) -> None:
    status, _, err = spool(*words)
    assert status == 2
    assert err.startswith(f"athanor-runner spool: {error}")


def test_a_folder_that_is_no_state_folder_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["spool", "list", "--state", str(tmp_path)]) == 2
    assert f"{tmp_path} is no state folder of a runner" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_spool_of_a_later_version_is_told_of(state: StateFolder, spool: Spool) -> None:
    from tests.unit.runner.test_formats import later

    folder = fill(state, 2)
    later(segment.path_of(folder / "spool", FIRST))
    later(folder / "assignment.json")
    status, out, _ = spool("verify")
    assert status == 1
    assert "is of format 2, and this version reads up to 1: it takes a later version" in out
    assert "is of format 2" in spool("list")[1]


def test_memory_is_that_of_one_segment(state: StateFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """64 segments of one MiB; a gigabyte would take no more."""
    folder = state.attempts / LEASE
    folder.mkdir()
    (folder / "assignment.json").write_text(ASSIGNMENT.to_json())
    with closing(SpoolWriter.open(folder / "spool", FIRST, segment_bytes=1 << 20)) as writer:
        for index in range(640):
            writer.append([event(FIRST + index, 100_000)])
    monkeypatch.setattr(sys, "stdout", (tmp_path / "out").open("w"))
    for words in (["verify"], ["export", LEASE], ["list"]):
        tracemalloc.start()
        assert program.main(["spool", *words, "--state", str(state.root)]) == 0
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 6 << 20
    sys.stdout.close()


def test_the_plain_command_is_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        program.main(["--help"])
    assert ended.value.code == 0
    assert "athanor-runner spool --help" in capsys.readouterr().out
    told: Any = program._parse(["--slots", "3"])
    assert told.slots == 3
