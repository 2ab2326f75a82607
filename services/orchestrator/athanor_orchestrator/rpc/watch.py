"""What watches send, and their end when the orchestrator stops. Events are sent as they are stored, never rebuilt."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import TypeVar

from athanor.v1 import instance_service_pb2, watch_pb2
from athanor.v1 import run_service_pb2 as pb

from athanor_orchestrator.domain.errors import Stopping
from athanor_orchestrator.domain.records import EventFilter, Instance, ResourceFilter, Run
from athanor_orchestrator.engine.subscription import (
    BatchItem,
    Item,
    PositionItem,
    ProgressItem,
    RunItem,
    Subscriptions,
)
from athanor_orchestrator.engine.watching import Gone, Standing, Synced, Watching
from athanor_orchestrator.rpc import convert

logger = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")


class Watches:
    """The open watch streams of this process, of every kind."""

    def __init__(self, subscriptions: Subscriptions, watching: Watching) -> None:
        self._subscriptions = subscriptions
        self._watching = watching
        self._stop = _Stop()
        self.open = 0  # streams that are open now
        self.opened = 0  # streams that were ever opened

    def stop(self) -> None:
        """End every stream with UNAVAILABLE; its reader goes on from its position elsewhere, or later."""
        self._stop.set()

    def follow(
        self, run_id: str, after_sequence: int, filter: EventFilter
    ) -> AsyncGenerator[pb.WatchRunResponse | bytes, None]:
        """Send a run from a position on, until it has ended. Raises NotFound, PositionOutOfRange, Stopping."""
        items = self._subscriptions.follow(run_id, after_sequence, filter)
        return self._serve(f"run {run_id} after {after_sequence}", items, response)

    def runs(
        self, filter: ResourceFilter, *, active_only: bool, full: bool
    ) -> AsyncGenerator[pb.WatchRunsResponse, None]:
        """Send runs as they stand and as they change. Raises WatchOutrun, Stopping."""

        def sent(item: Standing[Run] | Gone | Synced) -> pb.WatchRunsResponse:
            match item:
                case Standing(run):
                    return pb.WatchRunsResponse(run=convert.run(run, full=full))
                case Gone(id):
                    return pb.WatchRunsResponse(deleted=watch_pb2.Deleted(id=id))
                case Synced():
                    return pb.WatchRunsResponse(synced=watch_pb2.Synced())

        return _one_by_one(
            self._serve("all runs", self._watching.runs(filter, active_only=active_only, full=full), _each(sent))
        )

    def instances(self, filter: ResourceFilter) -> AsyncGenerator[instance_service_pb2.WatchInstancesResponse, None]:
        """Send instances as they stand and as they change. Raises WatchOutrun, Stopping."""
        return _one_by_one(self._serve("all instances", self._watching.instances(filter), _each(_instance_response)))

    async def _serve(
        self, what: str, items: AsyncGenerator[T, None], sent: Callable[[T], R]
    ) -> AsyncGenerator[R, None]:
        self.open += 1
        self.opened += 1
        logger.debug("watch opened: %s; %d open, %d so far", what, self.open, self.opened)
        try:
            async for item in self._stop.pass_on(items):
                yield sent(item)
        finally:
            self.open -= 1
            logger.debug("watch closed: %s; %d open", what, self.open)


class _Stop:
    """The end of all streams of this process."""

    def __init__(self) -> None:
        self._come = False
        self._waiting: set[asyncio.Timeout] = set()

    def set(self) -> None:
        """Let it come."""
        if self._come:
            return
        self._come = True
        for scope in self._waiting:
            scope.reschedule(0)

    async def pass_on(self, items: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        """Pass items on until there are no more; raise Stopping as soon as the end has come."""
        try:
            while not self._come:
                # A timeout that only `set` lets run out: a task for each item would cost more than sending it.
                scope = asyncio.timeout(None)
                try:
                    async with scope:
                        self._waiting.add(scope)
                        item = await anext(items)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    if scope.expired():
                        break
                    raise
                finally:
                    self._waiting.discard(scope)
                yield item
            raise Stopping
        finally:
            await items.aclose()


async def _one_by_one(parts: AsyncGenerator[Iterable[R], None]) -> AsyncGenerator[R, None]:
    """Pass on what comes a few at a time, each by itself."""
    try:
        async for part in parts:
            for one in part:
                yield one
    finally:
        await parts.aclose()


def _each(sent: Callable[[T], R]) -> Callable[[Iterable[T]], Iterable[R]]:
    """Make of each when it is asked for: of a page, no more than one is held as a message."""
    return lambda items: map(sent, items)


def _instance_response(item: Standing[Instance] | Gone | Synced) -> instance_service_pb2.WatchInstancesResponse:
    match item:
        case Standing(instance):
            return instance_service_pb2.WatchInstancesResponse(instance=convert.instance(instance))
        case Gone(id):
            return instance_service_pb2.WatchInstancesResponse(deleted=watch_pb2.Deleted(id=id))
        case Synced():
            return instance_service_pb2.WatchInstancesResponse(synced=watch_pb2.Synced())


def response(item: Item) -> pb.WatchRunResponse | bytes:
    """Return an item as it is sent."""
    match item:
        case RunItem(run):
            return pb.WatchRunResponse(run=convert.run(run))
        case BatchItem(message=message):
            return message
        case ProgressItem(progress):
            return pb.WatchRunResponse(progress=convert.progress(progress))
        case PositionItem(sequence, server_time_us):
            position = watch_pb2.Position(sequence=sequence, server_time=convert.timestamp(server_time_us))
            return pb.WatchRunResponse(position=position)
