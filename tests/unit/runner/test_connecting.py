"""Which orchestrator a runner goes to when, in virtual time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from athanor.runner.v1 import dispatch_service_pb2 as pb
from athanor_runner.connecting import Connector
from athanor_runner.ports import StreamEnded
from athanor_runner.settings import Timings
from athanor_runner.shipping import Feeds

from tests.support.runner_fakes import Clock, Connection, Disk, welcome
from tests.support.virtual_time import virtual_time
from tests.unit.runner.test_session import ME, Catalogue, Roster

TIMINGS = Timings(reconnect_first=0.1, reconnect_most=5.0)


class State:
    def __init__(self) -> None:
        self.number = 0

    def next_session_number(self) -> int:
        self.number += 1
        return self.number


class Answering(Connection):
    """A connection whose orchestrator answers a heartbeat as soon as it comes."""

    def __init__(self) -> None:
        super().__init__()
        send = self.control.send

        async def answer(message: pb.ConnectRequest) -> None:
            await send(message)
            if message.HasField("heartbeat"):
                self.control.say(pb.ConnectResponse(heartbeat_reply=pb.HeartbeatReply(nonce=message.heartbeat.nonce)))

        self.control.send = answer  # type: ignore[method-assign]


class Net:
    """What is at each address: the connections that were made to it, and when."""

    def __init__(self) -> None:
        self.dialled: list[tuple[float, str]] = []
        self.connections: dict[str, Connection] = {}
        self.away: set[str] = set()
        self.said: list[str] = []

    def dial(self, address: str) -> Connection:
        self.dialled.append((round(asyncio.get_running_loop().time() - 1000, 3), address))
        connection = Answering()
        connection.control.say(StreamEnded("UNAVAILABLE") if address in self.away else welcome())
        self.connections[address] = connection
        return connection

    def lose(self, address: str, why: Exception | Any) -> None:
        self.connections[address].control.say(why)

    @property
    def order(self) -> str:
        return "".join(address for _, address in self.dialled)


@contextlib.asynccontextmanager
async def connecting(*targets: str, away: str = "") -> AsyncIterator[Net]:
    net = Net()
    net.away |= set(away)
    roster: Any = Roster()
    catalogue: Any = Catalogue()
    state: Any = State()
    connector = Connector(
        targets, net.dial, ME, state, roster, catalogue, Feeds(), Clock(), Disk(), TIMINGS, net.said.append
    )  # fmt: skip
    task = asyncio.create_task(connector.run(), name="connector")
    try:
        await asyncio.sleep(0.001)
        yield net
    finally:
        task.cancel()
        await asyncio.wait({task})


def drain() -> pb.ConnectResponse:
    message = pb.ConnectResponse(drain=pb.Drain(reconnect=True))
    message.drain.reconnect_after.FromSeconds(60)
    return message


async def moved(lose: Callable[[Net], None]) -> Net:
    """Hold a session with a for a while, and have it end."""
    async with connecting("a", "b") as net:
        await asyncio.sleep(100)
        assert net.order == "a"
        lose(net)
        await asyncio.sleep(0.2)
        await asyncio.sleep(100)
        return net


@virtual_time
async def test_a_session_that_is_lost_is_made_at_the_next_orchestrator_at_once():
    net = await moved(lambda net: net.lose("a", StreamEnded("Socket closed")))
    assert net.order == "ab"
    assert net.dialled[1][0] - 100 <= 0.2
    assert [line.split()[-1] for line in net.said] == ["a", "b"]


@virtual_time
async def test_an_orchestrator_that_goes_away_for_a_minute_is_not_waited_for_when_there_is_another():
    net = await moved(lambda net: net.lose("a", drain()))
    assert net.order == "ab"
    assert net.dialled[1][0] - 100 <= 0.2


@virtual_time
async def test_one_that_is_not_there_at_the_start_is_passed_over():
    async with connecting("a", "b", away="a") as net:
        await asyncio.sleep(1)
        assert net.order == "ab"
        assert len(net.said) == 1


@virtual_time
async def test_while_none_is_there_each_is_tried_and_then_it_is_waited_longer_and_longer():
    async with connecting("a", "b", away="ab") as net:
        await asyncio.sleep(60)
        assert net.order.startswith("ababab")
        pauses = [later - sooner for (sooner, _), (later, _) in zip(net.dialled, net.dialled[1:], strict=False)]
        assert max(pauses[0::2]) < 0.1001  # from a to b
        assert max(pauses[1::2]) > 2.5  # before it begins anew
        assert len(net.dialled) < 60
        net.away.clear()
        await asyncio.sleep(6)
        assert len(net.said) == 1


@virtual_time
async def test_sessions_that_end_as_soon_as_they_are_made_are_not_made_without_a_pause():
    async with connecting("a", "b") as net:
        for _ in range(100):
            await asyncio.sleep(0.3)
            for connection in net.connections.values():
                connection.control.say(StreamEnded("as soon as it was made"))
        assert len(net.dialled) < 40


@virtual_time
async def test_one_alone_is_given_the_time_it_asked_for():
    async with connecting("a") as net:
        await asyncio.sleep(100)
        net.lose("a", drain())
        await asyncio.sleep(59)
        assert net.order == "a"
        await asyncio.sleep(3)
        assert net.order == "aa"
