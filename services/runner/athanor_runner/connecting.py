"""Holding a session with the orchestrator, for as long as the runner lives: one after the other, whatever ends them."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from athanor_runner.backoff import Backoff
from athanor_runner.catalogue import Catalogue
from athanor_runner.ports import Clock, Dial, Disk, StreamEnded
from athanor_runner.report import Reporter
from athanor_runner.roster import Roster
from athanor_runner.session import Identity, Reconnect, Refused, Session
from athanor_runner.settings import Timings
from athanor_runner.shipping import Feeds
from athanor_runner.state import StateFolder, StateFolderDamaged

log = logging.getLogger(__name__)


class Connector:
    """Makes sessions, one at a time, with one orchestrator after the other when there are several.

    Says once that there is no session, and once that there is one again.
    """

    def __init__(
        self,
        targets: Sequence[str],
        dial: Dial,
        identity: Identity,
        state: StateFolder,
        roster: Roster,
        catalogue: Catalogue,
        feeds: Feeds,
        clock: Clock,
        disk: Disk,
        timings: Timings,
        say: Callable[[str], None],
    ) -> None:
        """`say` is given the line for each session that was welcomed."""
        self._targets = targets
        self._target = targets[0]  # the one that is tried, or was last
        self._dial = dial
        self._identity = identity
        self._state = state
        self._roster = roster
        self._catalogue = catalogue
        self._feeds = feeds
        self._clock = clock
        self._disk = disk
        self._timings = timings
        self._say = say

        self._session: Session | None = None
        self._leaving = False
        self._without_since: float | None = None  # seconds of the boot clock
        self._welcomed_at: float | None = None

    def beat(self) -> None:
        """Has a heartbeat sent at once, because something in it has changed."""
        if self._session is not None:
            self._session.beat()

    def leave(self, reason: str) -> None:
        """Says goodbye if there is somebody to say it to; `run` returns once the session has ended."""
        self._leaving = True
        if self._session is not None:
            self._session.leave(reason)

    async def run(self) -> None:
        """Holds sessions until it has left. Raises Refused when the orchestrator never wants this runner."""
        backoff = Backoff(self._timings.reconnect_first, self._timings.reconnect_most)
        step = Backoff(self._timings.reconnect_first, self._timings.reconnect_first)
        tried = 0  # in a row, since a session lasted
        while not self._leaving:
            self._welcomed_at = None
            pause = await self._hold()
            lasted = 0.0 if self._welcomed_at is None else self._clock.boot_time() - self._welcomed_at
            if lasted > self._timings.reconnect_most:
                backoff.reset()
                tried = 0
            if self._leaving:
                return
            tried += 1
            self._target = self._targets[(self._targets.index(self._target) + 1) % len(self._targets)]
            # Another one need not be waited for; once all were tried they are left alone for a while.
            await asyncio.sleep(step.next() if tried % len(self._targets) else pause + backoff.next())

    async def _hold(self) -> float:
        """Holds one session; returns how many seconds the orchestrator asked to be left alone."""
        connection = self._dial(self._target)
        try:
            number = await self._disk.run(self._state.next_session_number)
            reporter = Reporter(self._feeds, self._disk, self._timings, self._roster.fence)
            self._session = Session(connection, self._roster, self._catalogue, reporter, self._clock, self._timings)
            await self._session.run(self._identity, number, self._welcomed)
        except StreamEnded as ended:
            self._without(ended.reason)
        except Reconnect as going:
            self._without(str(going))
            return going.after
        except Refused as refused:
            if refused.retry_after is None:
                await self._end_runs_first(refused)
                raise
            self._without(f"refused: {refused}; to be tried again in {refused.retry_after:g} s")
            return refused.retry_after
        except (OSError, StateFolderDamaged) as error:
            self._without(f"the state folder cannot be written: {error}")
        except Exception:
            # A fault of the runner's own must not end the runs, which need no session.
            log.exception("the session ended by a fault of the runner; it is made anew")
        finally:
            self._session = None
            await connection.close()
        return 0.0

    async def _end_runs_first(self, refused: Refused) -> None:
        if not self._roster.idle:
            log.error("%s refused this runner: %s; it ends when its runs have ended", self._target, refused)
            self._roster.draining = True
            await self._roster.until(lambda: self._roster.idle)

    def _welcomed(self) -> None:
        self._welcomed_at = self._clock.boot_time()
        if self._without_since is not None:
            log.info("connected to %s again after %.1f s", self._target, self._welcomed_at - self._without_since)
        self._without_since = None
        self._say(f"athanor-runner {self._identity.runner_id} connected to {self._target}")

    def _without(self, reason: str) -> None:
        if self._without_since is None and not self._leaving:
            self._without_since = self._clock.boot_time()
            again = "it is tried again" if len(self._targets) == 1 else f"{', '.join(self._targets)} are tried in turn"
            log.warning("no session with %s (%s); runs go on, and %s", self._target, reason, again)
