"""A runner that does what a test tells it, message by message, on real streams.

async with ScriptedRunner(channel) as runner:
    welcome = await runner.hello(1)
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Self

from athanor.runner.v1 import dispatch_service_pb2 as pb
from athanor.runner.v1 import dispatch_service_pb2_grpc
from athanor_orchestrator.domain.ids import new_id
from athanor_orchestrator.engine.messages import EventBatch
from grpc import aio

from tests.support.runner_script import Script

SECONDS = 20  # to wait for any message


class ReportCall:
    """One Report stream."""

    def __init__(self, call: Any) -> None:
        self.call = call

    async def send(self, *batches: EventBatch, progress: Sequence[pb.ProgressReport] = ()) -> None:
        """Deliver batches, and progress."""
        said = [pb.EventBatch(lease_id=b.lease_id, first_sequence=b.first_sequence, events=b.events) for b in batches]
        await self.call.write(pb.ReportRequest(delivery=pb.Delivery(batches=said, progress=progress)))

    async def answer(self) -> pb.ReportResponse:
        """Return the next answer."""
        async with asyncio.timeout(SECONDS):
            answer = await self.call.read()
        assert answer is not aio.EOF, "the stream has ended"
        return answer

    async def acknowledged(self, lease_id: str, sequence: int) -> None:
        """Read answers until a run is durable up to `sequence`."""
        while True:
            for one in (await self.answer()).acknowledgements:
                if one.lease_id == lease_id and one.committed_sequence >= sequence:
                    return


class ScriptedRunner:
    """One session of one runner."""

    def __init__(self, channel: aio.Channel, runner_id: str | None = None) -> None:
        self.runner_id = runner_id or new_id()
        self.stub = dispatch_service_pb2_grpc.DispatchServiceStub(channel)
        self.connect: Any = self.stub.Connect()
        self.session_id = ""
        self._reports: list[Any] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for call in (self.connect, *self._reports):
            call.cancel()

    async def say(self, **message: Any) -> None:
        """Send one message on Connect."""
        await self.connect.write(pb.ConnectRequest(**message))

    async def heard(self) -> pb.ConnectResponse:
        """Return the next message on Connect."""
        async with asyncio.timeout(SECONDS):
            message = await self.connect.read()
        assert message is not aio.EOF, "the stream has ended"
        return message

    async def hear(self, kind: str) -> Any:
        """Return the next message of a kind, passing over others."""
        while True:
            message = await self.heard()
            if message.WhichOneof("message") == kind:
                return getattr(message, kind)

    async def hello(
        self, number: int = 1, *held: pb.HeldAttempt, slots: int = 4, low: int = 1, high: int = 1
    ) -> pb.ConnectResponse:
        """Introduce itself and return the answer."""
        await self.say(
            hello=pb.Hello(
                runner_id=self.runner_id,
                display_name="host",
                session_number=number,
                protocol_min=low,
                protocol_max=high,
                version="0.1",
                slots=slots,
                held_attempts=held,
            )
        )
        answer = await self.heard()
        self.session_id = answer.welcome.session_id
        return answer

    async def define(self, name: str, schema: str = "{}") -> None:
        """Report an experiment."""
        experiment = {"name": name, "configuration_schema_json": schema, "default_configuration_json": "{}"}
        await self.say(definition={"experiment": experiment})

    async def beat(self, *lease_ids: str, nonce: int = 1, gone: Sequence[str] = (), draining: bool = False) -> Any:
        """Send a heartbeat and return its answer."""
        await self.say(heartbeat=pb.Heartbeat(nonce=nonce, lease_ids=lease_ids, gone_lease_ids=gone, draining=draining))
        return await self.hear("heartbeat_reply")

    async def take_up(self) -> tuple[pb.Assignment, Script]:
        """Wait for an assignment and begin to write its events."""
        assignment = await self.hear("assignment")
        return assignment, Script(assignment.lease_id, assignment.next_sequence, assignment.attempt)

    async def report(self, session_id: str | None = None) -> ReportCall:
        """Open a Report stream and take its first answer."""
        call: Any = self.stub.Report()
        self._reports.append(call)
        await call.write(pb.ReportRequest(open=pb.Open(session_id=session_id or self.session_id)))
        report = ReportCall(call)
        if session_id is None:
            self.opening = await report.answer()
        return report
