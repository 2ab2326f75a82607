"""Why a run waits, from what is known of the runners."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from athanor.cli import words

if TYPE_CHECKING:
    from athanor.client import RunnerRecord, RunRecord


def why(run: "RunRecord", runners: "Iterable[RunnerRecord]") -> str:
    """Say why a run that is PENDING is not executed; empty when a runner is about to take it."""
    if run.next_attempt_time:
        return f"waits for its next attempt, from {words.clock(run.next_attempt_time)}"
    able = [runner for runner in runners if runner.connected and run.experiment in runner.experiments]
    if not able:
        return f"no connected runner has {run.experiment!r}"
    taking = [runner for runner in able if not runner.draining]
    if not taking:
        return "every runner that has it is draining"
    if all(len(runner.run_ids) >= runner.slots for runner in taking):
        return "waits for a free slot"
    return ""
