"""What tests of the runner need: an orchestrator that does what the test says, and runners as real processes.

The double speaks DispatchService through a real gRPC server and keeps what it got, by the rules of the protocol: it
stores what follows, skips what it has, asks for the rest again, and judges what a Hello names. It restarts on the same
port with everything it stored.
"""

import asyncio
import contextlib
import hashlib
import os
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from athanor.runner.v1 import dispatch_service_pb2 as pb
from athanor.runner.v1 import dispatch_service_pb2_grpc as dispatch
from athanor.v1 import run_event_pb2, run_pb2, run_policy_pb2
from grpc import aio

ZERO = bytes(32)

# The runner's patience, shortened: seconds.
QUICK = {
    "ATHANOR_RUNNER_KILL_DELAY": "0.3",
    "ATHANOR_RUNNER_WATCH": "0.2",
    "ATHANOR_RUNNER_RECONNECT_MOST": "0.3",
    "ATHANOR_RUNNER_TREE_POLL": "0.2",
    "ATHANOR_RUNNER_SHIP": "3",
}


@dataclass
class Granted:
    """A lease that the double granted, and what came of it."""

    lease_id: str
    run_id: str
    attempt: int
    first_sequence: int
    events: list[bytes] = field(default_factory=list)  # stored, in order
    progress: list[run_pb2.Progress] = field(default_factory=list)
    fenced: str = ""  # why
    declined: pb.Decline | None = None
    gone: bool = False  # a heartbeat said so
    cancel: str | None = None  # the standing cancellation
    repeats: int = 0  # events that came although they were stored

    @property
    def last_sequence(self) -> int:
        return self.first_sequence - 1 + len(self.events)

    @property
    def parsed(self) -> list[run_event_pb2.RunEvent]:
        return [run_event_pb2.RunEvent.FromString(event) for event in self.events]

    @property
    def ended(self) -> run_event_pb2.AttemptEnded | None:
        if not self.events:
            return None
        last = run_event_pb2.RunEvent.FromString(self.events[-1])
        return last.attempt_ended if last.HasField("attempt_ended") else None

    @property
    def lines(self) -> list[str]:
        return [event.log.message for event in self.parsed if event.HasField("log")]

    def check_log(self) -> None:
        """The log is whole: no gap, the attempt's own, one end and that last, count and digest right."""
        parsed = self.parsed
        assert [event.sequence for event in parsed] == list(range(self.first_sequence, self.last_sequence + 1))
        assert {event.attempt for event in parsed} == {self.attempt}
        assert [event.HasField("attempt_ended") for event in parsed] == [False] * (len(parsed) - 1) + [True]
        end = self.ended
        assert end is not None
        assert end.event_count == len(parsed)
        chain = ZERO
        for event in self.events[:-1]:
            chain = hashlib.sha256(chain + event).digest()
        assert end.digest == chain


class Orchestrator(dispatch.DispatchServiceServicer):
    """The double."""

    def __init__(self) -> None:
        self.port = 0
        self.leases: dict[str, Granted] = {}
        self.hellos: list[pb.Hello] = []
        self.heartbeats: list[pb.Heartbeat] = []
        self.goodbyes: list[pb.Goodbye] = []
        self.definitions: list[pb.Definition] = []
        self.deliveries: list[int] = []  # sizes
        self.opened_reports = 0
        self.verdicts: dict[str, pb.Verdict] = {}  # instead of what the double would say
        self.rewinds: list[str] = []  # leases whose next batch is answered with a rewind and dropped
        self.refusal: pb.Refusal | None = None
        self.acknowledging = True
        self.answering = True  # heartbeats
        self.heartbeat_interval = 0.2
        self.max_unacknowledged_bytes = 8 << 20
        self._server: aio.Server | None = None
        self._sessions: dict[str, asyncio.Queue[pb.ConnectResponse | None]] = {}  # by session id
        self._newest = ""
        self._reports: set[asyncio.Queue[Any]] = set()
        self.changed = asyncio.Event()
        self._fault: BaseException | None = None  # of the double itself: what came was not by the protocol

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Serves, on the port it had before if there was one."""
        self._server = aio.server(options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 4 << 20)])
        dispatch.add_DispatchServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def stop(self) -> None:
        """Is gone, as after kill -9: nobody is told anything."""
        if self._server is not None:
            await self._server.stop(None)
        self._server = None
        self._sessions.clear()
        self._reports.clear()
        self._newest = ""

    # What a test asks for.

    async def until(self, condition: Callable[[], Any], what: str = "", timeout: float = 20.0) -> Any:
        """Waits until a condition holds, and returns what it returned."""
        deadline = time.monotonic() + timeout
        while not (found := condition()):
            if self._fault is not None:
                raise self._fault
            assert time.monotonic() < deadline, f"waited {timeout:g} s in vain {what}"
            self.changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    await self.changed.wait()
        return found

    async def connected(self, count: int = 1) -> None:
        """Waits for this many sessions in all, the newest of them alive."""
        await self.until(lambda: len(self.hellos) >= count and self._newest, f"for session {count}")

    async def knows(self, *names: str) -> None:
        """Waits for these experiments."""
        await self.until(lambda: {*names} <= self.experiments, f"for {names}")

    @property
    def experiments(self) -> set[str]:
        known: set[str] = set()
        for definition in self.definitions:
            if definition.HasField("experiment"):
                known.add(definition.experiment.name)
            if definition.HasField("removal"):
                known.discard(definition.removal.experiment)
        return known

    async def give(
        self,
        experiment: str,
        configuration: str = "{}",
        *,
        timeout: float | None = None,
        grace: float = 0.3,
        max_attempts: int = 1,
        lost_after: float = 86400.0,
        attempt: int = 1,
        next_sequence: int = 2,
        checkpoint: pb.RestoredCheckpoint | None = None,
    ) -> Granted:
        """Grants a lease and sends it to the newest session."""
        await self.knows(experiment)
        lease = Granted(str(uuid.uuid4()), str(uuid.uuid4()), attempt, next_sequence)
        self.leases[lease.lease_id] = lease
        policy = run_policy_pb2.RunPolicy(max_attempts=max_attempts)
        policy.cancel_grace_period.FromMicroseconds(round(grace * 1e6))
        policy.lost_after.FromMicroseconds(round(lost_after * 1e6))
        if timeout is not None:
            policy.timeout.FromMicroseconds(round(timeout * 1e6))
        self.say(
            pb.ConnectResponse(
                assignment=pb.Assignment(
                    lease_id=lease.lease_id,
                    run_id=lease.run_id,
                    instance_id=str(uuid.uuid4()),
                    instance_name="an instance",
                    attempt=attempt,
                    experiment=experiment,
                    configuration_json=configuration,
                    policy=policy,
                    seed=7,
                    next_sequence=next_sequence,
                    checkpoint=checkpoint,
                )
            )
        )
        return lease

    async def run(self, experiment: str, **options: Any) -> Granted:
        """Grants a lease and waits for its end, which is checked."""
        lease = await self.give(experiment, **options)
        return await self.end_of(lease)

    async def end_of(self, lease: Granted, timeout: float = 30.0) -> Granted:
        """Waits for the end of a lease, and checks its log."""
        await self.until(lambda: lease.ended, f"for the end; so far {lease.lines[-3:]}", timeout)
        lease.check_log()
        return lease

    def cancel(self, lease: Granted, reason: str = "enough") -> None:
        """Requests cancellation."""
        lease.cancel = reason
        self.say(pb.ConnectResponse(cancel=pb.Cancel(lease_id=lease.lease_id, reason=reason)))

    def say(self, message: pb.ConnectResponse) -> None:
        """Sends something to the newest session."""
        self._sessions[self._newest].put_nowait(message)

    def acknowledge_all(self) -> None:
        """Acknowledges again, beginning with what came meanwhile."""
        self.acknowledging = True
        for queue in self._reports:
            queue.put_nowait(self._acknowledgements(self.leases))

    def break_reports(self) -> None:
        """Ends every Report stream."""
        for queue in self._reports:
            queue.put_nowait(None)

    def break_session(self) -> None:
        """Ends the newest Connect stream."""
        self._sessions[self._newest].put_nowait(None)

    # The protocol.

    async def Connect(self, request_iterator: AsyncIterator[pb.ConnectRequest], context: Any) -> AsyncIterator[Any]:
        first = await anext(aiter(request_iterator))
        hello = first.hello
        self.hellos.append(hello)
        if self.refusal is not None:
            yield pb.ConnectResponse(refusal=self.refusal)
            return
        session_id = str(uuid.uuid4())
        outbox: asyncio.Queue[pb.ConnectResponse | None] = asyncio.Queue()
        older, self._newest = self._newest, session_id
        self._sessions[session_id] = outbox
        if older in self._sessions:
            self._sessions[older].put_nowait(None)
        welcome = pb.Welcome(
            protocol=1,
            session_id=session_id,
            max_delivery_bytes=3 << 20,
            max_unacknowledged_bytes=self.max_unacknowledged_bytes,
            verdicts=[self._judge(held) for held in hello.held_attempts],
        )
        welcome.heartbeat_interval.FromMilliseconds(round(self.heartbeat_interval * 1000))
        yield pb.ConnectResponse(welcome=welcome)
        reader = asyncio.create_task(self._hear(request_iterator, outbox), name="double's reader")
        try:
            while (message := await outbox.get()) is not None:
                yield message
            if self._newest not in ("", session_id):
                await context.abort(grpc.StatusCode.ABORTED, "superseded")
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            if self._newest == session_id:
                self._newest = ""
            self._sessions.pop(session_id, None)

    async def _hear(self, requests: AsyncIterator[pb.ConnectRequest], outbox: asyncio.Queue[Any]) -> None:
        async for request in requests:
            match request.WhichOneof("message"):
                case "definition":
                    self.definitions.append(request.definition)
                case "heartbeat":
                    self._beat(request.heartbeat, outbox)
                case "decline":
                    self.leases[request.decline.lease_id].declined = request.decline
                case "goodbye":
                    self.goodbyes.append(request.goodbye)
                    outbox.put_nowait(None)
            self.changed.set()
        outbox.put_nowait(None)

    def _beat(self, heartbeat: pb.Heartbeat, outbox: asyncio.Queue[Any]) -> None:
        self.heartbeats.append(heartbeat)
        if not self.answering:
            return
        for lease_id in heartbeat.gone_lease_ids:
            if lease_id in self.leases:
                self.leases[lease_id].gone = True
        named = [self.leases[lease_id] for lease_id in heartbeat.lease_ids if lease_id in self.leases]
        kept = [self.leases[lease_id] for lease_id, said in self.verdicts.items() if said.HasField("keep")]
        outbox.put_nowait(
            pb.ConnectResponse(
                heartbeat_reply=pb.HeartbeatReply(
                    nonce=heartbeat.nonce,
                    cancels=[pb.Cancel(lease_id=x.lease_id, reason=x.cancel) for x in named if x.cancel is not None],
                    fences=[pb.Fence(lease_id=x.lease_id, reason=x.fenced) for x in (*named, *kept) if x.fenced],
                )
            )
        )

    def _judge(self, held: pb.HeldAttempt) -> pb.Verdict:
        if held.lease_id in self.verdicts:
            return self.verdicts[held.lease_id]
        lease = self.leases.get(held.lease_id)
        if lease is None:
            return pb.Verdict(lease_id=held.lease_id, keep=pb.Keep())
        if lease.ended is not None:
            return pb.Verdict(lease_id=held.lease_id, release=pb.Release())
        if held.unreadable:
            lease.fenced = "its runner cannot read what it has of the attempt"
        if lease.fenced:
            return pb.Verdict(lease_id=held.lease_id, fence=pb.Fence(lease_id=held.lease_id, reason=lease.fenced))
        return pb.Verdict(lease_id=held.lease_id, resume=pb.Resume(next_sequence=lease.last_sequence + 1))

    async def Report(self, request_iterator: AsyncIterator[pb.ReportRequest], context: Any) -> AsyncIterator[Any]:
        first = await anext(aiter(request_iterator))
        if first.open.session_id != self._newest:
            await context.abort(grpc.StatusCode.ABORTED, "superseded")
        self.opened_reports += 1
        outbox: asyncio.Queue[pb.ReportResponse | None] = asyncio.Queue()
        self._reports.add(outbox)
        outbox.put_nowait(self._acknowledgements(self.leases))
        reader = asyncio.create_task(self._take(request_iterator, outbox), name="double's intake")
        try:
            while (message := await outbox.get()) is not None:
                yield message
        finally:
            self._reports.discard(outbox)
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _take(self, requests: AsyncIterator[pb.ReportRequest], outbox: asyncio.Queue[Any]) -> None:
        try:
            await self._take_all(requests, outbox)
        except (AssertionError, LookupError) as error:
            self._fault = error
            raise

    async def _take_all(self, requests: AsyncIterator[pb.ReportRequest], outbox: asyncio.Queue[Any]) -> None:
        dropping: set[str] = set()
        async for request in requests:
            self.deliveries.append(request.ByteSize())
            assert request.ByteSize() <= 3 << 20
            answer = pb.ReportResponse()
            for report in request.delivery.progress:
                self.leases[report.lease_id].progress.append(report.progress)
            for batch in request.delivery.batches:
                lease = self.leases[batch.lease_id]
                if lease.fenced:
                    answer.fences.append(pb.Fence(lease_id=lease.lease_id, reason=lease.fenced))
                    continue
                if batch.first_sequence > lease.last_sequence + 1 and lease.lease_id in dropping:
                    continue
                dropping.discard(lease.lease_id)
                word = pb.Acknowledgement(lease_id=lease.lease_id)
                if lease.lease_id in self.rewinds:
                    self.rewinds.remove(lease.lease_id)
                    word.rewind = True
                elif batch.first_sequence > lease.last_sequence + 1:
                    word.rewind = True
                else:
                    self._store(lease, batch)
                if word.rewind:
                    dropping.add(lease.lease_id)
                word.committed_sequence = lease.last_sequence
                answer.acknowledgements.append(word)
            if self.acknowledging and answer.ByteSize():
                outbox.put_nowait(answer)
            self.changed.set()
        outbox.put_nowait(None)

    def _store(self, lease: Granted, batch: pb.EventBatch) -> None:
        for sequence, event in enumerate(batch.events, batch.first_sequence):
            if sequence <= lease.last_sequence:
                assert lease.events[sequence - lease.first_sequence] == event
                lease.repeats += 1
            else:
                lease.events.append(event)

    def _acknowledgements(self, leases: Mapping[str, Granted]) -> pb.ReportResponse:
        return pb.ReportResponse(
            acknowledgements=[
                pb.Acknowledgement(lease_id=lease_id, committed_sequence=lease.last_sequence)
                for lease_id, lease in leases.items()
                if not lease.fenced
            ]
        )


class Runner:
    """A runner as a process of its own."""

    def __init__(self, process: "asyncio.subprocess.Process", state: Path, log: Path) -> None:
        self.process = process
        self.state = state
        self._log = log

    @classmethod
    async def start(
        cls,
        target: str,
        folder: Path,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> "Runner":
        """Starts one; its state is in `folder`/state, its experiments in `folder`/experiments if that is there."""
        command = [
            *prefix,
            sys.executable,
            "-m",
            "athanor_runner",
            "--target",
            target,
            "--state",
            str(folder / "state"),
        ]
        if (folder / "experiments").is_dir():
            command += ["--path", str(folder / "experiments")]
        log = folder / "runner.log"
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *command,
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                cwd=folder,
                env={**os.environ, **QUICK, **(env or {})},
            )
        return cls(process, folder / "state", log)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Asks it to stop."""
        self.process.send_signal(number)

    async def wait(self, timeout: float = 20.0) -> int:
        """Waits for its end."""
        async with asyncio.timeout(timeout):
            return await self.process.wait()

    async def close(self) -> None:
        """Ends it, whatever it is doing."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


def end_processes_of(leases: Iterable[str]) -> None:
    """Ends what a test that failed has left of its own leases: with the runner gone, nobody else would."""
    for lease_id in leases:
        for pid in processes_of(lease_id):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def processes_of(lease_id: str) -> list[int]:
    """Ids of living processes that carry the marker of a lease."""
    found: list[int] = []
    marker = f"ATHANOR_LEASE_ID={lease_id}".encode()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and marker in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found
