"""Pieces of work: none that was finished is repeated, and what failed in passing is not finished."""

from dataclasses import dataclass
from typing import Any

from athanor.experiment import RunContext, experiment
from athanor.experiment.testing import run_experiment
from athanor_experiments.models import ModelError
from athanor_experiments.resumable import Done, Resumable


class Passing(ModelError):
    passing = True


@dataclass(frozen=True)
class Number:
    index: int


def counting(troubles: dict[int, ModelError], did: list[int]) -> Any:
    @experiment(name="counting")
    async def counting(ctx: RunContext[Any]) -> None:
        resumable = Resumable[str](ctx, 4)

        async def work(piece: Number) -> Done[str]:
            did.append(piece.index)
            error = troubles.get(piece.index)
            said = "done" if error is None else "failed"
            return Done(said, [(f"piece_{piece.index}", said)], [] if error is None else [error])

        outcomes = await resumable.do([Number(index) for index in (2, 0, 3, 1)], work, parallelism=1)
        ctx.result("end", [resumable.done_before, outcomes, [str(error) for error in resumable.errors]])

    return counting


def test_what_failed_for_good_is_finished_and_what_failed_in_passing_comes_last_and_is_done_again() -> None:
    did: list[int] = []
    troubles = {2: Passing("timeout", "slow"), 0: ModelError("http_404", "gone")}
    first = run_experiment(counting(troubles, did), {})
    assert did == [2, 0, 3, 1]
    assert list(first.results) == ["piece_0", "piece_3", "piece_1", "piece_2", "end"]
    assert first.results["end"] == [[0, ["failed", "done", "failed", "done"], ["slow", "gone"]]]

    again = run_experiment(counting({}, did), {}, after=first)
    assert did[4:] == [2]
    assert again.results["end"] == [[3, ["failed", "done", "done", "done"], []]]
    assert again.standing_results["piece_2"] == ["done"]
    assert again.standing_results["piece_0"] == ["failed"]


def test_killed_after_any_event_it_goes_on_behind_the_last_that_was_finished() -> None:
    whole = run_experiment(counting({}, []), {})
    assert len(whole.checkpoints) == 4
    for events in range(len(whole.events) - 1):
        did: list[int] = []
        killed = run_experiment(counting({}, []), {}, kill_after=events)
        rest = run_experiment(counting({}, did), {}, after=killed)
        assert did == [2, 0, 3, 1][len(killed.checkpoints) :]
        assert {key: value for key, value in rest.standing_results.items() if key != "end"} == {
            f"piece_{index}": ["done"] for index in range(4)
        }
