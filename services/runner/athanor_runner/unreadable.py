"""An attempt that the runner has a folder of and cannot go on with, until it is told what becomes of it."""

import asyncio
import logging
from pathlib import Path

from athanor.experiment.assignment import Assignment
from athanor.runner.v1 import dispatch_service_pb2 as pb

from athanor_runner import attempt_folder
from athanor_runner.attempt import end_leftovers
from athanor_runner.state import StateFolder
from athanor_runner.supervision import Tools

log = logging.getLogger(__name__)


class Unreadable:
    """One such attempt. Every Hello names it: what is not named there was never executed, and this may have been."""

    def __init__(self, folder: Path, reason: str, assignment: Assignment | None = None) -> None:
        """`folder` is named after the lease; `assignment` is None when it cannot be read."""
        self.folder = folder
        self.kept = False  # the orchestrator does not know it
        self._reason = reason
        self._assignment = assignment
        self._fence_reason: str | None = None
        self._decided = asyncio.Event()

    def __str__(self) -> str:
        return str(self.folder)

    @property
    def lease_id(self) -> str:
        """The folder's name."""
        return self.folder.name

    def held(self) -> pb.HeldAttempt:
        """What Hello says of it."""
        held = pb.HeldAttempt(lease_id=self.lease_id, unreadable=True)
        if self._assignment is not None:
            held.run_id, held.attempt = self._assignment.run_id, self._assignment.attempt
        return held

    def judge(self, verdict: pb.Verdict) -> None:
        """Takes what Welcome said of it."""
        match verdict.WhichOneof("verdict"):
            case "fence":
                self.fence(verdict.fence.reason)
            case "release":
                self._decided.set()
            case "resume":  # named before it could not be gone on with: the next Hello says so
                self.kept = False
            case _:
                if not self.kept:
                    log.warning("%s is not known to the orchestrator; it is kept as it is", self)
                self.kept = True

    def fence(self, reason: str) -> None:
        """Its lease is over. May be repeated."""
        if not self._decided.is_set():
            self._fence_reason = reason
            self._decided.set()

    async def settle(self, state: StateFolder, tools: Tools) -> bool:
        """Waits until it is fenced or released, and does that; answers whether it was fenced: then no process is left.

        Where it was put is in `folder` then.
        """
        await self._decided.wait()
        if self._fence_reason is None:
            log.info("%s is deleted: the end of its attempt is stored", self)
            await tools.disk.run(state.delete, self.folder)
            return False
        await end_leftovers(tools, self.folder)
        reason = f"{self._fence_reason}: {self._reason}"
        note = attempt_folder.note_unreadable(self.lease_id, self._assignment, reason)
        try:
            aside = await tools.disk.run(state.quarantine, self.folder, self.lease_id, note)
        except OSError as error:
            log.error("%s was fenced (%s) and stays where it is, it cannot be moved: %s", self, reason, error)
            return True
        log.warning("%s was fenced (%s); all of it is in %s", self, reason, aside)
        self.folder = aside
        return True
