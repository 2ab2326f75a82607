"""The runner side of an orchestrator on a database that does everything at once, and short words for what tests do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from athanor.v1 import run_event_pb2
from athanor_orchestrator.domain import policy as policies
from athanor_orchestrator.domain.ids import new_id
from athanor_orchestrator.domain.records import (
    EventFilter,
    Experiment,
    Instance,
    Lease,
    Policy,
    Run,
    RunState,
)
from athanor_orchestrator.engine import codec
from athanor_orchestrator.engine import runs as run_calls
from athanor_orchestrator.engine.fleet import Fleet
from athanor_orchestrator.engine.messages import Assignment, Heartbeat, HeartbeatReply, Hello, ToRunner, Welcome
from athanor_orchestrator.engine.runner_side import RunnerSide
from athanor_orchestrator.engine.sessions import Session
from athanor_orchestrator.engine.subscription import Subscriptions
from athanor_orchestrator.engine.timings import Timings
from athanor_orchestrator.engine.wakeups import Wakeups
from athanor_orchestrator.engine.watching import Watching
from athanor_orchestrator.storage import events, instances, leases, results, runs
from athanor_orchestrator.storage.database import Database
from athanor_orchestrator.storage.transaction import Transaction

from tests.support.inline_database import InlineDatabase
from tests.support.runner_script import Script
from tests.support.virtual_time import VirtualClock

EXPERIMENT = "demo"


class Orchestrated:
    """Everything that a test of the runner side needs, by name."""

    def __init__(self, template: Path, folder: Path, timings: Timings | None = None) -> None:
        self.timings = timings or Timings()
        self.clock = VirtualClock()
        self.wakeups = Wakeups()
        self.database = InlineDatabase(template, folder / "athanor.db", self.clock, self._publish)
        self.lose_wakeups = False
        self.restart()

    def restart(self) -> None:
        """Begin anew with nothing but the database, as a new process would."""
        self.side = RunnerSide(self.typed_database, self.wakeups, self.clock, self.timings)
        self.subscriptions = Subscriptions(
            self.typed_database, self.wakeups, self.side.progress, self.side.tails, self.clock, self.timings
        )
        self.watching = Watching(self.typed_database, self.wakeups, self.timings)
        self.fleet = Fleet(self.typed_database, self.timings)

    @property
    def typed_database(self) -> Database:
        return cast(Database, self.database)

    def _publish(self, topics: frozenset[str]) -> None:
        if not self.lose_wakeups:
            self.wakeups.publish(topics)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the loops meanwhile."""
        loops = asyncio.create_task(self.side.run(), name="runner side")
        try:
            yield
        finally:
            loops.cancel()
            await asyncio.wait({loops})

    # What clients do.

    def new_run(
        self,
        experiment: str = EXPERIMENT,
        *,
        max_attempts: int = 1,
        lost_after: float | None = None,
        backoff: float | None = None,
    ) -> str:
        """Make an instance and start a run of it; returns the run's id."""
        asked = Policy(
            max_attempts=max_attempts,
            lost_after=None if lost_after is None else timedelta(seconds=lost_after),
            retry_backoff=None if backoff is None else timedelta(seconds=backoff),
        )

        def start(tx: Transaction) -> str:
            now = tx.now_us
            instance = Instance(new_id(), experiment, "an instance", "", "{}", {}, "etag", now, now)
            instances.insert_instance(tx, instance)
            run = Run(
                id=new_id(),
                instance_id=instance.id,
                experiment=experiment,
                state=RunState.PENDING,
                configuration_json='{"a": 1}',
                policy=policies.resolve(asked),
                seed=7,
                labels={},
                create_time_us=now,
                last_sequence=1,
            )
            runs.insert_run(tx, run)
            events.append_events(tx, [(run.id, [codec.state_change(1, 0, now, RunState.PENDING, "StartRun")])])
            for topic in (f"run:{run.id}", "runs", "instances", "work"):
                tx.wake(topic)
            return run.id

        return self.database.do(start)

    def cancel(self, run_id: str, reason: str = "enough") -> None:
        self.database.do(lambda tx: run_calls.request_cancel(tx, run_id, reason))

    # What runners do.

    async def connect(self, hello: Hello, *experiments: str) -> Session:
        """Open a session, take its Welcome, and report experiments."""
        session = await self.side.sessions.open(hello)
        welcome = await said(session)
        assert isinstance(welcome, Welcome)
        for name in experiments:
            await self.side.control.take(session, Experiment(name))
        return session

    async def beat(self, session: Session, *lease_ids: str, **more: Any) -> HeartbeatReply:
        """Send a heartbeat and return its answer; what the session is told before that is passed over."""
        await self.side.control.take(
            session, Heartbeat(1, lease_ids, more.get("gone", ()), more.get("draining", False))
        )
        while not isinstance(message := await said(session), HeartbeatReply):
            pass
        return message

    async def assigned(self, session: Session) -> Assignment:
        """Wait for the next assignment."""
        message = await said(session)
        while isinstance(message, HeartbeatReply):
            message = await said(session)
        assert isinstance(message, Assignment), message
        return message

    @asynccontextmanager
    async def alive(self, *sessions: Session) -> AsyncIterator[None]:
        """Send heartbeats for these sessions meanwhile; nobody reads the answers."""

        async def beat() -> None:
            while True:
                for session in sessions:
                    held = tuple(session.leases)
                    await self.side.control.take(session, Heartbeat(0, held, (), False))
                await asyncio.sleep(self.timings.heartbeat_interval)

        beating = asyncio.create_task(beat(), name="heartbeats")
        try:
            yield
        finally:
            beating.cancel()
            await asyncio.wait({beating})

    async def take_up(self, session: Session) -> tuple[Assignment, Script]:
        """Wait for the next assignment and begin to write its events."""
        assignment = await self.assigned(session)
        return assignment, Script(assignment.lease_id, assignment.next_sequence, assignment.attempt)

    # What the database has.

    def run(self, run_id: str) -> Run:
        run = self.database.look(lambda tx: runs.get_run(tx, run_id))
        assert run is not None
        return run

    def lease(self, lease_id: str) -> Lease:
        return self.database.look(lambda tx: leases.get_leases(tx, [lease_id]))[lease_id]

    def log(self, run_id: str) -> list[run_event_pb2.RunEvent]:
        """Return the run's log, having seen that it is 1..n."""
        page = self.database.look(
            lambda tx: events.read_events(tx, run_id, filter=EventFilter(), limit=100_000, max_bytes=1 << 30)
        )
        read = [run_event_pb2.RunEvent.FromString(row.payload) for row in page.items]
        assert [event.sequence for event in read] == list(range(1, len(read) + 1))
        assert self.run(run_id).last_sequence == len(read)
        return read

    def kinds(self, run_id: str) -> list[str]:
        """Return what each event of the log is, in one word."""
        return [event.WhichOneof("event") or "" for event in self.log(run_id)]

    def results(self, run_id: str, *, superseded: bool = False) -> list[str]:
        page = self.database.look(
            lambda tx: results.list_results(tx, run_id, include_superseded=superseded, limit=1000, max_bytes=1 << 30)
        )
        return [row.key or "" for row in page.items]

    def change(self, run_id: str, **columns: Any) -> None:
        self.database.do(lambda tx: runs.update_run(tx, run_id, **columns))


async def said(session: Session) -> ToRunner:
    """Return the next thing that a session is told."""
    async with asyncio.timeout(60):
        message = await session.outbox.get()
    assert message is not None, f"the session was ended: {session.error}"
    return message


async def answered(stream: Any) -> Any:
    """Return the next answer of a Report stream."""
    async with asyncio.timeout(60):
        report = await stream.outbox.get()
    assert report is not None, f"the stream was ended: {stream.error}"
    return report


def copy_of(record: Any, **changes: Any) -> Any:
    """Return a record with some fields changed."""
    return replace(record, **changes)
