"""The attempts of this runner: taken up, found again, judged by the orchestrator, told to stop."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

from athanor.experiment.assignment import Assignment, Checkpoint
from athanor.experiment.configuration import schema_digest
from athanor.runner.v1 import dispatch_service_pb2 as pb
from athanor.v1.run_policy_pb2 import RunPolicy

from athanor_runner import attempt_folder
from athanor_runner.attempt import Attempt, Limits, NotTaken, Phase, Services, end_leftovers
from athanor_runner.catalogue import Catalogue, Definition
from athanor_runner.ending import StopCause
from athanor_runner.state import is_lease_id
from athanor_runner.unreadable import Unreadable

S = TypeVar("S")

log = logging.getLogger(__name__)

FAST_ENOUGH = 10.0  # seconds that leftovers of a crash get to die before the runner introduces itself all the same


class Declined(Exception):
    """An assignment that is not taken up."""

    def __init__(self, reason: pb.DeclineReason.ValueType, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Roster:
    """All attempts that this runner has anything of."""

    def __init__(
        self, services: Services, catalogue: Catalogue, slots: int, runner_id: str, group: asyncio.TaskGroup
    ) -> None:
        self.draining = False
        self.gone: dict[
            str, Path | None
        ] = {}  # leases that were over and of which no process is left, until that is known
        self.declines: asyncio.Queue[pb.Decline] = asyncio.Queue()
        self._services = services
        self._catalogue = catalogue
        self._slots = slots
        self._runner_id = runner_id
        self._group = group
        self._attempts: dict[str, Attempt] = {}
        self._unreadable: dict[str, Unreadable] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    def __iter__(self) -> Iterator[Attempt]:
        return iter(list(self._attempts.values()))

    async def find_leftovers(self) -> None:
        """Takes up what an earlier runner process left behind, and ends what still lives of it."""
        disk, state = self._services.tools.disk, self._services.state
        for quarantined in await disk.run(state.unreported_quarantines):
            self.gone[quarantined.lease_id] = quarantined.folder
        found: list[Attempt] = []
        for folder in await disk.run(state.attempt_folders):
            try:
                assignment = await disk.run(attempt_folder.read_found, folder)
            except (OSError, ValueError) as error:
                await self._cannot_go_on(folder, error)
                continue
            found.append(Attempt(assignment, Limits(), self._services, 0.0, found=True))
        for attempt in found:
            log.info("%s was found again", attempt)
            self._attempts[attempt.lease_id] = attempt
            await self._end_leftovers(attempt.folder)
            self._own(str(attempt), self._guard(attempt, attempt.recover()))

    def accept(self, assignment: pb.Assignment, renewed_at: float, awake: bool) -> None:
        """Takes up an assignment; whether its folder could be written shows later. Raises Declined."""
        if assignment.lease_id in self._attempts or assignment.lease_id in self._unreadable:
            return
        if self.draining:
            raise Declined(pb.DECLINE_REASON_DRAINING, "the runner is about to stop")
        if not awake:
            raise Declined(
                pb.DECLINE_REASON_NO_ROOM, "the runner stood still for a while, and what it reads may be old"
            )
        if not is_lease_id(assignment.lease_id):
            raise Declined(pb.DECLINE_REASON_NO_ROOM, "no folder can be named after the lease's id")
        if sum(attempt.active for attempt in self) >= self._slots:
            raise Declined(pb.DECLINE_REASON_NO_ROOM, f"all {self._slots} slots are taken")
        definition = self._catalogue.find(assignment.experiment)
        if definition is None:
            raise Declined(
                pb.DECLINE_REASON_NO_SUCH_EXPERIMENT, f"there is no experiment {assignment.experiment!r} here"
            )

        policy, defaults = assignment.policy, Limits()
        limits = Limits(
            _seconds(policy, "cancel_grace_period", defaults.cancel_grace),
            _seconds(policy, "lost_after", defaults.lost_after),
        )
        taken = Attempt(self._for_process(assignment, definition), limits, self._services, renewed_at)
        self._attempts[taken.lease_id] = taken
        log.info("%s is taken up: %s", taken, assignment.experiment)
        self._own(str(taken), self._guard(taken, self._execute(taken)))

    def cancel(self, cancel: pb.Cancel) -> None:
        """Asks a run to stop."""
        attempt = self._attempts.get(cancel.lease_id)
        if attempt is not None:
            attempt.cancel(cancel.reason)

    def fence(self, lease_id: str, reason: str) -> None:
        """A lease is over."""
        attempt = self._unreadable.get(lease_id) or self._attempts.get(lease_id)
        if attempt is not None:
            attempt.fence(reason)
        else:
            self.gone.setdefault(lease_id, None)

    def stop_all(self) -> None:
        """Ends everything that runs, because the runner is told to stop."""
        for attempt in self:
            if attempt.active:
                attempt.stop(StopCause.RUNNER_STOPPED)

    async def held(self) -> list[pb.HeldAttempt]:
        """What Hello says.

        Waits for folders that are just being written: a lease is named when it was taken up, and only then.
        """
        while not self.declines.empty():
            self.declines.get_nowait()  # of an earlier session: not to be named says the same
        await self.until(lambda: not any(attempt.phase is Phase.PREPARING for attempt in self))
        held: list[pb.HeldAttempt] = []
        for attempt in self:
            if attempt.phase is Phase.OVER or attempt.lease_id in self._unreadable:
                continue
            first, last = await attempt.held_sequences()
            held.append(
                pb.HeldAttempt(
                    run_id=attempt.assignment.run_id,
                    lease_id=attempt.lease_id,
                    attempt=attempt.assignment.attempt,
                    first_sequence=first,
                    last_sequence=last,
                )
            )
        return held + [unreadable.held() for unreadable in self._unreadable.values()]

    def judge(self, held: Iterable[pb.HeldAttempt], verdicts: Iterable[pb.Verdict], hello_sent_at: float) -> None:
        """Applies what Welcome said about the attempts that Hello had named."""
        said = {verdict.lease_id: verdict for verdict in verdicts}
        for entry in held:
            verdict = said.get(entry.lease_id, pb.Verdict())
            unreadable = self._unreadable.get(entry.lease_id)
            if unreadable is not None:
                unreadable.judge(verdict)
                continue
            attempt = self._attempts.get(entry.lease_id)
            if attempt is None:
                continue
            match verdict.WhichOneof("verdict"):
                case "resume":
                    attempt.resume(verdict.resume.next_sequence, hello_sent_at)
                case "fence":
                    attempt.fence(verdict.fence.reason)
                case "release":
                    attempt.release()
                case _:
                    if not attempt.kept:
                        log.warning("%s is not known to the orchestrator; it is kept in %s", attempt, attempt.folder)
                    attempt.keep()

    def leases(self) -> list[str]:
        """What a heartbeat names."""
        return [
            attempt.lease_id
            for attempt in self
            if not attempt.kept
            and attempt.fence_reason is None
            and attempt.phase is not Phase.OVER
            and attempt.lease_id not in self._unreadable
        ]

    def renewed(self, leases: Iterable[str], sent_at: float) -> None:
        """A heartbeat that named these leases was answered."""
        for lease_id in leases:
            attempt = self._attempts.get(lease_id)
            if attempt is not None:
                attempt.renewed(sent_at)

    async def gone_known(self, leases: Iterable[str]) -> None:
        """A heartbeat that named these as gone was answered."""
        for lease_id in leases:
            folder = self.gone.pop(lease_id, None)
            if folder is not None:
                await self._services.tools.disk.run(self._services.state.quarantine_reported, folder)

    @property
    def idle(self) -> bool:
        """Is there nothing that runs?"""
        return not any(attempt.active for attempt in self)

    @property
    def empty(self) -> bool:
        """Is there nothing left to ship, as far as the orchestrator wants it?"""
        return all(held.kept for held in (*self, *self._unreadable.values()))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until a condition over the attempts holds."""
        while not condition():
            self._changed.clear()
            try:
                async with asyncio.timeout(0.05):
                    await self._changed.wait()
            except TimeoutError:
                pass

    def let_go(self) -> None:
        """Ends the tasks of all attempts. What they have not shipped stays in their folders for the next start."""
        for task in self._tasks:
            task.cancel()

    def _own(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = self._group.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, attempt: Attempt, work: Coroutine[Any, Any, None]) -> None:
        """One attempt's trouble is not the others': it is told as one that cannot be gone on with.

        Nobody works on it any more, so no heartbeat names it: else its lease would never be over.
        """
        unreadable: Unreadable | None = None
        try:
            await work
        except Exception as error:
            log.exception("%s: given up by this process because of a fault of the runner; its folder stays", attempt)
            reason = f"a fault of the runner: {error or type(error).__name__}"
            unreadable = Unreadable(attempt.folder, reason, attempt.assignment)
            self._unreadable[attempt.lease_id] = unreadable
            await attempt.give_up()
        finally:
            self._changed.set()
        if attempt.fence_reason is not None:
            self.gone[attempt.lease_id] = attempt.quarantined
        del self._attempts[attempt.lease_id]
        if unreadable is not None:
            if attempt.fence_reason is not None:
                unreadable.fence(attempt.fence_reason)
            await self._settle(unreadable)

    async def _cannot_go_on(self, folder: Path, error: Exception) -> None:
        """A folder that was found and cannot be gone on with: only the orchestrator knows whether its lease is over."""
        await self._end_leftovers(folder)
        if not is_lease_id(folder.name):
            log.error("%s is left alone, it is not named after a lease and cannot be read: %s", folder, error)
            return
        log.error("%s cannot be gone on with, and the orchestrator will be told so: %s", folder, error)
        unreadable = Unreadable(folder, str(error))
        self._unreadable[unreadable.lease_id] = unreadable
        self._own(str(unreadable), self._settle(unreadable))

    async def _settle(self, unreadable: Unreadable) -> None:
        lease_id, folder = unreadable.lease_id, unreadable.folder
        try:
            if await unreadable.settle(self._services.state, self._services.tools):
                self.gone[lease_id] = unreadable.folder if unreadable.folder != folder else None
        except OSError as error:
            log.error("%s cannot be deleted: %s", unreadable, error)
        del self._unreadable[lease_id]
        self._changed.set()

    async def _execute(self, attempt: Attempt) -> None:
        try:
            await attempt.execute()
        except NotTaken as error:
            log.warning("%s is declined: %s", attempt, error)
            self.declines.put_nowait(
                pb.Decline(lease_id=attempt.lease_id, reason=pb.DECLINE_REASON_NO_ROOM, detail=str(error))
            )

    async def _end_leftovers(self, folder: Path) -> None:
        try:
            async with asyncio.timeout(FAST_ENOUGH):
                await end_leftovers(self._services.tools, folder)
        except TimeoutError:
            log.error("%s: a process that an earlier runner had started does not die", folder)

    def _for_process(self, assignment: pb.Assignment, definition: Definition) -> Assignment:
        policy, timings = assignment.policy, self._services.tools.timings
        checkpoint = None
        if assignment.HasField("checkpoint"):
            checkpoint = Checkpoint(assignment.checkpoint.sequence, assignment.checkpoint.state_json)
        return Assignment(
            lease_id=assignment.lease_id,
            run_id=assignment.run_id,
            instance_id=assignment.instance_id,
            instance_name=assignment.instance_name,
            attempt=assignment.attempt,
            experiment=assignment.experiment,
            module=definition.module,
            configuration_json=assignment.configuration_json,
            seed=assignment.seed,
            next_sequence=assignment.next_sequence,
            search_path=definition.search_path,
            runner_id=self._runner_id,
            code=definition.code,
            schema_digest=schema_digest(definition.configuration_schema_json),
            timeout_s=_seconds(policy, "timeout", None),
            max_attempts=max(1, policy.max_attempts),
            checkpoint=checkpoint,
            segment_bytes=timings.segment_bytes,
            spool_limit_bytes=timings.spool_limit_bytes,
            when_spool_full=self._services.when_spool_full,
        )


def _seconds(policy: RunPolicy, name: Literal["timeout", "cancel_grace_period", "lost_after"], default: S) -> float | S:
    return getattr(policy, name).ToTimedelta().total_seconds() if policy.HasField(name) else default
