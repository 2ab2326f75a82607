"""How experiments end, each in processes of its own, with everything that a user then sees of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from athanor.v1 import run_pb2

from tests.acceptance import endings
from tests.support.system import System

EXPERIMENTS = Path(__file__).parent / "experiments"

# Small limits, so that the 50 MB go through many segments and fill the spool more than once. SIGKILL comes soon.
RUNNER = {
    "ATHANOR_RUNNER_SPOOL_LIMIT_BYTES": str(8 * 1024 * 1024),
    "ATHANOR_RUNNER_SEGMENT_BYTES": str(2 * 1024 * 1024),
    "ATHANOR_RUNNER_KILL_DELAY": "0.5",
}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with System(tmp_path_factory.mktemp("endings"), paths=[EXPERIMENTS], env=RUNNER) as system:
        system.start_orchestrator()
        system.start_runner()
        yield system


@pytest.mark.timeout(120)
@pytest.mark.parametrize("ending", endings.ENDINGS, ids=lambda ending: ending.how)
def test_how_an_experiment_ends(system: System, ending: endings.Ending, tmp_path: Path) -> None:
    run_id = ending.drive(system, ending, tmp_path)
    run = system.wait_for_end(run_id, timeout=100)
    assert system.run_processes() == [], "an ended run has no process left"

    state = run_pb2.RunState.Name(run.state).removeprefix("RUN_STATE_")
    assert state in ending.state.split(" or "), str(run)
    assert kind_of(run.failure) == ending.failure, str(run)
    assert ending.message in run.failure.message
    assert (run.failure.exit_status if run.failure.HasField("exit_status") else None) == ending.exit_status

    events = system.events(run_id)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert run.last_sequence == len(events)
    assert events[-1].state_change.state == run.state

    messages = [event.log.message for event in events if event.HasField("log")]
    if ending.last_line:
        assert messages[-1] == ending.last_line, messages[-5:]
    if ending.also is not None:
        ending.also(events)

    if ending.log_complete is None:
        assert not run.attempts
    else:
        (attempt,) = run.attempts
        assert attempt.process_gone
        assert attempt.log_complete == ending.log_complete
        assert events[-2].HasField("attempt_ended"), "the last event of an attempt"
        assert attempt.last_sequence == len(events) - 1


def kind_of(failure: run_pb2.Failure) -> str:
    return run_pb2.Failure.Kind.Name(failure.kind).removeprefix("KIND_") if failure.kind else ""
