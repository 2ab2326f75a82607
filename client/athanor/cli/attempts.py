"""The attempts at a run in words: how each ended, what was done to end it, and what comes next."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from athanor.cli import words

if TYPE_CHECKING:
    from athanor.client import AsyncClient, Attempt, RunPolicy, RunRecord
    from athanor.client.events import StopStep

Steps: TypeAlias = "Mapping[int, Sequence[StopStep]]"  # by attempt


async def stop_steps(client: "AsyncClient", run_id: str) -> Steps:
    """Read from a run's log what was done to stop its attempts."""
    from athanor.client import AttemptEnded, EventFilter, EventKind

    ends = client.runs.events(run_id, filter=EventFilter(kinds=(EventKind.LIFECYCLE,)))
    return {end.attempt: end.stop_steps async for end in ends if isinstance(end, AttemptEnded) and end.stop_steps}


def policy(item: "RunPolicy") -> str:
    """What is done when an attempt fails or its runner falls silent; empty when there is but one."""
    if item.max_attempts is None or item.max_attempts == 1:
        return ""
    return (
        f"{item.max_attempts} attempts, the second {words.duration(item.retry_backoff)} after the first; "
        f"a silent runner is given up after {words.duration(item.lost_after)}"
    )


def described(run: "RunRecord", steps: Steps) -> list[str]:
    """Several lines for each attempt, the first of them with its number."""
    found = list[str]()
    for one in run.attempts:
        found.append(_headline(one))
        found.append(f"   log: {words.log_of(one)}")
        if one.failure:
            found.append(f"   {words.failure(one.failure)}")
        found += [f"   {words.clock(step.time)} {step.action}" for step in steps.get(one.number, ())]
        version = [one.code.module, one.code.distribution, one.code.git_commit + ("*" if one.code.git_dirty else "")]
        if one.code.digest:
            found.append(f"   code {one.code.digest[:12]} {' '.join(filter(None, version))}")
    return found


def _headline(one: "Attempt") -> str:
    text = f"{one.number}: {one.outcome.value if one.outcome else 'under way'} on runner {one.runner_id}"
    if one.start_time and one.end_time:
        text += f" after {words.duration(one.end_time - one.start_time)}"
    return text
