"""Captured output on its way through crashes."""

from tests.support.runner import Orchestrator
from tests.support.runner_stage import Start, numbers


async def test_output_survives_as_it_was_printed(orchestrator: Orchestrator, start: Start) -> None:
    """What was captured, and had become events when the runner was killed, is neither doubled nor lost."""
    runner = await start(ATHANOR_RUNNER_SPOOL_LIMIT_BYTES="1000000")
    lease = await orchestrator.give("floods_and_exits", configuration='{"count": 60000}')
    await orchestrator.until(lambda: len(lease.events) > 5000)
    runner.kill()
    await runner.wait()
    await start(ATHANOR_RUNNER_SPOOL_LIMIT_BYTES="1000000")
    await orchestrator.end_of(lease)
    assert numbers(lease) == list(range(60_000))
