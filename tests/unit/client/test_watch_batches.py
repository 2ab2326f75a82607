"""BatchWatch: a run's log in batches, as strictly as event by event, whatever happens to the connection."""

import grpc
import pytest
from athanor.client import EventBatch, ProgressUpdated, ProtocolError, RunUpdated
from athanor.v1 import run_pb2, run_service_pb2
from athanor_orchestrator.engine import framing

from tests.support.watch_calls import Script, ScriptedCall, batch_item, progress_item, rpc_error, run_item
from tests.unit.client.test_watch import collect, make, make_batches

AWAY = rpc_error(grpc.StatusCode.UNAVAILABLE, "Connection refused")
COMPLETED = run_pb2.RUN_STATE_COMPLETED


def told(*sequences: int, count: int | None = None) -> bytes:
    """A batch as this orchestrator sends it: with what it is in front."""
    payloads = [event.SerializeToString() for event in batch_item(*sequences).batch.events]
    sent = framing.batch_response(payloads, sequences[0], sequences[-1])
    if count is None:
        return sent
    assert count < 128
    return sent.replace(b"\x20" + bytes((len(sequences),)), b"\x20" + bytes((count,)), 1)


async def shown(watch) -> list[object]:
    out: list[object] = []
    async for item in watch:
        match item:
            case RunUpdated(run):
                out.append(run.state.value)
            case ProgressUpdated(progress):
                out.append(f"{progress.current}%")
            case EventBatch():
                out.append(list(item.sequences))
    return out


BOTH = pytest.mark.parametrize("batch", [told, batch_item], ids=["told", "untold"])


@BOTH
async def test_a_run_is_given_from_its_first_event_to_its_end(batch):
    call = ScriptedCall(run_item(), batch(1, 2), progress_item(50), batch(3), run_item(COMPLETED, 3))
    watch = make_batches(Script(call))
    assert await shown(watch) == ["RUNNING", [1, 2], "50%", [3], "COMPLETED"]
    assert watch.position == 3
    assert watch.run is not None


@BOTH
async def test_a_cut_connection_is_gone_on_from_behind_the_last_event(batch):
    script = Script(
        ScriptedCall(run_item(), batch(1, 2), AWAY),
        ScriptedCall(AWAY),
        ScriptedCall(run_item(), batch(3, 4), run_item(COMPLETED, 4)),
    )
    assert await shown(make_batches(script)) == ["RUNNING", [1, 2], [3, 4], "COMPLETED"]
    assert script.opened == [0, 2, 2]


@BOTH
async def test_of_events_that_come_again_none_is_given_twice(batch):
    script = Script(ScriptedCall(run_item(), batch(1, 2), batch(1, 2), batch(2, 3, 4), run_item(COMPLETED, 4)))
    assert await shown(make_batches(script)) == ["RUNNING", [1, 2], [3, 4], "COMPLETED"]


@BOTH
@pytest.mark.parametrize("wrong", [(2, 3), (1, 3)], ids=["between two batches", "within one"])
async def test_a_gap_is_an_interruption_and_none_of_it_is_given(batch, wrong):
    script = Script(
        ScriptedCall(run_item(), batch(*wrong)),
        ScriptedCall(run_item(), batch(1, 2, 3), run_item(COMPLETED, 3)),
    )
    assert await shown(make_batches(script)) == ["RUNNING", [1, 2, 3], "COMPLETED"]
    assert script.opened == [0, 0]


@BOTH
async def test_a_gap_that_always_comes_back_is_an_error(batch):
    script = Script(*[ScriptedCall(run_item(), batch(2)) for _ in range(10)])
    with pytest.raises(ProtocolError, match="some are missing"):
        await shown(make_batches(script))


@BOTH
async def test_a_filter_leaves_gaps(batch):
    script = Script(ScriptedCall(run_item(), batch(2, 7), batch(9), run_item(COMPLETED, 12)))
    assert await shown(make_batches(script, filtered=True)) == ["RUNNING", [2, 7], [9], "COMPLETED"]


async def test_the_bytes_are_those_that_came():
    watch = make_batches(Script(ScriptedCall(run_item(), told(1, 2, 3), run_item(COMPLETED, 3))))
    (batch,) = [item async for item in watch if isinstance(item, EventBatch)]
    whole = run_service_pb2.WatchRunResponse.FromString(told(1, 2, 3))
    assert run_service_pb2.RunEventBatch.FromString(batch.data) == whole.batch
    assert told(1, 2, 3).endswith(batch.data)


async def test_an_event_by_event_watch_trusts_no_batch_that_is_not_what_it_is_said_to_be():
    # Three events that are said to be four: none of them is given, and it is asked for them again.
    lie = told(1, 2, 3, count=4).replace(b"\x18\x03", b"\x18\x04", 1)
    script = Script(
        ScriptedCall(run_item(), lie), ScriptedCall(run_item(), told(1, 2, 3), told(4), run_item(COMPLETED, 4))
    )
    assert await collect(make(script)) == ["RUNNING", "m1", "m2", "m3", "m4", "COMPLETED"]
    assert script.opened == [0, 0]


async def test_bytes_that_are_no_response_are_an_interruption():
    script = Script(ScriptedCall(run_item(), b"\x12\xff"), ScriptedCall(run_item(COMPLETED)))
    assert await shown(make_batches(script)) == ["RUNNING", "COMPLETED"]


async def test_only_one_batch_is_read_for_each_that_is_asked_for():
    call = ScriptedCall(run_item(), *[told(n) for n in range(1, 100)], run_item(COMPLETED, 99))
    watch = make_batches(Script(call))
    for _ in range(3):
        await anext(watch)
    assert len(call.script) == 98
