"""Pieces of work: none that was finished is repeated, and what failed in passing is not finished."""

from dataclasses import dataclass
from typing import Any

from athanor.experiment import RunContext, experiment
from athanor.experiment.testing import run_experiment
from athanor_experiments.models import ModelError
from athanor_experiments.resumable import MOST_CHECKPOINTS, Done, Resumable


class Passing(ModelError):
    passing = True


@dataclass(frozen=True)
class Number:
    index: int


def counting(troubles: dict[int, ModelError], did: list[int], attempts: int = 1) -> Any:
    @experiment(name="counting", max_attempts=attempts)
    async def counting(ctx: RunContext[Any]) -> None:
        resumable = Resumable[str](ctx, 4)

        async def work(piece: Number) -> Done[str]:
            ctx.info("begins")
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


def test_what_failed_in_passing_fails_the_run_while_there_are_attempts_left_and_is_a_result_of_the_last() -> None:
    troubles: dict[int, ModelError] = {2: Passing("timeout", "slow"), 3: Passing("http_503", "busy")}
    tried = counting(troubles, [], attempts=2)
    first = run_experiment(tried, {})
    assert first.failure is not None
    assert first.failure.kind == "exception", "after `fail` no other attempt would be made"
    assert first.failure.message.endswith(
        "2 of 4 failed for a reason that may pass, and are tried again by the next attempt; the last one: busy"
    )
    assert first.results == {f"piece_{at}": ["failed" if at in troubles else "done"] for at in range(4)}

    did: list[int] = []
    last = run_experiment(counting({3: troubles[3]}, did, attempts=2), {}, after=first)
    assert did == [2, 3]
    assert last.outcome == "completed"
    assert last.results["end"] == [[2, ["done", "done", "done", "failed"], ["busy"]]]
    assert last.standing_results["piece_3"] == ["failed"]


def test_what_failed_for_good_needs_no_other_attempt() -> None:
    assert run_experiment(counting({1: ModelError("http_404", "gone")}, [], attempts=2), {}).outcome == "completed"


def test_cancelled_in_the_middle_what_was_finished_and_what_failed_are_results() -> None:
    """Whatever they are, they have been paid for."""
    run = run_experiment(counting({2: Passing("timeout", "slow")}, []), {}, cancel_after=3)
    assert run.outcome == "cancelled"
    assert run.results == {"piece_0": ["done"], "piece_2": ["failed"]}
    kinds = [event.kind for event in run.events]
    assert kinds[-3:] == ["result", "checkpoint", "result"], "what failed is behind the checkpoint"


def many(did: list[int], total: int, breaks_at: int | None = None) -> Any:
    @experiment(name="many")
    async def many(ctx: RunContext[Any]) -> None:
        async def work(piece: Number) -> Done[int]:
            if piece.index == breaks_at:
                raise ValueError("broken")
            did.append(piece.index)
            return Done(piece.index, [("piece", piece.index)])

        resumable = Resumable[int](ctx, total)
        await resumable.do([Number(index) for index in range(total)], work, parallelism=1)

    return many


def test_however_many_pieces_there_are_not_more_checkpoints_than_can_be_kept() -> None:
    """Each has the outcomes of all pieces: one for each of them would make the log grow with their square."""
    run = run_experiment(many([], 1001), {})
    assert len(run.checkpoints) == 167 <= MOST_CHECKPOINTS
    assert run.results["piece"] == list(range(1001))
    assert run.checkpoints[-1] == {"outcomes": list(range(1001))}


def test_killed_among_many_pieces_none_that_was_recorded_under_a_checkpoint_is_repeated() -> None:
    for events in range(0, 40, 3):
        did: list[int] = []
        killed = run_experiment(many(did, 1001), {}, kill_after=events)
        under = 6 * len(killed.checkpoints)
        assert len(did) - under <= 6, "with the one whose results were being recorded"
        again: list[int] = []
        rest = run_experiment(many(again, 1001), {}, after=killed)
        assert again == list(range(under, 1001))
        assert rest.standing_results["piece"] == list(range(1001))


def test_what_ends_the_run_does_not_take_along_what_was_finished_before() -> None:
    broken = run_experiment(many([], 1001, breaks_at=10), {})
    assert broken.outcome == "failed"
    assert broken.results["piece"] == list(range(10))
    did: list[int] = []
    run_experiment(many(did, 1001), {}, after=broken)
    assert did == list(range(10, 1001))


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
