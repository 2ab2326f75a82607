"""AsyncRunWatch: what a caller sees of a run, whatever happens to the connection."""

import asyncio

import grpc
import pytest
from athanor.client import (
    LogEntry,
    NotFoundError,
    ProgressUpdated,
    ProtocolError,
    RunState,
    RunUpdated,
    UnavailableError,
    WaitTimeoutError,
)
from athanor.client._async import watch as watch_module
from athanor.client._async.run_watch import AsyncRunWatch
from athanor.client._async.watch import AsyncBatchWatch, Ports
from athanor.v1 import run_pb2

from tests.support.virtual_time import virtual_time
from tests.support.watch_calls import (
    AsBytes,
    FakeTime,
    Script,
    ScriptedCall,
    batch_item,
    position_item,
    progress_item,
    rpc_error,
    run_item,
)

AWAY = rpc_error(grpc.StatusCode.UNAVAILABLE, "Connection refused")
COMPLETED = run_pb2.RUN_STATE_COMPLETED


def make(script: Script, time: FakeTime | None = None, **options) -> AsyncRunWatch:
    return AsyncRunWatch(make_batches(script, time, opened=True, **options))


def make_batches(script: Script, time: FakeTime | None = None, **options) -> AsyncBatchWatch:
    time = time or FakeTime()
    return AsyncBatchWatch(
        lambda position: AsBytes(script(position)),
        target=options.pop("target", "h:1"),
        ports=Ports(clock=time.clock, sleep=time.sleep),
        **options,
    )


async def collect(watch: AsyncRunWatch) -> list[str]:
    """What was given, in short."""
    out = []
    async for item in watch:
        match item:
            case RunUpdated(run):
                out.append(run.state.value)
            case ProgressUpdated(progress):
                out.append(f"{progress.current}%")
            case LogEntry():
                out.append(item.message)
            case _:
                out.append(type(item).__name__)
    return out


async def test_a_run_is_given_from_its_first_event_to_its_end():
    script = Script(
        ScriptedCall(run_item(), batch_item(1, 2), progress_item(50), batch_item(3), run_item(COMPLETED, 3))
    )
    assert await collect(make(script)) == ["RUNNING", "m1", "m2", "50%", "m3", "COMPLETED"]
    assert script.opened == [0]


async def test_a_cut_connection_is_not_noticed():
    script = Script(
        ScriptedCall(run_item(), batch_item(1, 2), AWAY),
        ScriptedCall(AWAY),
        ScriptedCall(AWAY),
        ScriptedCall(run_item(), batch_item(3, 4), run_item(COMPLETED, 4)),
    )
    assert await collect(make(script)) == ["RUNNING", "m1", "m2", "m3", "m4", "COMPLETED"]
    assert script.opened == [0, 2, 2, 2]


async def test_a_connection_cut_in_the_middle_of_a_batch_that_is_being_given_neither_loses_nor_repeats():
    script = Script(ScriptedCall(run_item(), batch_item(1, 2, 3), AWAY), ScriptedCall(run_item(COMPLETED, 3)))
    watch = make(script)
    assert isinstance(await anext(watch), RunUpdated)
    assert (await anext(watch)).sequence == 1
    assert watch.position == 1
    assert await collect(watch) == ["m2", "m3", "COMPLETED"]
    assert script.opened == [0, 3]


async def test_events_that_come_again_are_given_once():
    script = Script(ScriptedCall(run_item(), batch_item(1, 2), batch_item(1, 2, 3), run_item(COMPLETED, 3)))
    assert await collect(make(script)) == ["RUNNING", "m1", "m2", "m3", "COMPLETED"]


async def test_a_gap_is_never_passed_over():
    gap = [ScriptedCall(run_item(), batch_item(1), batch_item(3)) for _ in range(7)]
    with pytest.raises(ProtocolError, match="event 3 came behind event 1: some are missing"):
        await collect(make(Script(*gap)))


async def test_a_gap_that_is_not_there_at_the_next_try_does_no_harm():
    script = Script(
        ScriptedCall(run_item(), batch_item(1, 3)),
        ScriptedCall(run_item(), batch_item(1, 2, 3), run_item(COMPLETED, 3)),
    )
    assert await collect(make(script)) == ["RUNNING", "m1", "m2", "m3", "COMPLETED"]
    assert script.opened == [0, 0]


async def test_with_a_filter_gaps_are_what_was_asked_for_and_positions_move_on():
    script = Script(
        ScriptedCall(run_item(), batch_item(2), position_item(900), AWAY),
        ScriptedCall(run_item(COMPLETED, 1000), batch_item(950), run_item(COMPLETED, 1000)),
    )
    watch = make(script, filtered=True)
    assert await collect(watch) == ["RUNNING", "m2", "COMPLETED", "m950", "COMPLETED"]
    assert script.opened == [0, 900]


async def test_a_position_never_moves_back():
    script = Script(
        ScriptedCall(run_item(), batch_item(1, 2), position_item(1), AWAY), ScriptedCall(run_item(COMPLETED, 2))
    )
    await collect(make(script))
    assert script.opened == [0, 2]


async def test_a_run_that_had_ended_is_given_first_and_last():
    script = Script(ScriptedCall(run_item(COMPLETED, 2), batch_item(1, 2), run_item(COMPLETED, 2)))
    assert await collect(make(script)) == ["COMPLETED", "m1", "m2", "COMPLETED"]


async def test_a_run_that_had_ended_and_has_nothing_new_is_given_once():
    script = Script(ScriptedCall(run_item(COMPLETED, 2), run_item(COMPLETED, 2)))
    assert await collect(make(script, after_sequence=2)) == ["COMPLETED"]


async def test_a_connection_cut_between_the_last_item_and_the_end_gives_nothing_twice():
    script = Script(
        ScriptedCall(run_item(), batch_item(1), run_item(COMPLETED, 1), AWAY),
        ScriptedCall(run_item(COMPLETED, 1), run_item(COMPLETED, 1)),
    )
    assert await collect(make(script)) == ["RUNNING", "m1", "COMPLETED"]


async def test_the_last_item_is_the_ended_run_even_when_the_orchestrator_leaves_it_out():
    script = Script(ScriptedCall(run_item(COMPLETED, 1), batch_item(1)))
    assert await collect(make(script)) == ["COMPLETED", "m1", "COMPLETED"]


async def test_a_regular_end_before_the_end_of_the_run_is_an_interruption():
    script = Script(
        ScriptedCall(run_item(), batch_item(1)), ScriptedCall(run_item(), batch_item(2), run_item(COMPLETED, 2))
    )
    assert await collect(make(script)) == ["RUNNING", "m1", "m2", "COMPLETED"]


async def test_a_regular_end_of_an_ended_run_without_all_of_its_log_is_an_interruption():
    script = Script(
        ScriptedCall(run_item(COMPLETED, 2), batch_item(1)),
        ScriptedCall(run_item(COMPLETED, 2), batch_item(2), run_item(COMPLETED, 2)),
    )
    assert await collect(make(script)) == ["COMPLETED", "m1", "m2", "COMPLETED"]


async def test_an_outage_is_waited_for_with_growing_delays_up_to_five_seconds():
    time = FakeTime()
    script = Script(
        ScriptedCall(run_item(), AWAY), *[ScriptedCall(AWAY) for _ in range(40)], ScriptedCall(run_item(COMPLETED))
    )
    told = []
    await collect(make(script, time, on_interruption=told.append))
    assert len(time.slept) == 41
    assert time.slept[0] <= 0.1
    assert 2.5 <= time.slept[-1] <= 5.0
    assert time.now > 60  # longer than anything here would give a first connection
    assert [entry.failures for entry in told] == list(range(1, 42))
    assert "connection refused" in str(told[0].error)


async def test_an_orchestrator_that_never_answered_is_given_up_after_a_while():
    time = FakeTime()
    script = Script(*[ScriptedCall(AWAY) for _ in range(100)])
    with pytest.raises(UnavailableError, match="connection refused") as caught:
        await collect(make(script, time, connect_for=10))
    assert "ATHANOR_TARGET" in caught.value.advice
    assert 5 < time.now < 20


async def test_a_limit_to_the_waiting_is_kept():
    time = FakeTime()
    script = Script(ScriptedCall(run_item(), AWAY), *[ScriptedCall(AWAY) for _ in range(100)])
    with pytest.raises(UnavailableError):
        await collect(make(script, time, give_up_after=3))
    assert 1.5 < time.now < 9


@pytest.mark.parametrize("code", [grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT])
async def test_an_answer_of_the_orchestrator_is_final(code):
    script = Script(ScriptedCall(run_item(), rpc_error(code, "no")))
    watch = make(script)
    with pytest.raises(Exception, match="no"):
        await collect(watch)
    with pytest.raises(StopAsyncIteration):
        await anext(watch)


async def test_a_deleted_run_ends_the_watch_with_not_found():
    script = Script(ScriptedCall(run_item(), rpc_error(grpc.StatusCode.NOT_FOUND, "gone")))
    with pytest.raises(NotFoundError):
        await collect(make(script))


@pytest.mark.parametrize("code", [grpc.StatusCode.CANCELLED, grpc.StatusCode.ABORTED, grpc.StatusCode.UNAVAILABLE])
async def test_a_stream_that_a_stopping_server_cuts_is_resumed(code):
    script = Script(ScriptedCall(run_item(), rpc_error(code)), ScriptedCall(run_item(COMPLETED)))
    assert await collect(make(script)) == ["RUNNING", "COMPLETED"]


async def test_a_fault_that_always_comes_back_is_not_waited_for_forever():
    calls = [ScriptedCall(run_item(), rpc_error(grpc.StatusCode.INTERNAL, "bug 17")) for _ in range(10)]
    script = Script(*calls)
    with pytest.raises(Exception, match="bug 17"):
        await collect(make(script))
    assert len(script.opened) == 6


async def test_a_fault_is_forgotten_when_things_go_on():
    calls = [ScriptedCall(run_item(), batch_item(n), rpc_error(grpc.StatusCode.INTERNAL)) for n in range(1, 20)]
    script = Script(*calls, ScriptedCall(run_item(COMPLETED, 19)))
    assert (await collect(make(script)))[-1] == "COMPLETED"


async def test_silence_is_an_outage(monkeypatch):
    monkeypatch.setattr(watch_module, "SILENCE", 0.01)
    script = Script(ScriptedCall(run_item(), hang=True), ScriptedCall(run_item(COMPLETED)))
    assert await collect(make(script)) == ["RUNNING", "COMPLETED"]
    assert script.made[0].cancelled


async def test_waiting_for_one_item_with_a_timeout_loses_nothing():
    # Cancelling a read cancels its stream: the next item has to come on a new one, from the same position.
    script = Script(
        ScriptedCall(run_item(), batch_item(1), hang=True),
        ScriptedCall(run_item(), batch_item(2), run_item(COMPLETED, 2)),
    )
    watch = make(script)
    await anext(watch)
    await anext(watch)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(watch), 0.01)
    assert await collect(watch) == ["m2", "COMPLETED"]
    assert script.opened == [0, 1]


async def test_leaving_the_block_ends_the_stream_and_the_iteration():
    script = Script(ScriptedCall(run_item(), batch_item(1, 2, 3)))
    async with make(script) as watch:
        await anext(watch)
        await anext(watch)
    assert script.made[0].cancelled
    with pytest.raises(StopAsyncIteration):
        await anext(watch)


async def test_only_one_batch_is_held_however_slow_the_caller():
    call = ScriptedCall(run_item(), *[batch_item(n) for n in range(1, 1000)], run_item(COMPLETED, 999))
    watch = make(Script(call))
    for _ in range(3):
        await anext(watch)
    assert len(call.script) >= 996


async def test_something_newer_than_this_client_is_passed_over():
    from athanor.v1 import run_event_pb2, run_service_pb2

    strange = run_event_pb2.RunEvent(sequence=1)
    batch = run_service_pb2.RunEventBatch(events=[strange])
    script = Script(
        ScriptedCall(
            run_item(),
            run_service_pb2.WatchRunResponse(),
            run_service_pb2.WatchRunResponse(batch=batch),
            run_item(COMPLETED, 1),
        )
    )
    assert await collect(make(script)) == ["RUNNING", "UnknownEvent", "COMPLETED"]


async def test_the_run_can_be_asked_for():
    watch = make(Script(ScriptedCall(run_item(COMPLETED))))
    assert watch.run is None
    await collect(watch)
    assert watch.run is not None
    assert watch.run.state is RunState.COMPLETED


async def test_a_watch_goes_on_at_another_orchestrator_at_once_and_tells_nobody():
    time, told = FakeTime(), []
    script = Script(
        ScriptedCall(run_item(), batch_item(1, 2), AWAY),
        ScriptedCall(run_item(), batch_item(3), run_item(COMPLETED, 3)),
    )
    watch = make(script, time, target="a:1,b:1", on_interruption=told.append)
    assert await collect(watch) == ["RUNNING", "m1", "m2", "m3", "COMPLETED"]
    assert script.opened == [0, 2]
    assert (time.slept, told) == ([], [])


async def test_when_none_of_several_is_there_it_is_said_and_waited():
    time, told = FakeTime(), []
    script = Script(
        ScriptedCall(run_item(), batch_item(1, 2), AWAY),
        *[ScriptedCall(AWAY) for _ in range(4)],
        ScriptedCall(run_item(), batch_item(3), run_item(COMPLETED, 3)),
    )
    watch = make(script, time, target="a:1,b:1", on_interruption=told.append)
    assert await collect(watch) == ["RUNNING", "m1", "m2", "m3", "COMPLETED"]
    assert [entry.failures for entry in told] == [1, 2]
    assert len(time.slept) == 2
    assert "a:1 or b:1" in str(told[0].error)


@virtual_time
async def test_a_silent_orchestrator_is_left():
    silent = ScriptedCall(run_item(), batch_item(1), hang=True)
    script = Script(silent, ScriptedCall(run_item(), batch_item(2), run_item(COMPLETED, 2)))
    assert await collect(make(script, target="a:1,b:1")) == ["RUNNING", "m1", "m2", "COMPLETED"]
    assert silent.left
    assert silent.cancelled


async def test_the_callers_time_is_kept_while_things_come():
    time = FakeTime()

    def tick(run) -> None:
        time.now += 1

    script = Script(ScriptedCall(*[run_item(log_count=count) for count in range(10)]))
    watch = make(script, time, run_id="r", time_limit=2.5, on_run=tick)
    with pytest.raises(WaitTimeoutError, match=r"run r has not ended within 2\.5 s; it goes on"):
        await collect(watch)
    assert script.made[0].cancelled
    with pytest.raises(StopAsyncIteration):
        await anext(watch)


async def test_the_callers_time_is_kept_while_nobody_is_there():
    time = FakeTime()
    script = Script(ScriptedCall(run_item(), AWAY), *[ScriptedCall(AWAY) for _ in range(100)])
    with pytest.raises(WaitTimeoutError):
        await collect(make(script, time, time_limit=3.0))
    assert time.now == pytest.approx(3.0)


@virtual_time
async def test_the_callers_time_is_kept_while_nothing_comes_and_that_is_no_orchestrators_fault():
    clock = asyncio.get_running_loop().time
    script = Script(*[ScriptedCall(run_item(), hang=True) for _ in range(10)])
    watch = AsyncBatchWatch(
        lambda position: AsBytes(script(position)), target="a:1,b:1", time_limit=100.0, ports=Ports(clock)
    )
    begin = clock()
    with pytest.raises(WaitTimeoutError):
        async for _ in watch:
            pass
    assert clock() - begin == pytest.approx(100)
    assert [call.left for call in script.made] == [True, True, True, False]
    assert all(call.cancelled for call in script.made)
