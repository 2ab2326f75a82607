"""What the log says of entries that are not in it, because the spool was full when they came."""

from athanor.experiment import wire

SOURCE = "athanor"


def entry(count: int) -> bytes:
    """Write the body of the log entry that stands for `count` that were dropped."""
    what = "1 log entry was" if count == 1 else f"{count} log entries were"
    return wire.log_entry(wire.LEVELS["warn"], f"{what} dropped because the spool was full", source=SOURCE)
