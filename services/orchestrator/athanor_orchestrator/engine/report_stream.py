"""One Report stream as the engine sees it: what is not listened to on it, and what is to be answered."""

from athanor_orchestrator.domain.errors import AthanorError
from athanor_orchestrator.engine.messages import Acknowledgement
from athanor_orchestrator.engine.outbox import ReportOutbox
from athanor_orchestrator.engine.sessions import Session

_DROP_ALL = -1


class ReportStream:
    """A Report stream, bound to its session: when the session is ended from this side, so is the stream."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.outbox = ReportOutbox()
        self.closed = False
        self.error: AthanorError | None = None  # why this side ended it
        self._rewinding: dict[str, int] = {}  # by lease, the number at or below which a batch is listened to again
        self._forget = session.on_end(self._end)

    def rewind(self, acknowledgement: Acknowledgement) -> None:
        """Ask for a run's events from behind what is committed, and drop what does not begin there or before."""
        self._rewinding[acknowledgement.lease_id] = acknowledgement.committed_sequence + 1
        self.outbox.acknowledge(acknowledgement)

    def drop_all(self, lease_id: str) -> None:
        """Drop what comes of a run until it has been asked for again."""
        self._rewinding[lease_id] = _DROP_ALL

    def drops(self, lease_id: str, first_sequence: int) -> bool:
        """Tell whether a batch is to be dropped without a word; one that is not ends the dropping."""
        start = self._rewinding.get(lease_id)
        if start is None:
            return False
        if start == _DROP_ALL or first_sequence > start:
            return True

        del self._rewinding[lease_id]
        return False

    def forget_lease(self, lease_id: str) -> None:
        """Drop what is remembered of a lease that is over."""
        self._rewinding.pop(lease_id, None)
        self.session.forget_lease(lease_id)

    def close(self) -> None:
        """Note that the stream has ended; what it delivered is stored all the same."""
        self._forget()
        self._end(None)

    def _end(self, error: AthanorError | None) -> None:
        self.closed = True
        self.error = self.error or error
        self.outbox.close()
