"""The process of a run in a world: the real recorder, spool and context, under an experiment that chance writes.

It does what `athanor.experiment.execute` does, step by step, with the world's time between the steps; and it tells the
ledger what it has recorded, which is what the oracles hold the system to.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from athanor.experiment import control as control_page
from athanor.experiment.assignment import Assignment
from athanor.experiment.configuration import Configuration
from athanor.experiment.context import InstanceInfo, RunContext, RunInfo
from athanor.experiment.control import ControlPage
from athanor.experiment.errors import RunCancelled
from athanor.experiment.intent import Ended, Intent
from athanor.experiment.recorder import Recorder
from athanor.experiment.running import record_start
from athanor.experiment.spool import SpoolWriter

from tests.simulation.decisions import Decisions

LAST = "last"  # the instance whose run only shows that the world still works


@dataclass
class Ledger:
    """What one attempt has recorded, by sequence: the calls have returned. A power cut may take what is not flushed."""

    run_id: str
    attempt: int
    events: dict[int, list[bytes]] = field(default_factory=dict[int, list[bytes]])  # several: numbered anew after a cut
    last: int = 0  # of the newest event that was recorded and not taken by a power cut
    flushed: int = 0  # every event up to this one outlives a power cut

    def record(self, first: int, events: Sequence[bytes]) -> None:
        """These have been recorded, beginning with that sequence."""
        for place, event in enumerate(events):
            self.events.setdefault(first + place, []).append(event)
        self.last = first + len(events) - 1


class Ledgers:
    """Those of all attempts, and how often each was started."""

    def __init__(self) -> None:
        self.by_lease: dict[str, Ledger] = {}
        self.started: dict[str, list[int]] = {}  # by run: the attempts whose body has begun, in that order
        self.printed: dict[tuple[str, int], list[str]] = {}  # by run and attempt: lines on standard output

    def begin(self, assignment: Assignment) -> Ledger:
        """An attempt's process has begun: its ledger."""
        ledger = self.by_lease[assignment.lease_id] = Ledger(assignment.run_id, assignment.attempt)
        return ledger

    def record(self, spool: Path, first: int, events: Sequence[bytes]) -> None:
        """These events are in a spool."""
        ledger = self.by_lease.get(spool.parent.name)
        if ledger is not None:
            ledger.record(first, events)

    def flushed(self, spool: Path, last: int) -> None:
        """All events of a spool up to this one outlive a power cut."""
        ledger = self.by_lease.get(spool.parent.name)
        if ledger is not None and last in ledger.events:
            ledger.flushed = max(ledger.flushed, last)


class NotedWriter(SpoolWriter):
    """The real writer, whose appends and flushes are noted once they have returned."""

    ledgers = Ledgers()  # of the world that is simulated

    def append(self, events: Sequence[bytes], *rest: Any, **more: Any) -> None:
        first = self.next_sequence
        super().append(events, *rest, **more)
        self.ledgers.record(self._folder, first, events)

    def flush(self) -> None:
        super().flush()
        self.ledgers.flushed(self._folder, self._last_sequence)


class _SpoolFull(Exception):
    """The spool has no room: nothing was recorded."""


def _full(seconds: float) -> None:
    raise _SpoolFull


class _Control:
    def __init__(self, page: ControlPage) -> None:
        self.page = page

    @property
    def cancelled(self) -> bool:
        return self.page.cancelled

    def cancel_reason(self) -> str:
        return ""

    def write_progress(self, current: int, total: int, message: bytes) -> None:
        self.page.write_progress(current, total, message)


class Body:
    """One attempt's process."""

    def __init__(
        self, folder: Path, decisions: Decisions, ledgers: Ledgers, boot_id: str, ring: Any, pace: float
    ) -> None:
        """`pace`: seconds that a step ordinarily takes."""
        self.folder = folder
        self.writer: NotedWriter | None = None
        self._decisions = decisions
        self._ledgers = ledgers
        self._boot_id = boot_id
        self._ring = ring
        self._pace = pace
        self._page: ControlPage | None = None

    def let_go(self) -> None:
        """What the kernel does when the process is gone."""
        if self.writer is not None:
            self.writer.close()
        if self._page is not None:
            self._page.close()

    async def execute(self) -> int:
        """Execute to the end; the exit status."""
        folder, decisions = self.folder, self._decisions
        await self._pause("start", 0.02)
        assignment = Assignment.read(folder)
        self._ledgers.begin(assignment)
        page = self._page = ControlPage(folder / control_page.FILE_NAME)
        control = _Control(page)
        writer = self.writer = NotedWriter.open(
            folder / "spool",
            assignment.next_sequence,
            segment_bytes=assignment.segment_bytes,
            limit_bytes=assignment.spool_limit_bytes,
            acknowledged=lambda: page.acknowledged_bytes,
            sleep=_full,
        )
        name = f"process of {assignment.instance_name} {assignment.attempt}"
        if decisions.happens(f"{name} cannot be loaded", 0.03):
            return self._end(writer, Ended.LAUNCH, seen=False)

        recorder = Recorder(
            writer,
            assignment.attempt,
            recorded=page.recorded(self._ring),
            sleep=_full,
            time_ns=lambda: round(asyncio.get_running_loop().time() * 1e9),
        )
        restored = None if assignment.checkpoint is None else json.loads(assignment.checkpoint.state_json)
        self._ledgers.started.setdefault(assignment.run_id, []).append(assignment.attempt)
        await self._when_room(
            lambda: record_start(
                recorder,
                assignment.runner_id,
                assignment.code,
                Configuration({}, {}, "{}"),
                0 if assignment.checkpoint is None else assignment.checkpoint.sequence,
            )
        )
        context: RunContext[Any] = RunContext(
            recorder,
            control,
            config={},
            configuration={},
            run=RunInfo(assignment.run_id, assignment.attempt, assignment.max_attempts, assignment.timeout_s, ""),
            instance=InstanceInfo(assignment.instance_id, assignment.instance_name, assignment.experiment),
            seed=assignment.seed,
            restored=restored,
        )
        try:
            ended = await self._experiment(context, name)
        except RunCancelled:
            ended = Ended.CANCELLED
        if ended is None:
            return 3  # as by os._exit: no intent
        recorder.end()
        return self._end(writer, ended, seen=context.cancellation_seen)

    async def _experiment(self, context: RunContext[Any], name: str) -> Ended | None:
        """A number of steps, those that an earlier attempt has not done; None when the process ends without a word."""
        decisions = self._decisions
        if context.instance.name == LAST:
            context.result("done", True)
            return Ended.RETURNED
        steps = 2 + decisions.pick(f"{name} steps", 6)
        heeds = not decisions.happens(f"{name} does not heed", 0.2)
        done = 0 if context.restored is None else context.restored["done"]
        long = decisions.happens(f"long {name}", 0.015)
        for step in range(done, steps):
            if long and step == done + 1:
                await self._take_long(context, heeds)
            await self._pause(f"{name} step", self._pace)
            if heeds:
                context.raise_if_cancelled()
            context.progress(step, steps)
            burst = 1 + decisions.pick(f"{name} burst", 4) * decisions.pick(f"{name} flood", 12)
            for line in range(burst):
                await self._when_room(partial(context.log, "info", f"step {step} line {line}", {"step": step}))
            await self._when_room(partial(context.result, f"step_{step}", {"attempt": context.run.attempt}))
            if decisions.happens(f"{name} prints", 0.3):
                self._print(context, f"printed at step {step}")
            if decisions.happens(f"{name} checkpoint", 0.4):
                await self._when_room(partial(context.checkpoint, {"done": step + 1}))
                if self.writer is not None:  # which is promised, whoever did it
                    self._ledgers.flushed(self.folder / "spool", self.writer.next_sequence - 1)
            if decisions.happens(f"process dies {name}", 0.01):
                return None
        match decisions.pick(f"{name} ends", 8):
            case 5:
                return Ended.FAILED
            case 6:
                return Ended.RAISED
            case 7:
                return Ended.COMPLETED
            case _:
                return Ended.RETURNED

    async def _take_long(self, context: RunContext[Any], heeds: bool) -> None:
        """Longer than a lease lives."""
        for _ in range(25):
            await asyncio.sleep(4.0)
            if heeds:
                context.raise_if_cancelled()

    def _print(self, context: RunContext[Any], line: str) -> None:
        with (self.folder / "stdout").open("ab", buffering=0) as stdout:
            stdout.write(line.encode() + b"\n")
        self._ledgers.printed.setdefault((context.run.id, context.run.attempt), []).append(line)

    def _end(self, writer: NotedWriter, ended: Ended, seen: bool) -> int:
        writer.settle()
        position = writer.position
        Intent(
            ended=ended,
            boot_id=self._boot_id,
            message="" if ended in (Ended.RETURNED, Ended.COMPLETED) else f"it {ended.value}",
            cancellation_seen=seen,
            last_sequence=position.last_sequence if position.event_count else 0,
        ).write(self.folder)
        return 0 if ended in (Ended.RETURNED, Ended.COMPLETED, Ended.CANCELLED) else 1

    async def _when_room(self, record: Any) -> None:
        while True:
            try:
                record()
                return
            except _SpoolFull:
                await asyncio.sleep(0.5)

    async def _pause(self, name: str, ordinary: float) -> None:
        await asyncio.sleep(self._decisions.delay(name, ordinary, ordinary * 10))
