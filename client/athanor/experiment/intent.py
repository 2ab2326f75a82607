"""How the experiment ended, in its own process's words: `intent.json`, written when its outermost frame has ended.

It is an intent and not the outcome: the runner writes the outcome when no process of the attempt is left, from this,
from what was done to stop it, and from the exit status. It counts only in the boot of the machine in which it was
written, because what was flushed before a power cut says nothing of what came after.
"""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from athanor.experiment import files

FILE_NAME = "intent.json"
FORMAT = 1


class Ended(StrEnum):
    """The ways in which an experiment can end by itself: whatever it did is one of these, or there is no intent."""

    RETURNED = "returned"  # its function returned
    COMPLETED = "completed"  # it called complete()
    FAILED = "failed"  # it called fail()
    RAISED = "raised"  # an exception left its function
    CANCELLED = "cancelled"  # RunCancelled left its function
    LAUNCH = "launch"  # it could not be loaded; nothing was started
    CONFIGURATION = "configuration"  # the configuration does not fit it; nothing was started


@dataclass(frozen=True, slots=True)
class Intent:
    """What the run's process says about its end."""

    ended: Ended
    boot_id: str  # of the machine, when it was written
    message: str = ""  # one line for people; empty when it returned or completed
    detail: str = ""  # the traceback
    out_of_memory: bool = False  # a MemoryError was what was raised
    cancellation_seen: bool = False  # the experiment was told that cancellation was requested, and not only asked for
    last_sequence: int = 0  # of the last event that the process recorded; 0 when it recorded none

    def to_json(self) -> str:
        """Write it as the text of `intent.json`."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Intent":
        """Read the text of `intent.json`. Raises ValueError when it is not one of this format.

        NewerFormatError is one, for a later version's.
        """
        values = files.read_document(text, FILE_NAME, FORMAT)
        values["ended"] = Ended(values.get("ended"))
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"not an intent of format {FORMAT}: {error}") from error

    def write(self, folder: Path) -> None:
        """Put it into an attempt's folder, flushed."""
        files.write_durably(folder / FILE_NAME, self.to_json().encode())

    @classmethod
    def read(cls, folder: Path) -> "Intent | None":
        """Read the intent of an attempt's folder; None when there is none. Raises ValueError when it is damaged."""
        try:
            return cls.from_json((folder / FILE_NAME).read_bytes())
        except FileNotFoundError:
            return None


def boot_id() -> str:
    """Name the current boot of this machine; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
