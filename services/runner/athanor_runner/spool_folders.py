"""The spools of a state folder, found without a runner: attempts that are not finished with, and the quarantine."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from athanor.experiment import wire
from athanor.experiment.assignment import Assignment
from athanor.experiment.control import FILE_NAME as CONTROL
from athanor.experiment.control import ControlPage
from athanor.experiment.intent import Intent
from athanor.experiment.spool import SpoolError, segment

from athanor_runner.attempt_folder import SPOOL

ATTEMPTS, QUARANTINE, ELSEWHERE = "attempts", "quarantine", "-"


class NoSuchSpool(Exception):
    """Nothing, or more than one thing, is called so."""


@dataclass(frozen=True)
class SpoolFolder:
    """A folder with a spool: an attempt's, or a spool that was set aside."""

    folder: Path
    where: str  # `attempts`, `quarantine`, or `-` for one that was given by its path
    assignment: Assignment | None
    note: str  # why it is in quarantine, or what of it cannot be read

    @property
    def segments(self) -> Path:
        """The folder that the segments are in."""
        return self.folder / SPOOL if (self.folder / SPOOL).is_dir() else self.folder

    @property
    def lease_id(self) -> str:
        """From the assignment; else the folder's name, which is made from it."""
        return self.assignment.lease_id if self.assignment is not None else self.folder.name

    @property
    def bytes(self) -> int:
        """What the segments take."""
        total = 0
        for path in self.segments.glob(f"*{segment.SUFFIX}"):
            with contextlib.suppress(FileNotFoundError):  # acknowledged meanwhile
                total += path.stat().st_size
        return total

    def recorded_sequence(self) -> int:
        """Of the last event that the process is known to have recorded, whatever became of it; 0 when none is known."""
        recorded = 0
        with contextlib.suppress(OSError, ValueError):
            said = Intent.read(self.folder)
            recorded = said.last_sequence if said is not None else 0
        with contextlib.suppress(OSError, ValueError), contextlib.closing(ControlPage(self.folder / CONTROL)) as page:
            recorded = max(recorded, page.recorded_sequence)
        return recorded


@dataclass(frozen=True)
class Glance:
    """What a spool holds, by the heads of its segments and the events of the newest. Sequences are 0 without events."""

    first_sequence: int = 0
    last_sequence: int = 0
    ended: bool = False
    fault: str = ""


def glance(folder: Path) -> Glance:
    """Looks at a spool without reading more of it than one segment."""
    try:
        heads = segment.read_chain(folder).heads
        if not heads:
            return Glance()
        newest = heads[-1]
        data = segment.path_of(folder, newest.last_sequence + 1).read_bytes()
    except (OSError, SpoolError) as error:
        return Glance(fault=str(error))
    events = segment.unpack_records(data, newest.last_sequence, segment.HEAD_BYTES).events
    first, last = heads[0].last_sequence + 1, newest.last_sequence + len(events)
    if not events:
        return Glance(first, last) if last >= first else Glance()
    return Glance(first, last, wire.read_sequence_kind(events[-1])[1] == wire.ATTEMPT_ENDED)


def find_all(state: Path) -> list[SpoolFolder]:
    """All spools of a state folder. Raises NoSuchSpool when it is none."""
    if not (state / ATTEMPTS).is_dir():
        raise NoSuchSpool(f"{state} is no state folder of a runner")
    return [
        _at(folder, where)
        for where in (ATTEMPTS, QUARANTINE)
        if (state / where).is_dir()
        for folder in sorted((state / where).iterdir())
        if folder.is_dir()
    ]


def find(state: Path, name: str) -> SpoolFolder:
    """The spool of a lease, or of a folder. Raises NoSuchSpool."""
    path = Path(name)
    if path.is_dir():
        found = _at(path, ELSEWHERE)
        if not segment.first_sequences(found.segments):
            raise NoSuchSpool(f"there is no spool in {path}")
        return found
    named = [spool for spool in find_all(state) if name in (spool.lease_id, spool.folder.name)]
    if len(named) > 1:
        folders = ", ".join(str(spool.folder) for spool in named)
        raise NoSuchSpool(f"there are {len(named)} spools of lease {name}; give one of the folders: {folders}")
    if not named:
        raise NoSuchSpool(f"there is no spool of lease {name} in {state}, and no folder of that name")
    return named[0]


def _at(folder: Path, where: str) -> SpoolFolder:
    assignment, fault = None, ""
    try:
        assignment = Assignment.read(folder)
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        fault = str(error)
    return SpoolFolder(folder, where, assignment, fault or _reason(folder))


def _reason(folder: Path) -> str:
    with contextlib.suppress(OSError):
        for line in (folder / "NOTE.txt").read_text("utf-8", "replace").splitlines():
            if line.startswith("reason "):
                return line.removeprefix("reason ").strip()
    return ""
