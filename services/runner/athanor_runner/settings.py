"""What a runner is told: flags first, then the environment, then defaults."""

import os
import re
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path

from athanor.experiment.assignment import WhenFull

MEBIBYTE = 1024 * 1024

_UNITS = ["", "K", "M", "G", "T"]
_SIZE = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<unit>[KMGT]?)(i?B)?", re.IGNORECASE | re.ASCII)


class Launch(StrEnum):
    """How the processes of runs come to be."""

    FORK = "fork"  # from a template process, which has imported what every run needs; where there is none, as below
    EXEC = "exec"  # each from an interpreter of its own


@dataclass(frozen=True)
class Timings:
    """Durations in seconds and sizes in bytes that an operator need not know.

    Each can be set by an environment variable, `ATHANOR_RUNNER_` and the name in capitals: the tests shorten them so.
    """

    kill_delay: float = 5.0  # from SIGTERM to SIGKILL
    tick: float = 1.0  # a quiet attempt looks at its deadlines at least this often
    stop_poll: float = 0.05  # while processes are being ended their tree is read this often
    tree_poll: float = 2.0  # how often descendants are noted, so that one which loses its parent is still known
    spool_poll: float = 0.5  # beside the doorbell: how often every spool is looked at
    sync_interval: float = 0.1  # how often new data is looked for and flushed; with the flush itself under 200 ms
    answer: float = 0.2  # small deliveries wait for the answer to the one before, but not for longer than this
    progress_interval: float = 0.1  # progress slots are read at most this often
    open_answer: float = 5.0  # how long Report waits to be told where to go on before it repeats what is unacknowledged
    welcome: float = 20.0  # how long Connect waits for Welcome
    reconnect_first: float = 0.1  # pause before the second try; doubles from there
    reconnect_most: float = 5.0  # longest pause between two tries
    watch: float = 0.5  # how often the files behind the experiments are looked at
    describe: float = 300.0  # longest that a description of the experiments may take
    ship: float = 10.0  # after its runs have ended a stopping runner ships for at most this long
    prune: float = 0.25  # acknowledged segments are looked for this often
    segment_bytes: int = 64 * MEBIBYTE
    spool_limit_bytes: int = 1024 * MEBIBYTE


@dataclass(frozen=True)
class Settings:
    """Everything that is configured about one runner."""

    targets: tuple[str, ...] = (
        "127.0.0.1:7400",
    )  # orchestrators on one database, in the order in which they are tried
    state_folder: Path = Path("runner")
    paths: tuple[Path, ...] = ()  # folders with experiments, beside those that are installed
    python: str = sys.executable  # the interpreter that executes experiments
    launch: Launch = Launch.FORK
    slots: int = 1  # runs executed at once
    display_name: str = ""
    stop_grace: float = 10.0  # seconds that runs may go on after SIGTERM to the runner
    when_spool_full: WhenFull = WhenFull.WAIT
    timings: Timings = field(default_factory=Timings)


def targets_from(text: str) -> tuple[str, ...]:
    """Reads addresses, separated by commas; one that is there twice counts once.

    Raises ValueError, naming it, for one that is not HOST:PORT.
    """
    targets = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for target in targets:
        host, _, port = target.rpartition(":")
        if not host or not port.isdigit():
            raise ValueError(f"must be HOST:PORT, not {target!r}")
    return targets


def default_state_folder(environ: Mapping[str, str]) -> Path:
    """The folder `runner` in the user's data folder, as the XDG rules have it."""
    base = environ.get("XDG_DATA_HOME")
    data = Path(base) if base else Path.home() / ".local" / "share"
    return data / "athanor" / "runner"


def default_slots() -> int:
    """The number of processors that this process may use."""
    return max(1, len(os.sched_getaffinity(0)))


def default_name() -> str:
    """The host's name."""
    return socket.gethostname()


def size_from(text: str) -> int:
    """Reads a size for people: bytes, or a number with one of KiB, MiB, GiB, TiB (K, M, G, T mean the same).

    Raises ValueError for anything else, and for less than one byte.
    """
    said = _SIZE.fullmatch(text.strip())
    size = int(float(said["number"]) * 1024 ** _UNITS.index((said["unit"] or "").upper())) if said is not None else 0
    if size < 1:
        raise ValueError(f"{text!r} is no size such as 500MiB or 2GiB")
    return size


def timings_from(environ: Mapping[str, str]) -> Timings:
    """Reads `ATHANOR_RUNNER_*`.

    Raises ValueError, naming the variable, for one that is not a positive number.
    """
    given: dict[str, float | int] = {}
    for entry in fields(Timings):
        variable = f"ATHANOR_RUNNER_{entry.name.upper()}"
        text = environ.get(variable, "")
        if not text:
            continue
        try:
            value = int(text) if entry.type is int or entry.type == "int" else float(text)
        except ValueError:
            raise ValueError(f"{variable} must be a number, not {text!r}") from None
        if not 0 < value < float("inf"):
            raise ValueError(f"{variable} must be a positive number, not {text!r}")
        given[entry.name] = value
    return Timings(**given)  # type: ignore[arg-type]  # each value was made by its field's own type
