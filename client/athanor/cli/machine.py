"""What `athanor doctor` looks at on this machine."""

import os
import shutil
import sys
from pathlib import Path

from athanor.cli.diagnosis import Finding, Mark

# What each extra of the distribution brings; of one that is not here an error names the extra when it is needed.
EXTRAS = {
    "pandas": "pandas",
    "polars": "polars",
    "parquet": "pyarrow",
    "plot": "matplotlib",
    "notebook": "IPython",
}
_FOLDER = "default data folder"
_LITTLE = 1 << 30  # bytes: one run alone may hold as much on the disk
_TOO_LITTLE = 64 << 20  # bytes


def software() -> list[Finding]:
    """The interpreter, the distribution, its extras."""
    from importlib.metadata import version
    from importlib.util import find_spec

    here = [extra for extra, library in EXTRAS.items() if find_spec(library)]
    missing = [extra for extra in EXTRAS if extra not in here]
    text = f"athanor {version('athanor')} on Python {'.'.join(map(str, sys.version_info[:3]))} ({sys.executable})"
    extras = f"here: {', '.join(here) or 'none'}" + (f"; not installed: {', '.join(missing)}" if missing else "")
    return [Finding(Mark.OK, "software", text), Finding(Mark.OK, "extras", extras)]


def data_folder(folder: Path, free: int | None = None) -> Finding:
    """The folder in which `athanor up` keeps everything unless told otherwise, and the room beside it.

    Which one an orchestrator uses that is there already it does not say. `free` is asked for unless given.
    """
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return Finding(Mark.FAIL, _FOLDER, f"{there} is no folder that can be written to", "athanor up --data FOLDER")
    room = shutil.disk_usage(there).free if free is None else free
    text = f"{folder}{'' if there == folder else ' (not made yet)'}, {_size(room)} free"
    if room < _TOO_LITTLE:
        return Finding(Mark.FAIL, _FOLDER, f"{text}: make room, runs wait while they cannot record")
    if room < _LITTLE:
        return Finding(Mark.WARN, _FOLDER, f"{text}: one run alone may need 1 GiB while it cannot deliver")
    return Finding(Mark.OK, _FOLDER, f"{text}; `athanor up --data` takes another")


def _size(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB" if size >= 1 << 30 else f"{size / (1 << 20):.0f} MiB"
