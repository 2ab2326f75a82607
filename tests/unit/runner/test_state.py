"""The state folder: one owner, one identity, sessions that only count up, folders that are there whole or not."""

import contextlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from athanor_runner.state import StateFolder, StateFolderDamaged, StateFolderInUse


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateFolder]:
    folder = StateFolder.open(tmp_path / "state")
    yield folder
    folder.close()


def test_the_identity_is_drawn_once(tmp_path: Path) -> None:
    first = StateFolder.open(tmp_path / "state")
    first.close()
    second = StateFolder.open(tmp_path / "state")
    second.close()
    other = StateFolder.open(tmp_path / "other")
    other.close()
    assert first.runner_id == second.runner_id == str(uuid.UUID(first.runner_id))
    assert other.runner_id != first.runner_id


def test_a_second_runner_is_told_that_the_folder_is_taken(state: StateFolder) -> None:
    with pytest.raises(StateFolderInUse, match=f"another runner uses the state folder {state.root}"):
        StateFolder.open(state.root)


def test_sessions_are_counted_over_restarts(tmp_path: Path) -> None:
    numbers: list[int] = []
    for _ in range(2):
        folder = StateFolder.open(tmp_path)
        numbers += [folder.next_session_number(), folder.next_session_number()]
        folder.close()
    assert numbers == [1, 2, 3, 4]


@pytest.mark.parametrize("steps", range(12))
def test_a_session_number_survives_a_crash_at_every_step(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """And is never given twice."""
    for _ in range(3):
        given = state.next_session_number()
    left = steps

    def until_the_crash(original: Any) -> Any:
        def step(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            return original(*arguments, **options)

        return step

    with monkeypatch.context() as patch:
        for owner, name in (
            *((os, name) for name in ("open", "pwrite", "ftruncate", "fsync", "link")),
            (Path, "rename"),
        ):
            patch.setattr(owner, name, until_the_crash(getattr(owner, name)))
        with contextlib.suppress(KeyboardInterrupt):
            given = state.next_session_number()
    again = state.next_session_number()
    assert again > given
    assert state.next_session_number() == again + 1
    assert sorted(path.name for path in state.root.glob("session.json*")) == ["session.json", "session.json.spare"]


@pytest.mark.parametrize("content", ["", "null", '{"format": 2, "number": 4}', '{"format": 1, "number": "4"}'])
def test_a_damaged_session_number_is_not_begun_anew(state: StateFolder, content: str) -> None:
    (state.root / "session.json").write_text(content)
    with pytest.raises(StateFolderDamaged, match=r"session\.json"):
        state.next_session_number()


def test_a_damaged_identity_is_not_drawn_anew(tmp_path: Path) -> None:
    (tmp_path / "runner.json").write_text("{}")
    with pytest.raises(StateFolderDamaged, match=r"runner\.json"):
        StateFolder.open(tmp_path)
    (tmp_path / "runner.json").unlink()
    StateFolder.open(tmp_path).close()  # the lock was given back


def make_folder(state: StateFolder, lease_id: str) -> Path:
    """An attempt's, with what it takes to be one that was executed."""
    folder = state.attempts / lease_id
    folder.mkdir()
    (folder / "assignment.json").write_text(json.dumps({"lease_id": lease_id}))
    return folder


def test_a_folder_without_an_assignment_was_never_executed(state: StateFolder) -> None:
    make_folder(state, "whole")
    (state.attempts / "half").mkdir()
    (state.attempts / "half" / "assignment.json.tmp").write_text("{")
    assert [folder.name for folder in state.attempt_folders()] == ["whole"]
    assert not (state.attempts / "half").exists()


@pytest.mark.parametrize("left", ["spool/00000000000000000002.seg", "process.json"])
def test_a_folder_that_lost_its_assignment_after_it_was_executed_is_not_deleted(state: StateFolder, left: str) -> None:
    """About a hundred recorded events were once destroyed without a word."""
    path = state.attempts / "executed" / left
    path.parent.mkdir(parents=True)
    path.write_bytes(b"events")
    assert state.attempt_folders() == [state.attempts / "executed"]
    assert path.exists()


def test_a_folder_with_an_empty_spool_was_never_executed(state: StateFolder) -> None:
    (state.attempts / "half" / "spool").mkdir(parents=True)
    (state.attempts / "half" / "spool" / "reserve").write_bytes(b"")
    assert state.attempt_folders() == []
    assert not (state.attempts / "half").exists()


def test_what_was_being_deleted_is_gone_after_a_restart(state: StateFolder) -> None:
    (state.root / "trash" / "x").mkdir()
    state.close()
    again = StateFolder.open(state.root)
    assert list((state.root / "trash").iterdir()) == []
    state._lock = again._lock  # closed by the fixture


def test_deleting_leaves_nothing(state: StateFolder) -> None:
    folder = make_folder(state, "a")
    state.delete(folder)
    state.delete(folder)  # harmless to repeat
    assert not folder.exists()
    assert list((state.root / "trash").iterdir()) == []


def test_quarantine_keeps_everything_with_a_note_until_it_was_reported(state: StateFolder) -> None:
    folder = make_folder(state, "lease")
    aside = state.quarantine(folder, "lease", "why it is here")
    assert not folder.exists()
    assert (aside / "NOTE.txt").read_text() == "why it is here"
    assert (aside / "assignment.json").exists()

    [unreported] = state.unreported_quarantines()
    assert (unreported.lease_id, unreported.folder) == ("lease", aside)
    state.quarantine_reported(aside)
    assert state.unreported_quarantines() == []


def test_quarantine_overwrites_nothing(state: StateFolder) -> None:
    for note in ("first", "second"):
        make_folder(state, "lease")
        state.quarantine(state.attempts / "lease", "lease", note)
    notes = {path.read_text() for path in (state.root / "quarantine").glob("*/NOTE.txt")}
    assert notes == {"first", "second"}
