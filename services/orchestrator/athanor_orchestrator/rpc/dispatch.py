"""The runners' service. Each stream is read by one task and written by one; what is said is the engine's business."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from athanor.runner.v1 import dispatch_service_pb2 as pb
from athanor.runner.v1 import dispatch_service_pb2_grpc
from google.protobuf.message import DecodeError

from athanor_orchestrator.domain.errors import InvalidFields, Violation
from athanor_orchestrator.engine.hello import HelloRefused
from athanor_orchestrator.engine.report_stream import ReportStream
from athanor_orchestrator.engine.runner_side import RunnerSide
from athanor_orchestrator.engine.sessions import Session
from athanor_orchestrator.rpc import convert_dispatch as convert

if TYPE_CHECKING:
    from grpc.aio import ServicerContext

logger = logging.getLogger(__name__)

T = TypeVar("T")


class DispatchServicer(dispatch_service_pb2_grpc.DispatchServiceServicer):
    """Speaks with runners."""

    def __init__(self, runner_side: RunnerSide) -> None:
        self._side = runner_side
        self.ignored = 0  # messages that this version does not know

    # Coroutines that write to the context, which grpc.aio takes as well as the generators that the stub declares.
    async def Connect(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        request_iterator: AsyncIterator[pb.ConnectRequest],
        context: "ServicerContext[pb.ConnectRequest, pb.ConnectResponse]",
    ) -> None:
        """Hold a runner's session until its stream ends, or a newer session takes its place."""
        requests = _readable(request_iterator)
        first = await anext(requests, None)
        if first is None:
            return
        if first.WhichOneof("message") != "hello":
            raise InvalidFields(Violation("hello", "must be the first message"))

        try:
            session = await self._side.sessions.open(convert.hello(first.hello))
        except HelloRefused as refused:
            logger.warning("runner %s was refused: %s", first.hello.runner_id, refused)
            await context.write(convert.refusal(refused.reason, refused.retry_after))
            return

        try:
            await _both(
                f"connect {session.runner_id}",
                read=partial(self._listen, session, requests),
                read_ended=session.outbox.close,
                write=partial(_speak, session, context.write),
            )
        finally:
            self._side.sessions.close(session)
        if session.error is not None:
            raise session.error

    async def Report(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        request_iterator: AsyncIterator[pb.ReportRequest],
        context: "ServicerContext[pb.ReportRequest, pb.ReportResponse]",
    ) -> None:
        """Take in events until the stream ends, or its session is superseded."""
        requests = _readable(request_iterator)
        first = await anext(requests, None)
        if first is None:
            return
        if first.WhichOneof("message") != "open":
            raise InvalidFields(Violation("open", "must be the first message"))

        stream = await self._side.intake.open(self._side.sessions.find(first.open.session_id))
        try:
            await _both(
                f"report {stream.session.runner_id}",
                read=partial(self._take_in, stream, requests),
                read_ended=stream.close,
                write=partial(_answer, stream, context.write),
            )
        finally:
            stream.close()
        if stream.error is not None:
            raise stream.error

    async def _listen(self, session: Session, requests: AsyncIterator[pb.ConnectRequest]) -> None:
        async for request in requests:
            message = convert.from_runner(request)
            if message is None:
                self._ignore(session)
            else:
                await self._side.control.take(session, message)

    async def _take_in(self, stream: ReportStream, requests: AsyncIterator[pb.ReportRequest]) -> None:
        async for request in requests:
            if request.WhichOneof("message") == "delivery":
                delivery = convert.delivery(request.delivery)
                del request  # the events are held once
                await self._side.intake.deliver(stream, delivery)
            else:
                self._ignore(stream.session)

    def _ignore(self, session: Session) -> None:
        self.ignored += 1
        logger.debug("runner %s sent a message that is not known here", session.runner_id)


async def _readable(requests: AsyncIterator[T]) -> AsyncIterator[T]:
    """Pass messages on. Raises InvalidFields for one that is none: the runner's fault, and not this one's."""
    try:
        async for request in requests:
            yield request
    except DecodeError:
        raise InvalidFields(
            Violation("", "the message is not of this protocol, or a text in it is not UTF-8")
        ) from None


async def _speak(session: Session, write: Callable[[pb.ConnectResponse], Awaitable[None]]) -> None:
    while (message := await session.outbox.get()) is not None:
        await write(convert.to_runner(message))


async def _answer(stream: ReportStream, write: Callable[[pb.ReportResponse], Awaitable[None]]) -> None:
    while (report := await stream.outbox.get()) is not None:
        await write(convert.report(report))


async def _both(
    name: str,
    *,
    read: Callable[[], Awaitable[None]],
    read_ended: Callable[[], None],
    write: Callable[[], Awaitable[None]],
) -> None:
    """Read and write one stream until either side has ended."""

    async def read_to_end() -> None:
        try:
            await read()
        finally:
            read_ended()

    try:
        async with asyncio.TaskGroup() as tasks:
            reader = tasks.create_task(read_to_end(), name=f"{name}: read")
            try:
                await write()
            finally:
                reader.cancel()
    except ExceptionGroup as group:
        raise group.exceptions[0] from None  # the other side was stopped for it
