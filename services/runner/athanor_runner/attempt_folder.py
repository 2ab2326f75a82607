"""What stands in an attempt's folder beside its spool, read and written by the runner. Everything here blocks.

assignment.json   what the run's process is told, flushed before it is started
control           the page that both sides share
cancel.json       that cancellation was requested, and why
process.json      which process was started
stdout, stderr    what was written to its descriptors 1 and 2
spool/            its events
intent.json       how the experiment ended, in its own words
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from athanor.experiment import control, files, intent, spool
from athanor.experiment.assignment import FILE_NAME, Assignment
from athanor.experiment.control import ControlPage
from athanor.experiment.files import NewerFormatError, read_document
from athanor.experiment.intent import Intent
from athanor.experiment.spool import segment
from athanor.experiment.spool.room import NO_ROOM

from athanor_runner.ports import ProcessId
from athanor_runner.state import FORMAT, note_json, write_json

CANCEL = "cancel.json"
PROCESS = "process.json"
INTENT = intent.FILE_NAME
SPOOL = "spool"


def read_found(folder: Path) -> Assignment:
    """The assignment of a folder that was found, when everything in it may be worked on by this version.

    What is damaged is for later, and each has its way to be dealt with. Raises OSError or ValueError for the
    assignment, NewerFormatError for any file of a later version. Blocks.
    """
    assignment = Assignment.read(folder)
    for read in (_read_page, Intent.read, _read_cancel, _read_process):
        try:
            read(folder)
        except NewerFormatError:
            raise
        except (OSError, ValueError):
            continue
    for first in segment.first_sequences(folder / SPOOL):
        segment.read_head(folder / SPOOL, first)
    return assignment


def _read_page(folder: Path) -> None:
    ControlPage(folder / control.FILE_NAME).close()


def _read_cancel(folder: Path) -> dict[str, Any]:
    return read_document((folder / CANCEL).read_bytes(), str(folder / CANCEL), FORMAT)


def _read_process(folder: Path) -> dict[str, Any]:
    return read_document((folder / PROCESS).read_bytes(), str(folder / PROCESS), FORMAT)


def control_page(folder: Path) -> ControlPage | None:
    """The page that its process shared, or None."""
    try:
        return ControlPage(folder / control.FILE_NAME)
    except (OSError, ValueError):
        return None  # it holds latest values only: an attempt without processes can do without


def make(folder: Path, assignment: Assignment) -> ControlPage:
    """Makes the folder of a new attempt; answers the page in it.

    When it returns all of it is on the disk, with room for the attempt's end: so a lease of which a power cut leaves no
    folder was never executed, and what the process flushes into its spool has a name. Raises OSError.
    """
    folder.mkdir()
    (folder / SPOOL).mkdir()
    try:
        spool.keep_reserve(folder / SPOOL)
    except OSError as error:
        if error.errno in NO_ROOM:  # else the file system cannot set room aside, and the end has to do without
            raise
    page = ControlPage.create(folder / control.FILE_NAME, intent.boot_id())
    try:
        # Last, so that its folder has to be flushed only once; and what lacks it was never executed.
        files.write_durably(folder / FILE_NAME, assignment.to_json().encode())
        files.flush_folder(folder.parent)
    except BaseException:
        page.close()
        raise
    return page


@dataclass(frozen=True)
class Noted:
    """What the process noted beside its spool, in this boot of the machine."""

    recorded_sequence: int  # of the last event that it recorded; 0 when it recorded none
    dropped_entries: int  # that the log does not tell of yet


def noted_in_this_boot(folder: Path) -> Noted | None:
    """What the process noted in its page; None when it cannot be had, or the machine was started anew since."""
    page = control_page(folder)
    if page is None:
        return None
    try:
        if page.boot_id != intent.boot_id():
            return None
        return Noted(page.recorded_sequence, page.dropped_entries)
    finally:
        page.close()


def dropped_told(folder: Path) -> None:
    """The log tells now of all entries that were dropped."""
    page = control_page(folder)
    if page is not None:
        page.dropped_entries = 0
        page.close()


def intent_of_this_boot(folder: Path) -> Intent | None:
    """What the experiment said about its end; None when it said nothing, or before the machine was started anew."""
    try:
        said = Intent.read(folder)
    except (OSError, ValueError):
        return None
    return said if said is not None and said.boot_id == intent.boot_id() else None


def write_process(folder: Path, process: ProcessId) -> None:
    """Remembers which process was started: for a runner that is started anew, since no process outlives a power cut."""
    content = {"pid": process.pid, "start_ticks": process.start_ticks, "boot_id": intent.boot_id()}
    note_json(folder / PROCESS, content)


def write_cancel(folder: Path, reason: str) -> None:
    """Remembers that cancellation was requested. Comes before the flag in the page."""
    write_json(folder / CANCEL, {"reason": reason})


def first_process(folder: Path) -> ProcessId | None:
    """Which process was started, if it can be alive in this boot of the machine."""
    try:
        document = _read_process(folder)
        if document["boot_id"] != intent.boot_id():
            return None
        return ProcessId(int(document["pid"]), int(document["start_ticks"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def note(assignment: Assignment, reason: str) -> str:
    """What is put beside an attempt that was set aside, for people."""
    return _NOTE.format(assignment=assignment, reason=reason)


def note_unreadable(lease_id: str, assignment: Assignment | None, reason: str) -> str:
    """What is put beside an attempt that the runner could not go on with; its assignment may be None."""
    run, attempt = ("not known", "not known") if assignment is None else (assignment.run_id, assignment.attempt)
    return _NOTE_UNREADABLE.format(run=run, attempt=attempt, lease_id=lease_id, reason=" ".join(reason.split()))


_NOTE = """\
This is what a runner of Athanor had of an attempt that it was not allowed to go on with. None of it enters the run.

run        {assignment.run_id}
attempt    {assignment.attempt}
experiment {assignment.experiment}
instance   {assignment.instance_id} ({assignment.instance_name})
lease      {assignment.lease_id}
reason     {reason}

The events are in the *.seg files: `athanor-runner spool export FOLDER` prints them. What the process wrote to its
standard output and error is in `stdout` and `stderr`. The runner never reads this folder again: it may be deleted.
"""

_NOTE_UNREADABLE = """\
This is what a runner of Athanor had of an attempt that it could not go on with. What was not shipped of it does not
enter the run.

run        {run}
attempt    {attempt}
lease      {lease_id}
reason     {reason}

The events are in the *.seg files: `athanor-runner spool export FOLDER` prints them; those of a later format, in that
later version. What the process wrote to its standard output and error is in `stdout` and `stderr`. The runner never
reads this folder again: it may be deleted.
"""
