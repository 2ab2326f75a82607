"""How many log lines and results a run has, by what a watch of it has given."""

from athanor.client.events import AttemptStarted, Event, LogEntry, Result
from athanor.client.resources import RunRecord


class Tally:
    """Counts up to the newest event that is known of.

    The run tells them as of an event, and is given again only when more than its log has changed; what the log has
    behind that event is counted. Where that cannot be done they are not known until the run is given again: a filter
    leaves events out, and a new attempt that resumes supersedes results that were perhaps never seen.
    """

    def __init__(self) -> None:
        self._reached = -1  # sequence of the event that they are as of
        self._logs = self._results = 0
        self._known = False

    @property
    def counts(self) -> tuple[int, int] | None:
        """Of log lines, and of results that stand; None: not known."""
        return (self._logs, self._results) if self._known else None

    def run(self, run: RunRecord) -> None:
        """Take the run as it was given: newer or, where it was read before the last events were, older."""
        if run.last_sequence >= self._reached:
            self._reached, self._known = run.last_sequence, True
            self._logs, self._results = run.log_count, run.result_count

    def event(self, event: Event) -> None:
        """Take an event of its log."""
        if event.sequence <= self._reached:
            return
        self._known = self._known and event.sequence == self._reached + 1
        self._reached = event.sequence
        match event:
            case LogEntry():
                self._logs += 1
            case Result():
                self._results += 1
            case AttemptStarted(restored_sequence=0):
                self._results = 0
            case AttemptStarted():
                self._known = self._known and self._results == 0
            case _:
                pass
