"""AsyncChangeWatch: what a caller is given of all runs, or all instances, whatever happens to the connection."""

import asyncio
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from athanor.client import (
    Begun,
    InstanceChanged,
    InstanceDeleted,
    Interruption,
    PermissionDeniedError,
    ProtocolError,
    RunChanged,
    RunDeleted,
    RunRecord,
    RunState,
    Synced,
    UnavailableError,
    changes,
)
from athanor.client._async.watch import Ports
from athanor.client._async.watch_all import AsyncChangeWatch, instances_item, runs_item
from athanor.v1 import instance_pb2, instance_service_pb2, run_pb2, run_service_pb2, watch_pb2

from tests.support.watch_calls import FakeTime, ScriptedCall, rpc_error

AWAY = rpc_error(grpc.StatusCode.UNAVAILABLE, "Connection refused")
OUTRUN = rpc_error(grpc.StatusCode.ABORTED, "the watch was read too slowly")
SYNCED = run_service_pb2.WatchRunsResponse(synced=watch_pb2.Synced())


def run(id: str) -> Any:
    return run_service_pb2.WatchRunsResponse(run=run_pb2.Run(id=id, state=run_pb2.RUN_STATE_RUNNING))


def gone(id: str) -> Any:
    return run_service_pb2.WatchRunsResponse(deleted=watch_pb2.Deleted(id=id))


class Script:
    """The streams that are opened one after the other."""

    def __init__(self, *calls: ScriptedCall) -> None:
        self.calls = list(calls)
        self.made: list[ScriptedCall] = []

    def __call__(self) -> ScriptedCall:
        self.made.append(self.calls.pop(0))
        return self.made[-1]


def make(
    script: Script, time: FakeTime | None = None, decode: Any = runs_item, **options: Any
) -> AsyncChangeWatch[Any]:
    time = time or FakeTime()
    return AsyncChangeWatch(script, decode, target="h:1", ports=Ports(clock=time.clock, sleep=time.sleep), **options)


async def take(watch: AsyncChangeWatch[Any], count: int) -> list[str]:
    """The next items, in short."""
    out = []
    for _ in range(count):
        match await anext(watch):
            case RunChanged(run):
                out.append(run.id)
            case RunDeleted(id):
                out.append(f"-{id}")
            case item:
                out.append(type(item).__name__)
    return out


async def test_everything_is_given_then_what_changes():
    script = Script(ScriptedCall(run("a"), run("b"), SYNCED, run("a"), gone("b"), hang=True))
    async with make(script) as watch:
        assert await take(watch, 6) == ["Begun", "a", "b", "Synced", "a", "-b"]
    assert script.made[0].cancelled
    with pytest.raises(StopAsyncIteration):
        await anext(watch)


async def test_after_an_interruption_it_begins_again_and_says_so():
    interruptions: list[Interruption] = []
    script = Script(
        ScriptedCall(run("a"), SYNCED, AWAY),
        ScriptedCall(AWAY),
        ScriptedCall(AWAY),
        ScriptedCall(run("b"), SYNCED, OUTRUN),
        ScriptedCall(SYNCED, hang=True),
    )
    watch = make(script, on_interruption=interruptions.append)
    assert await take(watch, 8) == ["Begun", "a", "Synced", "Begun", "b", "Synced", "Begun", "Synced"]
    assert [event.failures for event in interruptions] == [1, 2, 3, 1]
    assert isinstance(interruptions[0].error, UnavailableError)


async def test_an_end_that_is_none_is_an_interruption_and_again_and_again_a_fault():
    broken = [ScriptedCall(run("a")) for _ in range(7)]
    watch = make(Script(*broken))
    with pytest.raises(ProtocolError, match="ended a stream that has no end"):
        await take(watch, 100)


async def test_one_that_breaks_before_it_is_synced_each_time_is_given_up():
    watch = make(Script(*(ScriptedCall(run("a"), rpc_error(grpc.StatusCode.INTERNAL)) for _ in range(7))))
    with pytest.raises(Exception, match=r".*"):
        await take(watch, 100)


async def test_an_orchestrator_that_never_answered_is_given_up_soon_one_that_did_is_waited_for():
    time = FakeTime()
    with pytest.raises(UnavailableError):
        await take(make(Script(*(ScriptedCall(AWAY) for _ in range(50))), time, connect_for=5.0), 1)
    assert time.now < 15
    time = FakeTime()
    script = Script(ScriptedCall(SYNCED, AWAY), *(ScriptedCall(AWAY) for _ in range(500)), ScriptedCall(SYNCED))
    assert await take(make(script, time, connect_for=5.0), 4) == ["Begun", "Synced", "Begun", "Synced"]
    assert time.now > 600
    time = FakeTime()
    script = Script(ScriptedCall(SYNCED, AWAY), *(ScriptedCall(AWAY) for _ in range(500)))
    with pytest.raises(UnavailableError):
        await take(make(script, time, give_up_after=60.0), 4)
    assert 55 < time.now < 70


async def test_a_refusal_is_final():
    watch = make(Script(ScriptedCall(rpc_error(grpc.StatusCode.PERMISSION_DENIED, "no"))))
    with pytest.raises(PermissionDeniedError):
        await anext(watch)
    with pytest.raises(StopAsyncIteration):
        await anext(watch)


async def test_a_read_that_is_cancelled_is_followed_by_another_stream():
    script = Script(ScriptedCall(SYNCED, hang=True), ScriptedCall(SYNCED, hang=True))
    watch = make(script)
    await take(watch, 2)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await anext(watch)
    assert script.made[0].cancelled
    assert await take(watch, 2) == ["Begun", "Synced"]


async def test_instances_and_what_a_newer_orchestrator_adds():
    response = instance_service_pb2.WatchInstancesResponse
    script = Script(
        ScriptedCall(
            response(instance=instance_pb2.Instance(id="i", name="n")),
            response(),  # an alternative that this client does not know
            response(synced=watch_pb2.Synced()),
            response(deleted=watch_pb2.Deleted(id="i")),
            hang=True,
        )
    )
    watch = make(script, decode=instances_item)
    items = [await anext(watch) for _ in range(4)]
    assert items[0] == Begun()
    assert isinstance(items[1], InstanceChanged)
    assert items[1].instance.name == "n"
    assert items[2:] == [Synced(), InstanceDeleted("i")]


async def test_the_picture_that_the_module_shows_how_to_keep_is_right():
    """What was deleted while nobody listened is dropped at Synced."""
    doc = changes.__doc__ or ""
    snippet = doc[doc.index("    known = {}") :]
    names: dict[str, Any] = vars(changes).copy()
    exec("async def keep(client):\n" + snippet + "    return known\n", names)

    items = [
        *(Begun(), picture("a"), picture("b"), Synced(), RunDeleted("a"), picture("c")),
        *(Begun(), picture("c"), picture("d"), Synced(), RunDeleted("d")),
    ]

    async def watch_all() -> Any:
        for item in items:
            yield item

    client = SimpleNamespace(runs=SimpleNamespace(watch_all=watch_all))
    assert list(await names["keep"](client)) == ["c"]


def picture(id: str) -> RunChanged:
    return RunChanged(RunRecord(id, "i", "e", RunState.RUNNING))
