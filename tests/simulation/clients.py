"""The clients of a world: they call, try again when no answer comes, and watch with the real client's watches."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

import grpc
from athanor.client._async.run_watch import AsyncRunWatch
from athanor.client._async.watch import AsyncBatchWatch, Ports
from athanor.client._async.watch_all import AsyncChangeWatch, runs_item
from athanor.client.changes import Begun, RunChanged, RunDeleted
from athanor.client.enums import RunState
from athanor.client.events import ProgressUpdated, RunUpdated, WatchItem
from athanor.v1 import run_pb2, run_service_pb2
from athanor_orchestrator.domain.errors import AthanorError, NotFound, PositionOutOfRange, WatchOutrun
from athanor_orchestrator.domain.records import EventFilter, ResourceFilter
from athanor_orchestrator.rpc.handlers import serialize

from tests.simulation.decisions import Decisions
from tests.simulation.loop import Process, later
from tests.simulation.network import NOTICED, Network
from tests.simulation.orchestrator import OrchestratorHost

T = TypeVar("T")

STATES = {
    state: run_pb2.RunState.Value(f"RUN_STATE_{state.name}") for state in RunState if state is not RunState.UNKNOWN
}
PATIENCE = 10.0  # seconds that a client waits for an answer


class NoAnswer(Exception):
    """Whether the call was carried out is not known."""


class Client:
    """Somebody who makes calls."""

    def __init__(self, name: str, network: Network, decisions: Decisions, hosts: Sequence[OrchestratorHost]) -> None:
        self.process = Process(name)
        self.network = network
        self._decisions = decisions
        self._hosts = hosts

    def host(self) -> OrchestratorHost | None:
        """One that answers."""
        up = [host for host in self._hosts if host.up]
        return up[self._decisions.pick(f"dial {self.process}", len(up))] if up else None

    async def call(self, make: Callable[[OrchestratorHost], Awaitable[T]]) -> T:
        """Make a unary call. Raises NoAnswer, or what the orchestrator answered."""
        host = self.host()
        if host is None or host.process is None:
            await asyncio.sleep(1)
            raise NoAnswer
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        network, name = self.network, f"call {self.process}"

        def arrive(settle: Callable[[Any], None], value: Any) -> None:
            if not answer.done():
                settle(value)

        async def serve() -> None:
            try:
                value = await make(host)
            except Exception as error:
                later(network.delay(f"{name} answer"), arrive, answer.set_exception, error)
            else:
                later(network.delay(f"{name} answer"), arrive, answer.set_result, value)

        server = host.process
        if not network.happens(f"cut {name}", 0.03):
            later(network.delay(name), lambda: server.alive and server.spawn(serve(), name))
        try:
            async with asyncio.timeout(PATIENCE):
                return await answer
        except TimeoutError:
            raise NoAnswer from None

    async def insist(
        self, make: Callable[[OrchestratorHost], Awaitable[T]], *, unless: Callable[[Exception], bool]
    ) -> T:
        """Repeat a call until it is answered; an error for which `unless` holds is raised."""
        while True:
            try:
                return await self.call(make)
            except NoAnswer:
                pass
            except AthanorError as error:
                if unless(error):
                    raise
            await asyncio.sleep(1.0)


class Watcher:
    """Follows one run with the real client, however often that takes another connection."""

    def __init__(self, client: Client, run_id: str, on_event: Callable[["Watcher", int, bytes], None]) -> None:
        self.run_id = run_id
        self.client = client
        self.finished = False
        self.broken: BaseException | None = None  # what the client gave up for
        self.last = 0
        self.sequences: list[int] = []
        self._on_event = on_event
        self._payloads: dict[int, bytes] = {}

    async def follow(self, pace: Callable[[], float]) -> None:
        """Watch from the beginning to the end; `pace` says how long each item takes to be read."""
        watch = AsyncRunWatch(
            AsyncBatchWatch(
                self._open,
                target="world",
                opened=True,
                connect_for=1e9,
                ports=Ports(clock=lambda: asyncio.get_running_loop().time(), sleep=asyncio.sleep),
            )
        )
        try:
            async for item in watch:
                self._take(item)
                if pause := pace():
                    await asyncio.sleep(pause)
            self.finished = True
        except Exception as error:
            self.broken = error

    def _take(self, item: WatchItem) -> None:
        if isinstance(item, RunUpdated | ProgressUpdated):
            return
        self.sequences.append(item.sequence)
        self._on_event(self, item.sequence, self._payloads.pop(item.sequence, b""))

    def _open(self, position: int) -> "StreamCall":
        return StreamCall(
            self.client,
            lambda host: host.watches.follow(self.run_id, position, EventFilter()),
            None,
            self._saw,
        )

    def _saw(self, response: bytes) -> None:
        """Note what came over the wire, to be compared with what is stored."""
        for event in run_service_pb2.WatchRunResponse.FromString(response).batch.events:
            self._payloads[event.sequence] = event.SerializeToString()


class Picture:
    """What somebody who watches all runs knows of them."""

    def __init__(self, client: Client) -> None:
        self.states: dict[str, int] = {}
        self.synced = False
        self.broken: BaseException | None = None
        self._client = client
        self._before: dict[str, int] = {}

    async def follow(self) -> None:
        """Watch for ever."""
        watch = AsyncChangeWatch(
            self._open,
            runs_item,
            target="world",
            connect_for=1e9,
            ports=Ports(clock=lambda: asyncio.get_running_loop().time(), sleep=asyncio.sleep),
        )
        try:
            async for item in watch:
                match item:
                    case Begun():
                        self.synced, self.states = False, {}
                    case RunChanged(run):
                        self.states[run.id] = STATES[run.state]
                    case RunDeleted(id):
                        self.states.pop(id, None)
                    case _:
                        self.synced = True
        except Exception as error:
            self.broken = error

    def _open(self) -> "StreamCall":
        everything = ResourceFilter()
        return StreamCall(
            self._client,
            lambda host: host.watches.runs(everything, active_only=False, full=False),
            run_service_pb2.WatchRunsResponse,
            lambda response: None,
        )


class StreamCall:
    """One stream of responses; implements `athanor.client._async.watch.WatchCall`."""

    def __init__(
        self,
        client: Client,
        serve: Callable[[OrchestratorHost], AsyncGenerator[Any, None]],
        message: type[Any] | None,
        on_response: Callable[[Any], None],
    ) -> None:
        self._message = message
        self._on_response = on_response
        self._network = client.network
        self._queue: asyncio.Queue[Any] = asyncio.Queue()
        self._room = asyncio.Semaphore(2)  # what the transport takes before the reader has read
        self._over = False
        self._serving: asyncio.Task[None] | None = None
        self._due = 0.0
        host = client.host()
        self._name = f"watch {client.process}"
        if host is None or host.process is None:
            later(0.05, self._queue.put_nowait, _gone())
            return
        host.process.on_death.append(self._server_died)
        client.process.on_death.append(self.cancel)
        self._serving = host.process.spawn(self._serve(serve(host)), self._name)

    async def _serve(self, items: AsyncGenerator[Any, None]) -> None:
        end: Any = grpc.aio.EOF
        try:
            async for item in items:
                await self._room.acquire()
                self._put(serialize(item))
                if self._over:
                    return
        except (NotFound, PositionOutOfRange, WatchOutrun) as error:
            end = grpc.aio.AioRpcError(_code(error), grpc.aio.Metadata(), grpc.aio.Metadata(), str(error))
        except AthanorError as error:
            end = grpc.aio.AioRpcError(
                grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), str(error)
            )
        finally:
            await items.aclose()
        self._put(end)

    def _put(self, item: Any) -> None:
        loop = asyncio.get_running_loop()
        if self._network.happens(f"cut {self._name}", 0.02):
            item = _gone()
        # Later by something: callbacks that are due at the same moment come in any order.
        self._due = max(self._due + 1e-6, loop.time() + self._network.delay(f"message {self._name}"))
        later(self._due - loop.time(), self._arrive, item)

    def _arrive(self, item: Any) -> None:
        if not self._over:
            self._queue.put_nowait(item)
            self._over = not isinstance(item, bytes)

    def _server_died(self) -> None:
        if not self._over:
            later(self._network.delay(f"death noticed {self._name}", 0.05, NOTICED), self._arrive, _gone())

    async def read(self) -> Any:
        item = await self._queue.get()
        self._room.release()
        if isinstance(item, grpc.aio.AioRpcError):
            raise item
        if not isinstance(item, bytes):
            return item
        response = item if self._message is None else self._message.FromString(item)
        self._on_response(response)
        return response

    def leave(self) -> None:
        """The next one goes to whom chance says anyway."""

    def cancel(self) -> bool:
        self._over = True
        serving = self._serving
        if serving is not None and not serving.done():
            later(self._network.delay(f"cancel {self._name}", 0.005, NOTICED), serving.cancel)
        return True


def _code(error: AthanorError) -> grpc.StatusCode:
    match error:
        case NotFound():
            return grpc.StatusCode.NOT_FOUND
        case PositionOutOfRange():
            return grpc.StatusCode.OUT_OF_RANGE
        case _:
            return grpc.StatusCode.ABORTED


def _gone() -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(
        grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "the connection broke"
    )
