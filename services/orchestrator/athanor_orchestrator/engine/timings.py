"""How long the moving parts wait, in one record, so that a test can shorten all of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timings:
    """Durations in seconds. The defaults are those of the documentation."""

    heartbeat_interval: float = 5.0  # runners are told to send heartbeats this often
    unreachable_after: float = 15.0  # a runner this silent is flagged, which changes nothing else
    reaper_interval: float = 5.0
    poll: float = 2.0  # beside every wake-up, so that a lost one is harmless
    keep_alive: float = 5.0  # a watcher hears something at least this often
    hidden_position: float = 1.0  # at most one position this often when the filter hides everything
    progress_shown: float = 0.1  # at most one progress to a watcher this often
    # What is sent to a watcher as it happens leaves it alone for this long, for each watcher of the run: sending to all
    # of them then takes no more than half of a processor, and what comes meanwhile goes into one message.
    gathered: float = 0.000_2
    gathered_longest: float = 0.2
    changes_shown: float = 0.1  # what changes is gathered for this long for a watcher of many, once it comes quickly
    changes_kept: float = 600.0  # the journal of changes; a watcher of many that is slower than this begins again
    progress_stored: float = 1.0  # progress is written on the run this often at most
    declined_for: float = 30.0  # a runner that declined a run is passed over for this long
    retry_first: float = 0.2  # answer a run whose transaction failed after this, then twice as long, ...
    retry_longest: float = 10.0
    purge_interval: float = 60.0
    ended_lease_kept: float = 7 * 24 * 3600.0  # a zombie that names an ended lease this late is still fenced
    request_kept: float = 24 * 3600.0
    storage_probe: float = 5.0  # an idle database is asked this often whether it takes what is written
    storage_probe_again: float = 1.0  # and this often while it does not
    storage_slow: float = 5.0  # a commit that takes longer is as good as none: health says NOT_SERVING
    reconnect_after: float = 1.0  # what a Drain at shutdown tells the runners
    drain: float = 2.0  # at shutdown, to write that, and to answer what has been delivered
