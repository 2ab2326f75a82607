"""One attempt at a run, from its assignment to the acknowledgement of its last event."""

import asyncio
import contextlib
import logging
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import TypeVar

from athanor.experiment import assignment as assignments
from athanor.experiment.assignment import Assignment, WhenFull
from athanor.experiment.control import ControlPage
from athanor.experiment.spool import SpoolDamagedError, SpoolError

from athanor_runner import attempt_folder, lease, output
from athanor_runner.complaints import Complaints
from athanor_runner.ending import Evidence, StopCause, how_it_ended
from athanor_runner.output import DiskFull, MustWait, SpoolTail
from athanor_runner.shipping import Feed, Feeds
from athanor_runner.state import StateFolder
from athanor_runner.supervision import ProcessEnd, Requests, Supervision, Tools

log = logging.getLogger(__name__)

T = TypeVar("T")

SPOOL_PATIENCE = 30.0  # seconds that a spool may be in use by a process that nobody knows of
TRY_AGAIN = 0.5  # seconds after which a full spool, or a full disk, is tried again when nothing else happens


class Phase(Enum):
    """How far an attempt is."""

    PREPARING = auto()  # its folder is being written; nobody may count on it before that is flushed
    FOUND = auto()  # left behind by an earlier runner process; waits for the orchestrator's verdict
    RUNNING = auto()  # there may be processes
    ENDING = auto()  # there are none; the end is being recorded
    SHIPPING = auto()  # the end is recorded and not acknowledged
    OVER = auto()  # done with


class NotTaken(Exception):
    """The attempt could not be taken up, and nothing of it exists."""


class LeaseOver(Exception):
    """The orchestrator fenced the attempt, or says that its end is stored."""


@dataclass(frozen=True)
class Limits:
    """How an attempt is to be executed, beside what its process is told. Durations in seconds."""

    cancel_grace: float = 10.0
    lost_after: float = 24 * 3600.0


@dataclass(frozen=True)
class Services:
    """What every attempt of a runner uses."""

    state: StateFolder
    feeds: Feeds
    tools: Tools
    when_spool_full: WhenFull = WhenFull.WAIT


async def end_leftovers(tools: Tools, folder: Path) -> None:
    """Kills what outlived the runner process that had started it, in the attempt of a folder, named after its lease."""
    main = await tools.disk.run(attempt_folder.first_process, folder)
    while left := await tools.disk.run(tools.processes.living, folder.name, main, False):
        for process in left:
            tools.processes.signal(process, signal.SIGKILL)
        await asyncio.sleep(tools.timings.stop_poll)


class Attempt:
    """One attempt. What others ask of it returns at once; its own task, `execute` or `recover`, does it."""

    def __init__(
        self, assignment: Assignment, limits: Limits, services: Services, renewed_at: float, *, found: bool = False
    ) -> None:
        """`renewed_at` is when the lease is known to have been alive, in seconds of the boot clock."""
        self.assignment = assignment
        self.phase = Phase.FOUND if found else Phase.PREPARING
        self.kept = False  # the orchestrator does not know it: ship nothing
        self.fence_reason: str | None = None
        self.feed: Feed | None = None
        self._limits = limits
        self._services = services
        self._renewed_at = renewed_at
        self._requests = Requests()
        self._complaints = Complaints()
        self._verdict_given = asyncio.Event()
        self._next_sequence = 0  # the newest verdict; 0 when there was none
        self._damage = ""  # why its spool cannot be read on
        self._last_sequence = 0  # of its end, once that is recorded
        self._process_end: ProcessEnd | None = None
        self.quarantined: Path | None = None  # where it was put when it had been fenced

    def __str__(self) -> str:
        return f"attempt {self.assignment.attempt} of run {self.assignment.run_id}"

    @property
    def lease_id(self) -> str:
        """From the assignment."""
        return self.assignment.lease_id

    @property
    def folder(self) -> Path:
        """Where everything of it is."""
        return self._services.state.attempts / self.assignment.lease_id

    @property
    def active(self) -> bool:
        """May it have processes, or get one?"""
        return self.phase in (Phase.PREPARING, Phase.RUNNING)

    # What others ask of it.

    def cancel(self, reason: str) -> None:
        """Asks the experiment to stop; after its grace period it is made to. May be repeated."""
        self._requests.cancel(reason)

    def stop(self, cause: StopCause) -> None:
        """Ends its processes without a grace period."""
        self._requests.stop(cause)

    def fence(self, reason: str) -> None:
        """Its lease is over: what lives is killed, and the folder goes to quarantine. May be repeated."""
        if self.fence_reason is None and not self._requests.lease_over:
            self.fence_reason = reason
            self._end_lease()

    def release(self) -> None:
        """Its end is stored: the folder may go."""
        self._end_lease()

    def keep(self) -> None:
        """The orchestrator does not know it: everything stays as it is, for the operator."""
        self.kept = True
        if self.feed is not None:
            self.feed.held = True

    def resume(self, next_sequence: int, renewed_at: float) -> None:
        """It goes on, and its events are to be shipped from `next_sequence`."""
        self.kept = False
        self._next_sequence = next_sequence
        self.renewed(renewed_at)
        if self.feed is not None:
            self.feed.resume(next_sequence - 1)
        self._verdict_given.set()

    def renewed(self, at: float) -> None:
        """A heartbeat that named its lease was answered; it had been sent at this time of the boot clock."""
        self._renewed_at = max(self._renewed_at, at)

    async def held_sequences(self) -> tuple[int, int]:
        """Sequences of the first and the last event that are known to be in its spool; 0 when there is none."""
        feed = self.feed
        if feed is not None and feed.highest_sequence > 0:
            return await self._run(feed.first_sequence), feed.highest_sequence
        found = await self._look()
        return found.first_sequence, found.last_sequence

    # Its task.

    async def execute(self) -> None:
        """Everything, for a new assignment. Raises NotTaken."""
        try:
            page = await self._prepare()
        except (OSError, ValueError) as error:
            self.phase = Phase.OVER
            await self._run(self._services.state.delete, self.folder)
            raise NotTaken(f"its folder could not be written: {error}") from error
        self.phase = Phase.RUNNING
        try:
            end = await self._supervise(page)
            self._check_lease()
            await self._record_end(end)
            await self._until_acknowledged()
        except LeaseOver:
            pass
        await self._leave()

    async def recover(self) -> None:
        """Everything, for one whose runner process crashed; `end_leftovers` has been called before."""
        try:
            found = await self._look()
            await self._verdict_given.wait()
            self._check_lease()
            if 0 < self._next_sequence < found.first_sequence:
                self._damage = (
                    f"the orchestrator lacks the events from {self._next_sequence} to {found.first_sequence - 1}"
                )
            if found.ended and self._next_sequence <= found.last_sequence + 1 and not self._damage:
                self._open_feed(await self._run(attempt_folder.control_page, self.folder), self._next_sequence)
                self._last_sequence = found.last_sequence
                self.phase = Phase.SHIPPING
            else:
                await self._record_end(None)
            await self._until_acknowledged()
        except LeaseOver:
            pass
        await self._leave()

    async def end_leftovers(self) -> None:
        """Kills what outlived the runner process that had started it."""
        await end_leftovers(self._services.tools, self.folder)

    async def give_up(self) -> None:
        """Lets go of it where it stands, because of a fault: no process is left, and its folder stays."""
        await self.end_leftovers()
        await self._close_feed()
        self.phase = Phase.OVER

    async def _look(self) -> output.Found:
        """Looks at the spool. One that cannot be read at all has nothing, and ends as any that is damaged."""
        try:
            return await self._run(output.look, self.folder)
        except (OSError, SpoolError) as error:
            self._damage = f"the spool cannot be read: {error}"
            return output.Found(0, 0, 0, ended=False)

    async def _prepare(self) -> ControlPage:
        page = await self._run(attempt_folder.make, self.folder, self.assignment)
        self._open_feed(page, self.assignment.next_sequence)
        return page

    async def _supervise(self, page: ControlPage) -> ProcessEnd:
        assignment, limits = self.assignment, self._limits
        supervision = Supervision(
            self.lease_id,
            self.folder,
            self._services.tools,
            self._requests,
            page,
            timeout=assignment.timeout_s,
            cancel_grace=limits.cancel_grace,
            lease_deadline=lambda: lease.self_stop_time(
                self._renewed_at, limits.lost_after, assignment.attempt, assignment.max_attempts
            ),
            on_ring=self._services.feeds.news.set,
        )
        return await supervision.run()

    async def _record_end(self, end: ProcessEnd | None) -> None:
        """Records what was captured and not recorded yet, and the end. `end` is None after a crash of the runner."""
        self.phase = Phase.ENDING
        self._process_end = end
        now_ns = self._services.tools.clock.now_ns
        evidence = await self._run(self._evidence, end)
        noted = await self._run(attempt_folder.noted_in_this_boot, self.folder)
        ending = how_it_ended(evidence)
        steps = end.steps if end is not None else []

        damaged, self._damage = self._damage, ""
        # Only after a crash, or when its spool is damaged, can the orchestrator have more of it than there is here.
        next_sequence = self._next_sequence if end is None else 0
        recorded = max(
            evidence.intent.last_sequence if evidence.intent is not None else 0,
            noted.recorded_sequence if noted is not None else 0,
        )
        # After a power cut nobody knows what the end of the spool was: no digest is claimed of what is left.
        whole = not damaged and (end is not None or noted is not None)
        if self.feed is not None:
            recorded = max(recorded, self.feed.highest_sequence, self.feed.window.committed)
        if damaged:
            await self._set_spool_aside(damaged)
            next_sequence, recorded = self._next_sequence, 0
        try:
            tail = await self._until_possible(
                SpoolTail, self.folder, self.assignment, next_sequence, recorded, self._acknowledged
            )
        except SpoolError as error:
            self._damaged(str(error))
            await self._record_end(end)
            return
        try:
            if self.feed is None:
                self._open_feed(await self._run(attempt_folder.control_page, self.folder), self._next_to_commit())
            while not damaged and await self._until_possible(tail.record_output, now_ns()):
                self._services.feeds.news.set()
            if noted is not None and noted.dropped_entries:
                await self._until_possible(tail.record_dropped, noted.dropped_entries, now_ns())
                await self._run(attempt_folder.dropped_told, self.folder)
            if self.feed is not None:
                self.feed.ending = True
            self._last_sequence = await self._until_possible(tail.record_end, ending, steps, now_ns(), whole)
        finally:
            await self._run(tail.close)
        self._services.feeds.news.set()
        self.phase = Phase.SHIPPING

        failure = ending.failure
        why = f" ({failure.kind.name}: {failure.message})" if failure is not None else ""
        log.info("%s ended: %s%s", self, ending.outcome.name, why)

    async def _until_acknowledged(self) -> None:
        while self._next_to_commit() <= self._last_sequence:
            if self._damage and self._nothing_under_way():
                await self._record_end(self._process_end)
            await self._news()

    async def _leave(self) -> None:
        """Lets go: the folder is deleted, or put aside when its lease was over before its end was stored."""
        state = self._services.state
        await self._close_feed()
        if self.fence_reason is None:
            await self._run(state.delete, self.folder)
        else:
            await self.end_leftovers()
            note = attempt_folder.note(self.assignment, self.fence_reason)
            aside = await self._run(state.quarantine, self.folder, self.lease_id, note)
            log.warning("%s was fenced (%s); what was not shipped of it is in %s", self, self.fence_reason, aside)
            self.quarantined = aside
        self.phase = Phase.OVER

    def _evidence(self, end: ProcessEnd | None) -> Evidence:
        said = attempt_folder.intent_of_this_boot(self.folder)
        tail = output.stderr_tail(self.folder)
        if end is None:
            return Evidence(
                intent=said,
                cancel_delivered=(self.folder / attempt_folder.CANCEL).exists(),
                restarted=True,
                storage_error=self._damage,
                stderr_tail=tail,
            )
        return Evidence(
            intent=said,
            cancel_delivered=end.cancel_delivered,
            stopped_for=end.stopped_for,
            exit_status=end.exit_status,
            killed_by_runner=end.killed,
            memory_kill=end.memory_kill,
            launch_error=end.launch_error,
            storage_error=self._damage,
            stderr_tail=tail,
        )

    def _open_feed(self, page: ControlPage | None, next_sequence: int) -> None:
        self.feed = Feed(
            self.lease_id,
            self.folder / output.SPOOL,
            committed=next_sequence - 1,
            control=page,
            on_progress=self._requests.changed.set,
            on_damage=self._damaged,
        )
        self.feed.held = self.kept
        self._services.feeds.add(self.feed)

    async def _close_feed(self) -> None:
        if self.feed is not None:
            self._services.feeds.remove(self.feed)
            await self._run(self.feed.close)
            self.feed = None

    def _nothing_under_way(self) -> bool:
        """Sends no more of it, and tells whether the orchestrator has answered to all that was sent.

        Until then nobody here knows how far it has stored the attempt: an end could get the number of an event that it
        has, would be taken for that one sent again, and be lost.
        """
        if self.feed is None:
            return True
        self.feed.held = True
        return not self.feed.awaiting_answer and not self.feed.window.in_flight

    async def _set_spool_aside(self, reason: str) -> None:
        while not self._nothing_under_way():
            await self._news()
        self._next_sequence = self._next_to_commit()
        await self._close_feed()
        self._damage = ""  # what was said meanwhile was said of this spool too
        spool = self.folder / output.SPOOL
        if spool.exists():
            note = attempt_folder.note(self.assignment, reason)
            aside = await self._run(self._services.state.quarantine, spool, f"{self.lease_id}-spool", note, True)
            with contextlib.suppress(OSError):  # it says whose it is
                await self._run(shutil.copy, self.folder / assignments.FILE_NAME, aside)

    def _next_to_commit(self) -> int:
        if self.feed is not None:
            return self.feed.window.committed + 1
        return self._next_sequence or self.assignment.next_sequence

    def _damaged(self, reason: str) -> None:
        log.error("%s: %s", self, reason)
        self._damage = reason
        self.stop(StopCause.STORAGE)
        self._requests.changed.set()

    def _acknowledged(self) -> int:
        return self.feed.acknowledged_bytes if self.feed is not None else 0

    def _end_lease(self) -> None:
        if self.feed is not None:
            self.feed.held = True
        self._requests.end_lease()
        self._verdict_given.set()

    def _check_lease(self) -> None:
        if self._requests.lease_over:
            raise LeaseOver

    async def _news(self) -> None:
        """Waits until something happened to this attempt, but not for long. Raises LeaseOver."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TRY_AGAIN):
                await self._requests.changed.wait()
        self._requests.changed.clear()
        self._check_lease()

    async def _until_possible(self, work: Callable[..., T], *arguments: object) -> T:
        """Does blocking work on the spool, again and again while that, or the disk, is full.

        Raises LeaseOver; and SpoolError when the spool stays unusable for a while.
        """
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + SPOOL_PATIENCE
        while True:
            try:
                return await self._run(work, *arguments)
            except SpoolDamagedError:
                raise
            except SpoolError:
                if loop.time() >= give_up_at:
                    raise
            except (OSError, DiskFull) as error:
                if self._complaints.due("end"):
                    log.error("%s: its end cannot be recorded, trying on: %s", self, error)
            except MustWait:
                pass
            await self._news()

    async def _run(self, work: Callable[..., T], *arguments: object) -> T:
        return await self._services.tools.disk.run(work, *arguments)
