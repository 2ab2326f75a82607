"""The runner's state folder: whose it is, who the runner is, how many sessions it had, what it has of attempts."""

import contextlib
import fcntl
import json
import logging
import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from athanor.experiment import files
from athanor.experiment.spool import free_reserve, segment

log = logging.getLogger(__name__)

FORMAT = 1
LEASE_ID_LENGTH = 36
UNREPORTED = (
    "unreported"  # in a quarantined folder: the orchestrator does not know yet that nothing of it is left running
)


class StateFolderInUse(Exception):
    """Another runner owns the state folder."""


class StateFolderDamaged(Exception):
    """A file of the state folder does not hold what it should."""


@dataclass(frozen=True)
class Quarantined:
    """An attempt that was fenced, and whose end the orchestrator has not confirmed to know."""

    lease_id: str
    folder: Path


class StateFolder:
    """One runner's folder, owned from `open` to `close`.

    runner.json             who the runner is, drawn once
    session.json            number of its newest session; beside it the file that the next one is written into
    attempts/<lease>/       attempts that are not finished with
    quarantine/<lease>/     attempts whose lease was over: for the operator, never read again
    trash/                  being deleted
    """

    def __init__(self, root: Path, lock: int, runner_id: str) -> None:
        self.root = root
        self.runner_id = runner_id
        self._lock = lock

    @classmethod
    def open(cls, root: Path) -> "StateFolder":
        """Takes ownership, and makes the folder where there is none.

        Raises StateFolderInUse, StateFolderDamaged, or OSError.
        """
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StateFolderInUse(f"another runner uses the state folder {root}") from None
            for name in ("attempts", "quarantine", "trash"):
                (root / name).mkdir(exist_ok=True)
            state = cls(root, lock, _identity(root / "runner.json"))
            _read(root / "session.json")  # better told now than at every session
            files.flush_folder(root)
            state._empty_trash()
        except BaseException:
            os.close(lock)
            raise
        return state

    def close(self) -> None:
        """Gives the folder up."""
        os.close(self._lock)

    @property
    def attempts(self) -> Path:
        """The folder of attempts that are not finished with."""
        return self.root / "attempts"

    def next_session_number(self) -> int:
        """Counts one session more, flushed to disk before it is returned."""
        path = self.root / "session.json"
        document = _read(path)
        number = document.get("number", 0) if document is not None else 0
        if not isinstance(number, int) or number < 0:
            raise StateFolderDamaged(f"{path} holds no session number; a folder without it would repeat old numbers")
        _replace_in_place(path, _document({"number": number + 1}))
        return number + 1

    def attempt_folders(self) -> list[Path]:
        """Folders of attempts that are not finished with, by the lease's id.

        The assignment is flushed before anything is started. So one without it was never executed, and is deleted,
        unless there is something that only a process can have left: then the assignment was lost.
        """
        folders: list[Path] = []
        for folder in sorted(self.attempts.iterdir()):
            if _was_executed(folder):
                folders.append(folder)
                continue
            try:
                self.delete(folder)
            except OSError as error:
                log.error("%s was never executed, and cannot be deleted: %s", folder, error)
        return folders

    def delete(self, folder: Path) -> None:
        """Deletes an attempt's folder, moved away first so that no half of one is ever found."""
        grave = self.root / "trash" / f"{folder.name}-{uuid.uuid4().hex}"
        with contextlib.suppress(FileNotFoundError):
            folder.rename(grave)
            shutil.rmtree(grave, ignore_errors=True)

    def quarantine(self, folder: Path, name: str, note: str, part: bool = False) -> Path:
        """Moves an attempt's folder, or a part of one, to where nothing reads it again, with a note for people."""
        aside = self.root / "quarantine" / name
        if aside.exists():
            aside = aside.with_name(f"{name}-{uuid.uuid4().hex[:8]}")
        for spool in (folder, folder / "spool"):
            with contextlib.suppress(OSError):
                free_reserve(spool)  # nothing more is recorded; on a full disk it is room for what is written here
        try:
            if not part:
                files.write_durably(folder / UNREPORTED, b"")
            files.write_durably(folder / "NOTE.txt", note.encode())
        except OSError as error:
            log.error("%s goes to quarantine without a note: %s", folder, error)
        folder.rename(aside)
        files.flush_folder(aside.parent)
        files.flush_folder(folder.parent)
        return aside

    def unreported_quarantines(self) -> list[Quarantined]:
        """Fenced attempts of which the orchestrator does not know yet that nothing of them is left running."""
        found: list[Quarantined] = []
        for folder in sorted((self.root / "quarantine").iterdir()):
            try:
                if (folder / UNREPORTED).exists():
                    found.append(Quarantined(_lease_of(folder), folder))
            except OSError as error:
                log.error("%s is left alone, it cannot be looked at: %s", folder, error)
        return found

    def quarantine_reported(self, folder: Path) -> None:
        """The orchestrator knows it now. If that cannot be written down it is told again after the next start."""
        try:
            (folder / UNREPORTED).unlink(missing_ok=True)
        except OSError as error:
            log.error("%s stays marked as not reported: %s", folder, error)

    def _empty_trash(self) -> None:
        for grave in (self.root / "trash").iterdir():
            shutil.rmtree(grave, ignore_errors=True)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes a JSON file of this format so that after any crash either the old or the new one is there whole."""
    files.write_durably(path, _document(content))


def note_json(path: Path, content: dict[str, Any]) -> None:
    """Writes a JSON file of this format that is of use in this boot of the machine only: whole, but not flushed."""
    files.write_whole(path, _document(content))


def _document(content: dict[str, Any]) -> bytes:
    return json.dumps({"format": FORMAT, **content}, indent=1).encode()


def _replace_in_place(path: Path, data: bytes) -> None:
    """Like `files.write_durably`, and on a full disk, too, once it was done before: the old file is kept as a spare.

    A session has to be possible then, because it is what empties the disk.
    """
    spare, old = path.with_name(path.name + ".spare"), path.with_name(path.name + ".old")
    if old.exists():  # a crash came in between
        if path.samefile(old):
            old.unlink()  # before the new one was in place
        else:
            old.rename(spare)
    descriptor = os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.pwrite(descriptor, data, 0)
        os.ftruncate(descriptor, len(data))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if path.exists():
        os.link(path, old)
        spare.rename(path)
        old.rename(spare)
    else:
        spare.rename(path)
        files.write_durably(spare, data)
    files.flush_folder(path.parent)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return files.read_document(path.read_bytes(), str(path), FORMAT)
    except FileNotFoundError:
        return None
    except json.JSONDecodeError:
        raise StateFolderDamaged(f"{path} is not JSON") from None
    except ValueError as error:
        raise StateFolderDamaged(str(error)) from None


def _identity(path: Path) -> str:
    document = _read(path)
    if document is None:
        runner_id = str(uuid.uuid4())
        write_json(path, {"runner_id": runner_id})
        return runner_id
    runner_id = document.get("runner_id")
    if not isinstance(runner_id, str) or not runner_id:
        raise StateFolderDamaged(f"{path} names no runner")
    return runner_id


def is_lease_id(text: str) -> bool:
    """Can a folder be named after it?"""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _was_executed(folder: Path) -> bool:
    """Was there anything to execute, as far as can be seen? One that cannot be looked at may have been executed."""
    try:
        names = set(os.listdir(folder))
        return bool({"assignment.json", "process.json"} & names) or (
            "spool" in names and bool(segment.first_sequences(folder / "spool"))
        )
    except NotADirectoryError:
        return False
    except OSError:
        return True


def _lease_of(folder: Path) -> str:
    """Of a quarantined folder, which is named after it; what is in there may be damaged."""
    name = folder.name[:LEASE_ID_LENGTH]
    return name if is_lease_id(name) else folder.name
