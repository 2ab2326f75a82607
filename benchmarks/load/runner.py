"""A runner whose runs are a tape: it holds a session and leases, ships what is due, and goes back where it is told to.

It cuts deliveries as the real one does: a share of each for every run that has something, small ones when the
one before has been answered, and no more of one run under way than Welcome allows.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from athanor.runner.v1 import dispatch_service_pb2 as pb
from athanor.runner.v1 import dispatch_service_pb2_grpc
from athanor_runner.pace import Pace
from athanor_runner.settings import Timings
from grpc import aio

from benchmarks.load.tape import Tape, delivery, lease_field

_IDLE_S = 0.005  # how often it looks whether anything is due when nothing was
_BUDGET = 1792 * 1024  # bytes of events in one delivery: what a runner makes of the 3 MiB that it may send
_AT_ONCE = 1000  # events of one run in one delivery

OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),  # a connection of its own for each runner, as if each were a process
    ("grpc.http2.bdp_probe", 0),
    ("grpc.keepalive_time_ms", 10_000),
)


class LoadRun:
    """One run under its lease: what of the tape is due, sent and acknowledged, counted in events."""

    __slots__ = ("acknowledged", "begin", "lease", "lease_id", "rate", "run_id", "sent", "tape")

    def __init__(self, assignment: pb.Assignment) -> None:
        self.run_id = assignment.run_id
        self.lease_id = assignment.lease_id
        self.lease = lease_field(assignment.lease_id)
        self.tape: Tape | None = None  # set when it may begin, at `begin` by the loop's clock
        self.begin = 0.0
        self.rate = 0.0
        self.sent = 0
        self.acknowledged = 0

    def start(self, tape: Tape, begin: float, rate: float) -> None:
        """Begin with the tape at a moment, so many events a second."""
        self.begin, self.rate = begin, rate
        self.tape = tape

    def due(self, now: float) -> int:
        """Return how many events it has recorded by now. The first is due at `begin`."""
        if self.tape is None or now < self.begin:
            return 0
        return min(self.tape.events, int((now - self.begin) * self.rate) + 1)

    @property
    def over(self) -> bool:
        """True when all of it is acknowledged."""
        return self.tape is not None and self.acknowledged >= self.tape.events


# Told of each acknowledgement: the run, how many were acknowledged before, and the moment.
OnAcknowledged = Callable[[LoadRun, int, float], None]


class LoadRunner:
    """One session of one runner."""

    def __init__(self, target: str, runner_id: str, slots: int, experiment: str, on_acknowledged: OnAcknowledged):
        self.runner_id = runner_id
        self.runs: dict[str, LoadRun] = {}  # by lease
        self.assigned: asyncio.Queue[tuple[LoadRun, float]] = asyncio.Queue()  # with the moments of their coming
        self.deliveries = 0
        self.rewinds = 0
        self.fences: list[str] = []
        self._slots = slots
        self._experiment = experiment
        self._on_acknowledged = on_acknowledged
        self._channel = aio.insecure_channel(target, options=OPTIONS)
        self._connect: Any = dispatch_service_pb2_grpc.DispatchServiceStub(self._channel).Connect()
        # Written as bytes: messages are cut from the tape, not built.
        self._report: Any = self._channel.stream_stream(
            "/athanor.runner.v1.DispatchService/Report", response_deserializer=pb.ReportResponse.FromString
        )()
        self._turn: deque[LoadRun] = deque()  # the one whose turn it is first
        self._window = 0
        self._pace = Pace(Timings().answer)
        self._news = asyncio.Event()  # an answer
        self._all_over = asyncio.Event()

    @asynccontextmanager
    async def session(self) -> AsyncIterator["LoadRunner"]:
        """Hold a session; whatever breaks it is raised at its end."""
        welcome = await self._introduce()
        self._window = welcome.max_unacknowledged_bytes
        interval = welcome.heartbeat_interval.ToTimedelta().total_seconds()
        try:
            async with asyncio.TaskGroup() as tasks:
                loops = [
                    tasks.create_task(loop, name=f"{name} {self.runner_id}")
                    for name, loop in {
                        "control": self._read_control(),
                        "heartbeats": self._beat(interval),
                        "answers": self._read_answers(),
                        "deliveries": self._deliver(welcome.session_id),
                    }.items()
                ]
                yield self
                # Before the loops are stopped: a read that is cancelled cancels its call.
                await self._connect.write(pb.ConnectRequest(goodbye=pb.Goodbye(reason="done")))
                for loop in loops:
                    loop.cancel()
        finally:
            self._report.cancel()
            await self._channel.close(1)

    async def _introduce(self) -> pb.Welcome:
        hello = pb.Hello(
            runner_id=self.runner_id,
            display_name="load",
            session_number=1,
            protocol_min=1,
            protocol_max=1,
            version="load",
            slots=self._slots,
        )
        await self._connect.write(pb.ConnectRequest(hello=hello))
        answer = await self._connect.read()
        assert answer is not aio.EOF
        assert answer.HasField("welcome"), answer
        known = {"name": self._experiment, "configuration_schema_json": "{}", "default_configuration_json": "{}"}
        await self._connect.write(pb.ConnectRequest(definition=pb.Definition(experiment=known)))
        return answer.welcome

    async def all_over(self) -> None:
        """Wait until every run that was assigned is acknowledged to its end."""
        while not all(run.over for run in self.runs.values()):
            self._all_over.clear()
            await self._all_over.wait()

    async def _read_control(self) -> None:
        loop = asyncio.get_running_loop()
        while (message := await self._connect.read()) is not aio.EOF:
            if message.HasField("assignment"):
                run = LoadRun(message.assignment)
                self.runs[run.lease_id] = run
                self._turn.append(run)
                self.assigned.put_nowait((run, loop.time()))
            elif message.HasField("heartbeat_reply"):
                self.fences += [fence.reason for fence in message.heartbeat_reply.fences]
        raise ConnectionError("the session ended")

    async def _beat(self, interval: float) -> None:
        nonce = 0
        while True:
            nonce += 1
            held = [run.lease_id for run in self.runs.values() if not run.over]
            await self._connect.write(pb.ConnectRequest(heartbeat=pb.Heartbeat(nonce=nonce, lease_ids=held)))
            await asyncio.sleep(interval)

    async def _read_answers(self) -> None:
        loop = asyncio.get_running_loop()
        while (answer := await self._report.read()) is not aio.EOF:
            now = loop.time()
            self._pace.answered()
            self._news.set()
            for word in answer.acknowledgements:
                self._acknowledged(word, now)
            self.fences += [fence.reason for fence in answer.fences]
        raise ConnectionError("Report ended")

    def _acknowledged(self, word: pb.Acknowledgement, now: float) -> None:
        run = self.runs.get(word.lease_id)
        if run is None or run.tape is None:
            return
        before, run.acknowledged = run.acknowledged, word.committed_sequence - Tape.sequence(0)
        if word.rewind:
            self.rewinds += 1
            run.sent = run.acknowledged
        elif run.acknowledged > before:
            self._on_acknowledged(run, before, now)
            if run.over:
                self._all_over.set()

    async def _deliver(self, session_id: str) -> None:
        loop = asyncio.get_running_loop()
        await self._report.write(pb.ReportRequest(open=pb.Open(session_id=session_id)).SerializeToString())
        while True:
            now = loop.time()
            self._news.clear()
            pause = self._pace.pause(now, self._unsent(now))
            batches = self._cut(now) if pause <= 0 else []
            if not batches:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause or _IDLE_S):
                        await self._news.wait()
                continue
            self.deliveries += 1
            self._pace.sent(now)
            await self._report.write(delivery(batches))

    def _unsent(self, now: float) -> int:
        """Return how many bytes are due and may be under way."""
        size = 0
        for run in self._turn:
            due = run.due(now)
            if run.tape is not None and due > run.sent and run.tape.size(run.acknowledged, due) <= self._window:
                size += run.tape.size(run.sent, due)
        return size

    def _cut(self, now: float) -> list[bytes]:
        """Take what is due, of each run in turn, as much as fits and may be under way."""
        batches: list[bytes] = []
        size = 0
        for _ in range(len(self._turn)):
            run = self._turn[0]
            due = min(run.due(now), run.sent + _AT_ONCE)
            if due > run.sent and run.tape is not None:
                added = run.tape.size(run.sent, due)
                if size + added > _BUDGET:
                    break
                if run.tape.size(run.acknowledged, due) <= self._window:
                    batches.append(run.tape.batch(run.lease, run.sent, due))
                    run.sent = due
                    size += added
            self._turn.rotate(-1)
        return batches
