"""The network of a world: the runner's port `Connection` on one side, the orchestrator's real servicers on the other.

Messages of a stream keep their order and take their time. A stream is cut by chance, or by the death of one of its
ends; each side learns of that on its own, late or very late: what was under way then is lost from some message on, and
a session whose runner has long made a new one still delivers.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar

from athanor.runner.v1 import dispatch_service_pb2 as pb
from athanor_orchestrator.domain.errors import AthanorError, SessionSuperseded
from athanor_runner.ports import StreamEnded

from tests.simulation.decisions import Decisions
from tests.simulation.loop import Process, later

S = TypeVar("S")
R = TypeVar("R")

NOTICED = 15.0  # seconds after which keepalive has noticed a dead peer
_END = object()


class Host(Protocol):
    """Where an orchestrator may listen."""

    name: str
    process: Process | None

    @property
    def up(self) -> bool:
        """Does it answer?"""
        ...

    def connect_handler(self) -> Callable[[AsyncIterator[Any], Any], Coroutine[Any, Any, None]]: ...

    def report_handler(self) -> Callable[[AsyncIterator[Any], Any], Coroutine[Any, Any, None]]: ...


class Network:
    """All wires of a world."""

    def __init__(self, decisions: Decisions) -> None:
        self.decisions = decisions
        self.faults = True
        self.cut_off: set[str] = set()  # machines that reach nobody
        self.on_answer: Callable[[Any], None] = lambda message: None  # told of what an orchestrator sends to a runner

    def delay(self, name: str, ordinary: float = 0.002, longest: float = 1.0) -> float:
        """How long a message takes."""
        return self.decisions.delay(name, ordinary, longest) if self.faults else ordinary

    def happens(self, name: str, chance: float) -> bool:
        """Does a fault happen?"""
        return self.faults and self.decisions.happens(name, chance)


class Wire:
    """One direction of a stream: in order, each message as late as the one before at least."""

    def __init__(self, network: Network, name: str, to: Process) -> None:
        self._network = network
        self._name = name
        self._to = to
        self._due = 0.0
        self._queue: deque[Any] = deque()
        self._edge = asyncio.Event()
        self.cut = False  # nothing that is not there yet will arrive

    def put(self, message: Any) -> None:
        """Send a message, already in bytes."""
        if self.cut:
            return
        loop = asyncio.get_running_loop()
        # Later by something: callbacks that are due at the same moment come in any order.
        self._due = max(self._due + 1e-6, loop.time() + self._network.delay(self._name))
        later(self._due - loop.time(), self._arrive, message)

    def end(self, reason: Any, after: float) -> None:
        """The other side hears that there is no more; what is under way may be lost."""
        now = asyncio.get_running_loop().time()
        later(max(self._due + 1e-6 - now, after), self._arrive, (_END, reason))

    def _arrive(self, message: Any) -> None:
        if self.cut and not (isinstance(message, tuple) and message[0] is _END):
            return
        self._queue.append(message)
        self._edge.set()

    async def get(self) -> Any:
        """The next message. Raises StreamEnded."""
        while not self._queue:
            self._edge.clear()
            await self._edge.wait()
        message = self._queue[0]
        if isinstance(message, tuple) and message[0] is _END:
            raise message[1]
        return self._queue.popleft()


class _Link:
    """One stream between a runner and an orchestrator."""

    def __init__(self, network: Network, name: str, client: Process, server: Process) -> None:
        self.name = name
        self.network = network
        self.client = client
        self.server = server
        self.up = Wire(network, f"message {name} up", server)
        self.down = Wire(network, f"message {name} down", client)
        self.over = False

    def cut(self, reason: str, *, client_after: float, server_after: float) -> None:
        """Break it: each side hears of it after so many seconds."""
        if self.over:
            return
        self.over = True
        self.up.cut = self.down.cut = True
        self.down.end(StreamEnded(reason), client_after)
        self.up.end(StreamEnded(reason), server_after)

    def break_if_cut_off(self) -> None:
        """What is sent from or to a machine without a network never arrives; both sides learn of it some time."""
        if self.client.name in self.network.cut_off:
            self.cut("the network is gone", client_after=NOTICED, server_after=NOTICED)

    async def may_die(self, sender: Process, when: str) -> None:
        """Who sends a message may be killed before or behind it."""
        if self.network.happens(f"crash {when} message {self.name} of {sender}", 0.001):
            sender.kill()
            await asyncio.get_running_loop().create_future()  # nobody is left who would go on

    def message_sent(self) -> None:
        """Something may happen with any message."""
        network = self.network
        if network.happens(f"cut {self.name}", 0.01):
            # The halves break apart: this side soon, the other perhaps much later, still delivering what it has.
            soon, late = network.delay(f"cut noticed {self.name}", 0.01, NOTICED), NOTICED
            self.cut("the connection broke", client_after=soon, server_after=network.delay("cut late", 0.01, late))


class _ServerContext:
    """What a servicer writes to."""

    def __init__(self, link: _Link) -> None:
        self._link = link

    async def write(self, message: Any) -> None:
        link = self._link
        await link.may_die(link.server, "before")
        link.break_if_cut_off()
        link.network.on_answer(message)
        link.down.put(message.SerializeToString())
        link.message_sent()
        await link.may_die(link.server, "behind")


class ClientStream(Generic[S, R]):
    """The runner's side of a stream."""

    def __init__(self, link: _Link, parse: Callable[[bytes], R]) -> None:
        self._link = link
        self._parse = parse
        self._cancelled = False

    async def send(self, message: S) -> None:
        if self._cancelled:
            raise StreamEnded("cancelled")
        await asyncio.sleep(0)
        if self._link.over:
            # Writing into a broken stream fails only once that is known.
            await asyncio.sleep(self._link.network.delay(f"write {self._link.name}", 0.01, 2.0))
            return
        await self._link.may_die(self._link.client, "before")
        self._link.break_if_cut_off()
        self._link.up.put(message.SerializeToString())  # type: ignore[attr-defined]
        self._link.message_sent()
        await self._link.may_die(self._link.client, "behind")

    async def receive(self) -> R:
        return self._parse(await self._link.down.get())

    def cancel(self) -> None:
        self._cancelled = True
        link = self._link
        if link.over:
            return
        link.over = True
        # What was sent before may still arrive, and the other side may take its time to hear of the end.
        late = link.network.delay(f"cancel {link.name}", 0.005, NOTICED)
        link.up.end(StreamEnded("cancelled by the runner"), late)
        link.down.cut = True

    async def finish(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                while True:
                    await self._link.down.get()


class Connection:
    """A runner's connection to an orchestrator; implements `athanor_runner.ports.Connection`."""

    def __init__(self, network: Network, name: str, client: Process, host: Host) -> None:
        self._network = network
        self._name = name
        self._client = client
        self._host = host
        self._streams: list[ClientStream[Any, Any]] = []

    def connect(self) -> ClientStream[pb.ConnectRequest, pb.ConnectResponse]:
        return self._open("connect", pb.ConnectRequest.FromString, pb.ConnectResponse.FromString)

    def report(self) -> ClientStream[pb.ReportRequest, pb.ReportResponse]:
        return self._open("report", pb.ReportRequest.FromString, pb.ReportResponse.FromString)

    async def close(self) -> None:
        for stream in self._streams:
            stream.cancel()

    def _open(self, kind: str, parse_request: Callable[[bytes], Any], parse: Callable[[bytes], Any]) -> Any:
        name = f"{kind} {self._name}"
        server = self._host.process
        if server is None or not self._host.up or self._name in self._network.cut_off:
            link = _Link(self._network, name, self._client, self._client)
            link.cut("nobody listens", client_after=0.01, server_after=0.01)
        else:
            link = _Link(self._network, name, self._client, server)
            handler = self._host.connect_handler() if kind == "connect" else self._host.report_handler()
            server.spawn(_serve(handler, link, parse_request), name)
            _watch_deaths(link)
        stream: ClientStream[Any, Any] = ClientStream(link, parse)
        self._streams.append(stream)
        return stream


async def _serve(
    handler: Callable[[AsyncIterator[Any], Any], Awaitable[None]], link: _Link, parse: Callable[[bytes], Any]
) -> None:
    async def requests() -> AsyncIterator[Any]:
        while True:
            try:
                yield parse(await link.up.get())
            except StreamEnded:
                return  # half-close, kill, cancel and a broken wire all look alike

    try:
        await handler(requests(), _ServerContext(link))
    except SessionSuperseded as error:
        _ended(link, StreamEnded(str(error), superseded=True))
    except AthanorError as error:
        _ended(link, StreamEnded(str(error)))
    else:
        _ended(link, StreamEnded("ended by the orchestrator"))


def _ended(link: _Link, reason: StreamEnded) -> None:
    if not link.over:
        link.over = True
        link.down.end(reason, 0.001)


def _watch_deaths(link: _Link) -> None:
    """A process that is killed leaves it to the other side to notice: at once by a reset, or much later."""

    def died() -> None:
        if link.over:
            return
        noticed = link.network.delay(f"death noticed {link.name}", 0.05, NOTICED)
        link.cut("the other side is gone", client_after=noticed, server_after=noticed)

    link.client.on_death.append(died)
    link.server.on_death.append(died)
