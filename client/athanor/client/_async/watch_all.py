"""Watching all runs or all instances: one iterator, however many connections that takes."""

from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar

import grpc

from athanor.client import _backoff, _decode, _outage, _status
from athanor.client._async import transport
from athanor.client._async.closing import AsyncClosing
from athanor.client._async.watch import Ports
from athanor.client._outage import Interruption
from athanor.client.changes import (
    Begun,
    InstanceChanged,
    InstanceDeleted,
    InstancesItem,
    RunChanged,
    RunDeleted,
    RunsItem,
    Synced,
)
from athanor.client.errors import AthanorError, ProtocolError
from athanor.v1 import instance_service_pb2, run_service_pb2

Item = TypeVar("Item", bound=RunsItem | InstancesItem)


class AsyncChangeWatch(AsyncClosing, Generic[Item]):
    """An asynchronous iterator over what stands and what changes; see `athanor.client.changes` for its items.

    It goes on until it is left: by stopping to iterate, `aclose`, or the end of `async with`. When the connection
    breaks, or the orchestrator restarts, it connects again and begins again with Begun. Not for use by several tasks
    at once.
    """

    def __init__(
        self,
        open_call: Callable[[], transport.WatchCall],
        decode: Callable[[Any], Item | None],
        *,
        target: str,
        connect_for: float = 10.0,
        give_up_after: float | None = None,
        on_interruption: Callable[[Interruption], None] | None = None,
        ports: Ports | None = None,
    ) -> None:
        self._open_call = open_call
        self._decode = decode
        self._target = target
        self._orchestrators = target.count(",") + 1
        self._connect_for = connect_for
        self._give_up_after = give_up_after
        self._on_interruption = on_interruption
        self._ports = ports or Ports()

        self._call: transport.WatchCall | None = None
        self._at_start = True  # nothing has come on this stream yet
        self._reached = False  # something has come on some stream
        self._queue = deque[Item | Begun]()
        self._ended = False
        self._outage = _outage.Outage()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item | Begun:
        while True:
            if self._queue:
                return self._queue.popleft()
            if self._ended:
                raise StopAsyncIteration
            await self._advance()

    async def aclose(self) -> None:
        """End the watching."""
        self._ended = True
        self._queue.clear()
        self._drop_call()

    async def _advance(self) -> None:
        """Take one response from the stream, or deal with the end of the stream."""
        if self._call is None:
            self._call = self._open_call()
            self._at_start = True
        try:
            # No limit here: where nothing changes nothing is sent. gRPC's keepalive notices a connection that is dead.
            response = await self._call.read()
            if response is transport.EOF:
                raise ProtocolError("the orchestrator ended a stream that has no end")
            self._accept(response)
        except grpc.RpcError as error:
            answer = _status.read(error)
            failure = _status.exception(answer, target=self._target, timeout=0)
            await self._interrupted(_outage.judge(answer), failure)
        except ProtocolError as error:
            await self._interrupted(_outage.Verdict.DOUBTFUL, error)
        except transport.Interrupt:
            # Cancelling a read cancels the stream: the next item, if there is to be one, comes on another.
            self._drop_call()
            raise

    def _accept(self, response: Any) -> None:
        self._outage.reached()
        self._reached = True
        if self._at_start:
            self._at_start = False
            self._queue.append(Begun())
        item = self._decode(response)
        if isinstance(item, Synced):
            self._outage.over()  # before that, all of it may break at the same item each time
        if item is not None:
            self._queue.append(item)

    async def _interrupted(self, verdict: _outage.Verdict, error: AthanorError) -> None:
        """Wait before the next try; or give up by raising `error`."""
        self._drop_call()
        limit = self._give_up_after if self._reached else self._connect_for
        if not self._outage.worth_another_try(verdict, self._ports.clock(), limit):
            self._ended = True
            raise error from None  # a traceback through gRPC helps nobody; it is in the context
        rounds, another = divmod(self._outage.failures, self._orchestrators)
        if another:
            return  # which need not be waited for
        delay = _backoff.delay(rounds)
        if self._on_interruption:
            self._on_interruption(Interruption(error, rounds, delay))
        await self._ports.sleep(delay)

    def _drop_call(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None


def runs_item(response: run_service_pb2.WatchRunsResponse) -> RunsItem | None:
    """An item of a watch of runs; None for something newer than this client."""
    match response.WhichOneof("item"):
        case "run":
            return RunChanged(_decode.run(response.run))
        case "deleted":
            return RunDeleted(response.deleted.id)
        case "synced":
            return Synced()
        case _:
            return None


def instances_item(response: instance_service_pb2.WatchInstancesResponse) -> InstancesItem | None:
    """An item of a watch of instances; None for something newer than this client."""
    match response.WhichOneof("item"):
        case "instance":
            return InstanceChanged(_decode.instance(response.instance))
        case "deleted":
            return InstanceDeleted(response.deleted.id)
        case "synced":
            return Synced()
        case _:
            return None
