"""An attempt's processes, from the start of the first to the end of the last."""

import asyncio
import logging
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from athanor.experiment.control import ControlPage

from athanor_runner import attempt_folder, stopping
from athanor_runner.ending import StopCause
from athanor_runner.output import StopStep
from athanor_runner.ports import Child, Clock, Command, Disk, Processes, ProcessId
from athanor_runner.process import LEASE_MARKER
from athanor_runner.settings import Timings

log = logging.getLogger(__name__)

STUBBORN = 60.0  # seconds between two warnings of a process that does not die


class Requests:
    """What has been asked of an attempt. Whatever was asked stands; `changed` is set with each."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.cancel_reason: str | None = None
        self.stop_cause: StopCause | None = None
        self.lease_over = False  # kill what lives: nothing more is recorded

    def cancel(self, reason: str) -> None:
        """The experiment is to stop by itself."""
        if self.cancel_reason is None:
            self.cancel_reason = reason
            self.changed.set()

    def stop(self, cause: StopCause) -> None:
        """The processes are to be ended without a grace period. The first cause stands."""
        if self.stop_cause is None:
            self.stop_cause = cause
            self.changed.set()

    def end_lease(self) -> None:
        """The lease is over."""
        self.lease_over = True
        self.changed.set()


@dataclass
class ProcessEnd:
    """How the processes of an attempt ended, and what was done to end them."""

    exit_status: int | None = None  # of the first; None when it was never started
    launch_error: str = ""
    cancel_delivered: bool = False  # before the experiment had ended
    stopped_for: StopCause | None = None  # likewise
    killed: bool = False  # SIGKILL was sent
    memory_kill: bool = False  # while the first process was killed, the kernel killed something for want of memory
    steps: list[StopStep] = field(default_factory=list[StopStep])


@dataclass(frozen=True)
class Tools:
    """What a supervision works with."""

    clock: Clock
    disk: Disk
    processes: Processes
    timings: Timings
    python: str
    environment: Mapping[str, str]  # for run processes, without the marks of one attempt


class Supervision:
    """Starts one attempt's process and stays with it until nothing of it is left."""

    def __init__(
        self,
        lease_id: str,
        folder: Path,
        tools: Tools,
        requests: Requests,
        control: ControlPage,
        *,
        timeout: float | None,
        cancel_grace: float,
        lease_deadline: Callable[[], float | None],
        on_ring: Callable[[], None],
    ) -> None:
        """`timeout`, `cancel_grace`: seconds; `lease_deadline`: when the lease must be given up, on the boot clock."""
        self._lease_id = lease_id
        self._folder = folder
        self._tools = tools
        self._requests = requests
        self._control = control
        self._timeout = timeout
        self._cancel_grace = cancel_grace
        self._lease_deadline = lease_deadline
        self._on_ring = on_ring

        self._end = ProcessEnd()
        # Seconds of the event loop's clock.
        self._started_at = 0.0
        self._cancelled_at: float | None = None
        self._stopped_at: float | None = None
        self._left_at: float | None = None
        self._terminated_at: float | None = None
        self._warn_at = 0.0

    async def run(self) -> ProcessEnd:
        """Returns when no process is left."""
        requests, end, tools = self._requests, self._end, self._tools
        command = Command(
            # -P: a json.py in the folder that the runner was started in is not the json that start-up needs.
            arguments=(tools.python, "-P", "-m", "athanor.experiment.execute", str(self._folder)),
            environment={**tools.environment, LEASE_MARKER: self._lease_id},
            stdout=self._folder / "stdout",
            stderr=self._folder / "stderr",
        )
        await tools.processes.prepare(command)
        if requests.lease_over or requests.cancel_reason is not None or requests.stop_cause is not None:
            end.cancel_delivered = requests.cancel_reason is not None
            end.stopped_for = requests.stop_cause
            return end  # asked to stop before it was started

        kills = tools.processes.memory_kills()
        try:
            child = tools.processes.start(command, self._on_ring)
        except OSError as error:
            end.launch_error = f"{tools.python} could not be started: {error.strerror or error}"
            return end

        self._started_at = asyncio.get_running_loop().time()
        await self._note(attempt_folder.write_process, child.id)
        end.exit_status = await self._until_nothing_is_left(child)
        if end.exit_status == -signal.SIGKILL:  # else nobody asks
            end.memory_kill = tools.processes.memory_kills() > kills
        child.release()
        return end

    async def _until_nothing_is_left(self, child: Child) -> int:
        waiter = asyncio.create_task(child.wait(), name=f"process of {self._lease_id}")
        waiter.add_done_callback(lambda _: self._requests.changed.set())
        try:
            while True:
                self._requests.changed.clear()
                pause = await self._round(child.id, waiter)
                if pause is None:
                    return waiter.result()
                try:
                    async with asyncio.timeout(pause):
                        await self._requests.changed.wait()
                except TimeoutError:
                    pass
        finally:
            waiter.cancel()
            await asyncio.gather(waiter, return_exceptions=True)

    async def _round(self, main: ProcessId, waiter: "asyncio.Task[int]") -> float | None:
        """Looks, decides and acts once. Returns how long to wait at most, None when nothing is left."""
        now = asyncio.get_running_loop().time()
        if not waiter.done():
            await self._hear(now)

        decision = stopping.decide(self._facts(waiter.done(), ()), now)
        left: list[ProcessId] = []
        if waiter.done() or decision.step in (stopping.Step.TERM, stopping.Step.KILL):
            left = await self._look(main)
            others = tuple(process for process in left if process != main)
            if others and waiter.done():  # what waits for a process that hangs has not to be waited for here
                self._left_at = now if self._left_at is None else min(self._left_at, now)
            decision = stopping.decide(self._facts(waiter.done(), others), now)

        match decision.step:
            case stopping.Step.DONE:
                if self._terminated_at is not None or self._end.killed:
                    self._step("all gone")
                return None
            case stopping.Step.TERM:
                self._terminated_at = now
                self._step(f"SIGTERM to {_count(self._signal(left, signal.SIGTERM))}")
                self._signal(left, signal.SIGCONT)  # one that is suspended would not see it
            case stopping.Step.KILL:
                sent = self._signal(left, signal.SIGKILL)
                if not self._end.killed:
                    self._step(f"SIGKILL to {_count(sent)}")
                    self._warn_at = now + STUBBORN
                self._end.killed = True
                self._warn(left, now)
            case stopping.Step.WAIT:
                if self._terminated_at is None:
                    tick = self._until_lease_ends(self._tools.timings.tick)
                    return tick if decision.until is None else max(0.0, min(tick, decision.until - now))
        return self._tools.timings.stop_poll

    def _until_lease_ends(self, longest: float) -> float:
        """How long to wait at most, so that the attempt is stopped when it has to be and not a tick later."""
        deadline = self._lease_deadline()
        if deadline is None:
            return longest
        # Never nothing: where the stop has been asked for already, something else is waited for.
        return min(longest, max(self._tools.timings.stop_poll, deadline - self._tools.clock.boot_time()))

    def _facts(self, main_ended: bool, others: tuple[ProcessId, ...]) -> stopping.Facts:
        return stopping.Facts(
            main_ended=main_ended,
            others_left=bool(others),
            cancelled_at=self._cancelled_at,
            cancel_grace=self._cancel_grace,
            stopped_at=self._stopped_at,
            fenced=self._requests.lease_over,
            left_at=self._left_at,
            terminated_at=self._terminated_at,
            kill_delay=self._tools.timings.kill_delay,
        )

    async def _hear(self, now: float) -> None:
        """Takes up what was asked and what has come due, while the first process lives."""
        requests = self._requests
        ended_by_itself = (self._folder / attempt_folder.INTENT).exists()
        if ended_by_itself and self._left_at is None:
            self._left_at = now + self._tools.timings.kill_delay  # its code has ended, the process hangs on something

        # The timeout is measured by a clock that stands still in suspend, so that a closed laptop ends no run; the
        # lease by one that does not, because meanwhile the next attempt may have been granted.
        if self._timeout is not None and now >= self._started_at + self._timeout:
            requests.stop(StopCause.TIMEOUT)
        deadline = self._lease_deadline()
        if deadline is not None and self._tools.clock.boot_time() >= deadline:
            requests.stop(StopCause.RUNNER_LOST)

        if requests.stop_cause is not None and self._stopped_at is None:
            self._stopped_at = now
            self._end.stopped_for = None if ended_by_itself else requests.stop_cause
        if requests.cancel_reason is not None and self._cancelled_at is None and not ended_by_itself:
            self._cancelled_at = now
            self._end.cancel_delivered = True
            await self._note(attempt_folder.write_cancel, requests.cancel_reason)
            self._control.set_cancelled()
            self._step("cancel requested")

    async def _note(self, write: Callable[..., None], content: object) -> None:
        """Writes down what helps after a crash of the runner. Without it, as on a full disk, the run goes on."""
        try:
            await self._tools.disk.run(write, self._folder, content)
        except OSError as error:
            log.error("attempt %s: what is known of it cannot be written down: %s", self._lease_id, error)

    async def _look(self, main: ProcessId) -> list[ProcessId]:
        return await self._tools.disk.run(self._tools.processes.living, self._lease_id, main, True)

    def _signal(self, processes: list[ProcessId], number: int) -> int:
        return sum(self._tools.processes.signal(process, number) for process in processes)

    def _step(self, action: str) -> None:
        self._end.steps.append(StopStep(action, self._tools.clock.now_ns()))

    def _warn(self, left: list[ProcessId], now: float) -> None:
        if left and now >= self._warn_at:
            self._warn_at = now + STUBBORN
            log.warning("attempt %s: processes do not die: %s", self._lease_id, [process.pid for process in left])


def _count(number: int) -> str:
    return f"{number} process" if number == 1 else f"{number} processes"
