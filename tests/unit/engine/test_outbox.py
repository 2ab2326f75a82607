"""What waits to be written to a runner, and how little of it there is."""

import asyncio

from athanor_orchestrator.engine.messages import Acknowledgement, Fence, Report
from athanor_orchestrator.engine.outbox import Outbox, ReportOutbox

from tests.support.virtual_time import virtual_time


@virtual_time
async def test_messages_come_in_order_and_a_newer_one_takes_the_place_of_an_older():
    outbox: Outbox[tuple[str, int]] = Outbox(lambda item: item[0])
    for item in [("a", 1), ("b", 1), ("a", 2)]:
        outbox.put(item)
    assert len(outbox) == 2
    assert [await outbox.get(), await outbox.get()] == [("a", 2), ("b", 1)]


@virtual_time
async def test_a_closed_outbox_wakes_who_waits_and_drops_what_waits():
    outbox: Outbox[int] = Outbox(lambda item: item)
    waiting = asyncio.create_task(outbox.get())
    await asyncio.sleep(1)
    outbox.close()
    outbox.put(1)
    assert await waiting is None
    assert await outbox.get() is None
    assert len(outbox) == 0


@virtual_time
async def test_answers_that_wait_go_out_as_one():
    outbox = ReportOutbox()
    outbox.acknowledge(Acknowledgement("a", 3))
    outbox.acknowledge(Acknowledgement("b", 3, rewind=True))
    outbox.acknowledge(Acknowledgement("a", 5))
    outbox.fence(Fence("c", "over"))
    assert await outbox.get() == Report(
        (Acknowledgement("a", 5), Acknowledgement("b", 3, rewind=True)), (Fence("c", "over"),)
    )
    waiting = asyncio.create_task(outbox.get())
    await asyncio.sleep(1)
    assert not waiting.done()
    outbox.close()
    assert await waiting is None


@virtual_time
async def test_an_answer_that_says_nothing_is_an_answer():
    outbox = ReportOutbox()
    outbox.answer_nothing()
    assert await outbox.get() == Report()
