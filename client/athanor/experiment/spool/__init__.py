"""The spool: a run's events on the disk of the machine it runs on, before anything else happens to them.

The run's process appends (`SpoolWriter`), its runner reads (`SpoolReader`) and takes over when the process is gone
(`SpoolWriter.resume`). See `segment` for the format.
"""

from athanor.experiment.spool.reader import SpoolReader
from athanor.experiment.spool.room import Claim, SpoolFullError, free_reserve, keep_reserve
from athanor.experiment.spool.segment import NewerSpoolError, Position, SpoolDamagedError, SpoolError
from athanor.experiment.spool.upkeep import SpoolFlusher, SpoolScan, remove_acknowledged, scan
from athanor.experiment.spool.writer import SpoolOptions, SpoolWriter

__all__ = [
    "Claim",
    "NewerSpoolError",
    "Position",
    "SpoolDamagedError",
    "SpoolError",
    "SpoolFlusher",
    "SpoolFullError",
    "SpoolOptions",
    "SpoolReader",
    "SpoolScan",
    "SpoolWriter",
    "free_reserve",
    "keep_reserve",
    "remove_acknowledged",
    "scan",
]
