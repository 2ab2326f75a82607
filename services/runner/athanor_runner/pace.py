"""When the next delivery goes. No timer delays anything: what is small is gathered while an answer is awaited."""

LARGE_DELIVERY = 256 * 1024  # bytes of events that are worth a message of their own
LOOK_AGAIN = 0.002  # seconds of waiting, at least, after which it is looked again how much has come


class Pace:
    """Of one stream. It begins with nothing to be answered."""

    def __init__(self, longest: float) -> None:
        """`longest` is for how many seconds an answer is awaited: one that never comes holds up nothing."""
        self._longest = longest
        self._unanswered_since: float | None = None

    def sent(self, now: float) -> None:
        """Events are under way."""
        self._unanswered_since = now

    def answered(self) -> None:
        """The orchestrator has said something of what is under way, if not of all: it is ready for more."""
        self._unanswered_since = None

    def pause(self, now: float, unread_bytes: int) -> float:
        """For how many seconds to wait for an answer before asking again; 0 when a delivery of so much may go."""
        if self._unanswered_since is None or unread_bytes >= LARGE_DELIVERY:
            return 0
        waited = now - self._unanswered_since
        # As long again: little is missed by it, and hardly anything is spent on an orchestrator that is slow.
        return min(max(LOOK_AGAIN, waited), max(0, self._longest - waited))
