"""Streams for a RunWatch without a server."""

import asyncio
from typing import Any

import grpc
import grpc.aio
from athanor.client._sync import transport
from athanor.v1 import run_event_pb2, run_pb2, run_service_pb2


def rpc_error(code: grpc.StatusCode, message: str = "", trailing: tuple[tuple[str, Any], ...] = ()) -> Exception:
    """What grpc.aio raises."""
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), message)


def run_item(state: int = run_pb2.RUN_STATE_RUNNING, last_sequence: int = 0, **fields: Any) -> Any:
    """A response with the run."""
    run = run_pb2.Run(id="r", state=state, last_sequence=last_sequence, **fields)
    return run_service_pb2.WatchRunResponse(run=run)


def batch_item(*sequences: int) -> Any:
    """A response with log events."""
    logs = {sequence: run_event_pb2.LogEntry(level=20, message=f"m{sequence}") for sequence in sequences}
    events = [run_event_pb2.RunEvent(sequence=sequence, attempt=1, log=log) for sequence, log in logs.items()]
    return run_service_pb2.WatchRunResponse(batch=run_service_pb2.RunEventBatch(events=events))


def position_item(sequence: int) -> Any:
    """A response with a position."""
    return run_service_pb2.WatchRunResponse(position={"sequence": sequence})


def progress_item(current: int) -> Any:
    """A response with progress."""
    return run_service_pb2.WatchRunResponse(progress=run_pb2.Progress(current=current, total=100))


class ScriptedCall:
    """One stream: gives its responses, raises those that are errors; ends regularly, or hangs when told so."""

    def __init__(self, *script: Any, hang: bool = False) -> None:
        self.script = list(script)
        self.hang = hang
        self.cancelled = False
        self.left = False  # the orchestrator that it was read from

    async def read(self) -> Any:
        if self.cancelled:
            raise asyncio.CancelledError
        if not self.script:
            if self.hang:
                await asyncio.Event().wait()
            return grpc.aio.EOF
        item = self.script.pop(0)
        if isinstance(item, BaseException):
            raise item
        return item

    def cancel(self) -> bool:
        self.cancelled = True
        return True

    def leave(self) -> None:
        self.left = True


class Script:
    """The streams that are opened one after the other, and from which positions they were."""

    def __init__(self, *calls: ScriptedCall) -> None:
        self.calls = list(calls)
        self.opened: list[int] = []
        self.made: list[ScriptedCall] = []

    def __call__(self, position: int) -> ScriptedCall:
        self.opened.append(position)
        call = self.calls.pop(0)
        self.made.append(call)
        return call


class AsBytes:
    """A stream whose responses come as their bytes, as those of WatchRun do."""

    def __init__(self, call: ScriptedCall) -> None:
        self._call = call

    async def read(self) -> Any:
        item = await self._call.read()
        return item if item is grpc.aio.EOF or isinstance(item, bytes) else item.SerializeToString()

    def cancel(self) -> bool:
        return self._call.cancel()

    def leave(self) -> None:
        self._call.leave()


class FakeTime:
    """A clock that moves by sleeping."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


class Blocking:
    """A stream of the client that blocks: gives its responses as bytes, raises those that are errors, then ends."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.cancelled = False
        self.left = False  # the orchestrator that it was read from

    def read(self) -> Any:
        if not self.script:
            return transport.EOF
        item = self.script.pop(0)
        if isinstance(item, BaseException):
            raise item
        return item.SerializeToString()

    def cancel(self) -> bool:
        self.cancelled = True
        return True

    def leave(self) -> None:
        self.left = True


class BlockingTime(FakeTime):
    """A clock that moves by sleeping, for who blocks."""

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
