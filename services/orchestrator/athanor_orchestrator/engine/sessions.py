"""The sessions whose streams end here: who is connected, and what waits to be told to whom.

What counts is in the database; what is held here is how to reach a runner. A session lasts as long as its Connect
stream, or until a newer one of the same runner takes its place.
"""

import logging
from collections.abc import Callable

from athanor_orchestrator.domain.errors import AthanorError, SessionSuperseded
from athanor_orchestrator.domain.ids import new_id
from athanor_orchestrator.engine import hello as hellos
from athanor_orchestrator.engine.messages import (
    Assignment,
    Cancel,
    Drain,
    HeartbeatReply,
    HeldAttempt,
    Hello,
    Keep,
    ToRunner,
    Welcome,
)
from athanor_orchestrator.engine.outbox import Outbox
from athanor_orchestrator.engine.timings import Timings
from athanor_orchestrator.storage.database import Database

logger = logging.getLogger(__name__)

MAX_DELIVERY_BYTES = 3 * 1024 * 1024
MAX_UNACKNOWLEDGED_BYTES = 8 * 1024 * 1024


def _key(message: ToRunner) -> tuple[str, str]:
    # One of each kind, and for those about a lease one for each: what bounds the outbox.
    match message:
        case Assignment(lease_id=lease_id):
            return "assignment", lease_id
        case Cancel(lease_id=lease_id):
            return "cancel", lease_id
        case Welcome():
            return "welcome", ""
        case HeartbeatReply():
            return "reply", ""
        case Drain():
            return "drain", ""


class Session:
    """One runner's session, as long as its streams are here. Used on the event loop only."""

    def __init__(self, session_id: str, hello: Hello) -> None:
        self.id = session_id
        self.runner_id = hello.runner_id
        self.number = hello.session_number
        self.slots = hello.slots
        self.draining = False
        self.seen_us = 0  # what the runner's row says since the session's newest commit: when it was heard from
        self.outbox: Outbox[ToRunner] = Outbox(_key)

        # Leases that it is believed to hold, with their runs: a hint, for progress and to spare queries.
        self.leases: dict[str, str] = {}

        self.cancelled: set[str] = set()  # leases that it was told to stop
        self.kept: dict[str, HeldAttempt] = {}  # by lease, what it was told to keep; judged anew by each heartbeat
        self.ended = False
        self.error: AthanorError | None = None  # why this side ended it
        self._on_end: list[Callable[[AthanorError | None], None]] = []

    def on_end(self, call: Callable[[AthanorError | None], None]) -> Callable[[], None]:
        """Have `call` called with the reason when this side ends the session; returns what takes that back."""
        self._on_end.append(call)
        return lambda: self._on_end.remove(call) if call in self._on_end else None

    def end(self, error: AthanorError | None) -> None:
        """End the session from this side: its streams are closed with `error`, what waits to be told is dropped."""
        if self.ended:
            return

        self.ended = True
        self.error = error
        self.outbox.close()
        for call in list(self._on_end):
            call(error)

    def forget_lease(self, lease_id: str) -> None:
        """Note that it does not hold a lease any more."""
        self.leases.pop(lease_id, None)
        self.cancelled.discard(lease_id)


class Sessions:
    """The live sessions of this orchestrator, one at most for each runner."""

    def __init__(self, database: Database, timings: Timings) -> None:
        self._database = database
        self._timings = timings
        self._by_runner: dict[str, Session] = {}
        self._draining = False

    async def open(self, hello: Hello) -> Session:
        """Register the session that a Hello asks for; its first message, a Welcome, is in its outbox.

        Raises HelloRefused, and StorageUnavailable.
        """
        if self._draining:
            raise hellos.HelloRefused("this orchestrator is going away", self._timings.reconnect_after)
        protocol = hellos.agree(hello)

        session = Session(new_id(), hello)
        registered = await self._database.write(lambda tx: hellos.register(tx, hello, session.id))

        session.leases.update(registered.leases)
        session.seen_us = registered.seen_us
        keep = {verdict.lease_id for verdict in registered.verdicts if isinstance(verdict, Keep)}
        session.kept.update(
            (held.lease_id, held) for held in hello.held_attempts if held.lease_id in keep and not held.unreadable
        )
        session.outbox.put(
            Welcome(
                protocol=protocol,
                session_id=session.id,
                heartbeat_interval=self._timings.heartbeat_interval,
                max_delivery_bytes=MAX_DELIVERY_BYTES,
                max_unacknowledged_bytes=MAX_UNACKNOWLEDGED_BYTES,
                verdicts=registered.verdicts,
            )
        )
        self._seat(session)
        logger.info("runner %s: session %d, %d verdicts", session.runner_id, session.number, len(registered.verdicts))
        return session

    def _seat(self, session: Session) -> None:
        other = self._by_runner.get(session.runner_id)
        if other is not None and other.number > session.number:
            # Both were registered, one after the other, but their answers came here crosswise.
            session.end(SessionSuperseded(session.id))
            return

        self._by_runner[session.runner_id] = session
        if other is not None:
            other.end(SessionSuperseded(other.id))
        if self._draining:
            session.outbox.put(self._drain_message())

    def close(self, session: Session) -> None:
        """Forget a session whose Connect stream has ended. That says nothing of the runner: silence does, later."""
        if self._by_runner.get(session.runner_id) is session:
            del self._by_runner[session.runner_id]

    def find(self, session_id: str) -> Session:
        """Return the live session of this id. Raises SessionSuperseded when there is none."""
        for session in self._by_runner.values():
            if session.id == session_id and not session.ended:
                return session
        raise SessionSuperseded(session_id)

    def live(self) -> list[Session]:
        """Return the live sessions."""
        return [session for session in self._by_runner.values() if not session.ended]

    def held_runs(self) -> frozenset[str]:
        """Return the runs that the live sessions are believed to hold."""
        return frozenset(run_id for session in self.live() for run_id in session.leases.values())

    def drain(self) -> None:
        """Tell every runner to come back later, and take no more sessions: the orchestrator is going away."""
        self._draining = True
        for session in self.live():
            session.outbox.put(self._drain_message())

    @property
    def all_told(self) -> bool:
        """True when nothing waits to be written to any session."""
        return all(len(session.outbox) == 0 for session in self.live())

    @property
    def draining(self) -> bool:
        """True once `drain` was called."""
        return self._draining

    def _drain_message(self) -> Drain:
        return Drain(reconnect=True, reconnect_after=self._timings.reconnect_after)
