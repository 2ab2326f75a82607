"""What the runner tells a run's process: `assignment.json` in the attempt's folder, and a few environment variables."""

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

from athanor.experiment import files

FILE_NAME = "assignment.json"
FORMAT = 1

# In the environment of a run's process, set by the runner. All but the first count for that process alone, which takes
# them out.
LEASE_VARIABLE = "ATHANOR_LEASE_ID"  # marks the process, and with it all that descend from it
DOORBELL_VARIABLE = "ATHANOR_DOORBELL_FD"  # a descriptor to write a byte to when the runner waits for news
RUNNER_VARIABLE = "ATHANOR_RUNNER_PID"  # who must live on
TEMPLATE_VARIABLE = "ATHANOR_TEMPLATE"  # it is no run's process, but one that forks them; see `template`

# A segment of the spool is closed once it is this large, in bytes.
SEGMENT_BYTES = 64 << 20
# The spool is full while more than this is not acknowledged, in bytes.
SPOOL_LIMIT_BYTES = 1 << 30


class WhenFull(StrEnum):
    """What becomes of a log entry for which the spool has no room. Everything else waits."""

    WAIT = "wait"  # the call returns when there is room
    DROP = "drop"  # the entry is left out, and the log says how many were


@dataclass(frozen=True, slots=True)
class Code:
    """Exactly which code the experiment is made of, as it was described."""

    digest: str = ""  # SHA-256 in hex over the source files of the experiment's own package
    module: str = ""  # import path, `package.module:attribute`
    distribution: str = ""  # `name==version` when installed; empty when loaded from a folder
    git_commit: str = ""  # empty outside a repository
    git_dirty: bool = False  # the working tree differed from the commit


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A state that an earlier attempt saved."""

    sequence: int  # of the event that recorded it
    state_json: str


@dataclass(frozen=True, slots=True)
class Assignment:
    """One attempt at a run, as its process needs to know it."""

    lease_id: str
    run_id: str
    instance_id: str
    instance_name: str
    attempt: int  # from 1
    experiment: str
    module: str  # `package.module:attribute`
    configuration_json: str
    seed: int
    next_sequence: int  # of the attempt's first event
    search_path: tuple[str, ...] = ()  # folders that come first in sys.path
    runner_id: str = ""
    code: Code = field(default_factory=Code)
    schema_digest: str = ""  # of the schema that the configuration was checked against; empty: it is not known
    timeout_s: float | None = None  # None: no limit
    max_attempts: int = 1
    checkpoint: Checkpoint | None = None
    segment_bytes: int = SEGMENT_BYTES
    spool_limit_bytes: int = SPOOL_LIMIT_BYTES
    when_spool_full: WhenFull = WhenFull.WAIT

    def to_json(self) -> str:
        """Write it as the text of `assignment.json`."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Assignment":
        """Read the text of `assignment.json`. Raises ValueError when it is not one of this format.

        NewerFormatError is one, for a later version's.
        """
        values = files.read_document(text, FILE_NAME, FORMAT)
        try:
            checkpoint = values.get("checkpoint")
            values["checkpoint"] = None if checkpoint is None else Checkpoint(**checkpoint)
            values["code"] = Code(**values.get("code", {}))
            values["when_spool_full"] = WhenFull(values.get("when_spool_full", WhenFull.WAIT))
            values["search_path"] = tuple(values.get("search_path", ()))
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"not an assignment of format {FORMAT}: {error}") from error

    @classmethod
    def read(cls, folder: Path) -> "Assignment":
        """Read the assignment of an attempt's folder."""
        return cls.from_json((folder / FILE_NAME).read_bytes())
