"""A runner is lost in the middle of `digits`, and the run goes on, there or elsewhere, from its last checkpoint.

Every fit is to be in the results table once, however many attempts there were.
"""

import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from athanor.v1 import run_event_pb2, run_pb2, run_policy_pb2

from tests.support.system import BIN, Child, System, wait_until

EXPERIMENTS = Path(__file__).parent / "experiments"
CLASSIFIERS, SIZES, REPEATS = ("logistic_regression", "rbf_svm", "k_nearest", "random_forest"), (100, 300, 1000), 10
FITS = [f"fit/{name}/{size}/{n}" for name in CLASSIFIERS for size in SIZES for n in range(1, REPEATS + 1)]
SUMMARIES = [f"summary/{name}/{size}" for name in CLASSIFIERS for size in SIZES]
HEARTBEAT = 5.0  # seconds; a lease may have been renewed this long before the runner was killed
LOST_AFTER = 60.0  # the shortest that a policy may say

Failure = run_pb2.Failure


@pytest.mark.timeout(240)
def test_one_runner_never_comes_back_and_one_too_late_and_another_resumes(database_url: str, tmp_path: Path) -> None:
    """Both in one test, because both take the minute that has to pass."""
    stop_file = tmp_path / "stop"
    with System(tmp_path / "system", database_url=database_url, paths=[EXPERIMENTS]) as system:
        system.start_orchestrator()
        killed = system.start_runner("killed", "--slots", "1")
        following = follow_digits(system, "--lost-after", f"{LOST_AFTER:g}s", "--grace", "0", "--backoff", "1s")
        digits = wait_for_results(system, following, 10)
        frozen = system.start_runner("frozen", "--slots", "1")
        counting = system.start_run("counting", {"stop_file": str(stop_file)}, policy=two_attempts()).id
        wait_until(lambda: system.get_run(counting).result_count > 10, 30, "the other run to count")
        system.start_runner("second", "--slots", "2")

        killed.kill()
        frozen.send(signal.SIGSTOP)  # its run's process goes on, into the spool
        lost_at = time.time()
        wait_until(lambda: len(system.run_processes()) == 1, 5, "the run's process to end with its runner")
        (zombie,) = system.run_processes()
        assert system.get_run(digits).state == run_pb2.RUN_STATE_RUNNING, "silence ends nothing"

        assert following.wait(200) == 0, following.log
        run = system.get_run(digits)
        one, two = run.attempts
        check_lost(one, lost_at)
        assert (two.outcome, two.log_complete) == (run_pb2.ATTEMPT_OUTCOME_COMPLETED, True)
        assert runner_names(system, run) == ["killed", "second"]
        check_digits(system, database_url, digits)

        said = "\n".join(following.lines)
        assert re.search(r"attempt 1 FAILED: RUNNER_LOST: its runner was silent for [67]\d s", said)
        assert re.search(r"PENDING: attempt 1 of 3 failed: .*; the next one in 1 s", said)
        assert re.search(rf"attempt 2 started on runner {two.runner_id}, from the checkpoint at event \d+", said)
        shown = system.cli("runs", "show", digits).stdout
        assert "RUNNER_LOST" in shown
        assert "3 attempts, the second 1.0s after the first" in shown

        # The other one is back when the next attempt counts already. What it has is put aside, and its process killed.
        wait_until(lambda: len(system.get_run(counting).attempts) == 2, 60, "the second attempt")
        assert zombie in system.run_processes(), "the runner that would have stopped it stands still"
        frozen.send(signal.SIGCONT)
        quarantine = tmp_path / "system" / "frozen" / "quarantine"
        wait_until(lambda: list(quarantine.glob("*/NOTE.txt")), 30, "the attempt to be put aside")
        wait_until(lambda: system.get_run(counting).attempts[0].process_gone, 30, "the word that no process is left")
        assert zombie not in system.run_processes()
        stop_file.touch()
        run = system.wait_for_end(counting)
        assert run.state == run_pb2.RUN_STATE_COMPLETED, str(run)
        check_lost(run.attempts[0], lost_at)
        assert runner_names(system, run) == ["frozen", "second"]
        events = check_log(system, run)
        (ended,) = [event.sequence for event in events if event.HasField("attempt_ended") and event.attempt == 1]
        assert [event for event in events if event.attempt == 1 and event.sequence > ended] == []
        counted = [one["value"] for one in system.cli_json("results", counting)["results"]]
        assert counted == list(range(len(counted)))
        assert run.result_count == len(counted)
        assert system.run_processes() == []


@pytest.mark.timeout(150)
@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ("it is killed and started again", Failure.KIND_RUNNER_RESTARTED),
        ("it is told to stop, and there is another", Failure.KIND_RUNNER_STOPPED),
    ],
)
def test_the_runner_comes_back_or_leaves_in_order(database_url: str, tmp_path: Path, how: str, kind: int) -> None:
    with System(tmp_path / "system", database_url=database_url) as system:
        system.start_orchestrator()
        runner = system.start_runner("first", "--stop-grace", "0.1")
        following = follow_digits(system, "--backoff", "0")
        run_id = wait_for_results(system, following, 10)

        if kind == Failure.KIND_RUNNER_RESTARTED:
            runner.kill()
            system.start_runner("first")
        else:
            system.start_runner("second")
            assert runner.stop() == 0

        assert following.wait(120) == 0, following.log
        run = system.get_run(run_id)
        one, two = run.attempts
        assert (one.failure.kind, one.log_complete, one.process_gone) == (kind, True, True)
        assert two.outcome == run_pb2.ATTEMPT_OUTCOME_COMPLETED
        assert (one.runner_id == two.runner_id) == (kind == Failure.KIND_RUNNER_RESTARTED)
        assert system.run_processes() == []
        check_digits(system, database_url, run_id)


def follow_digits(system: System, *options: str) -> Child:
    """`athanor run digits` with three attempts, followed."""
    system.wait_for_experiment("digits")
    command = [str(BIN / "athanor"), "run", "digits", "--attempts", "3", "--seed", "7", *options]
    return system.start("following", *command, env={"ATHANOR_TARGET": system.target})


def wait_for_results(system: System, following: Child, count: int) -> str:
    """The run's id, once it has so many results."""
    following.wait_for_line(r"result fit/", 60)
    (run,) = system.cli_json("runs", "list")["runs"]
    wait_until(lambda: system.get_run(run["id"]).result_count >= count, 60, f"{count} results")
    return run["id"]


def two_attempts() -> run_policy_pb2.RunPolicy:
    policy = run_policy_pb2.RunPolicy(max_attempts=2)
    policy.lost_after.FromSeconds(round(LOST_AFTER))
    policy.cancel_grace_period.FromSeconds(0)
    policy.retry_backoff.FromSeconds(1)
    return policy


def runner_names(system: System, run: run_pb2.Run) -> list[str]:
    """Who made the attempts."""
    names = {runner["id"]: runner["display_name"] for runner in system.cli_json("runners", "list")["runners"]}
    return [names[attempt.runner_id] for attempt in run.attempts]


def check_lost(attempt: run_pb2.Attempt, lost_at: float) -> None:
    assert (attempt.outcome, attempt.failure.kind) == (run_pb2.ATTEMPT_OUTCOME_FAILED, Failure.KIND_RUNNER_LOST)
    assert not attempt.log_complete
    after = attempt.end_time.ToNanoseconds() / 1e9 - lost_at
    assert after >= LOST_AFTER - HEARTBEAT - 0.5, "no sooner than was said"


def check_log(system: System, run: run_pb2.Run) -> list[run_event_pb2.RunEvent]:
    events = system.events(run.id)
    assert [event.sequence for event in events] == list(range(1, run.last_sequence + 1))
    return events


def check_digits(system: System, database_url: str, run_id: str) -> None:
    """The second attempt went on where the first had got to, and each result stands once."""
    run = system.get_run(run_id)
    assert run.state == run_pb2.RUN_STATE_COMPLETED
    expected = {*FITS, *SUMMARIES, "summary"}
    assert run.result_count == len(expected)

    events = check_log(system, run)
    starts = [event for event in events if event.HasField("attempt_started")]
    saved = [event.sequence for event in events if event.HasField("checkpoint") and event.attempt == 1]
    assert [start.attempt_started.restored_sequence for start in starts] == [0, saved[-1]]
    by_attempt = [fits_of(events, attempt) for attempt in (1, 2)]
    assert len(by_attempt[1]) == len(FITS) - len(saved), "no fit that was finished is repeated"

    # In SQL, on the command line, and in the order in which they were recorded.
    table = standing(database_url, run_id)
    assert sorted(key for key, _ in table) == sorted(expected)
    listed = system.cli_json("results", run_id)["results"]
    assert [one["key"] for one in listed] == [key for key, _ in table]
    assert not any(one["superseded"] for one in listed)
    everything = system.cli_json("results", run_id, "--superseded")["results"]
    recorded = [event.result.key for event in events if event.HasField("result")]
    assert [one["key"] for one in everything] == recorded
    assert {one["attempt"] for one in everything if one["superseded"]} <= {1}
    assert [one for one in everything if not one["superseded"]] == listed

    # The summary is that of the fits that stand, whichever attempt made them.
    values: dict[str, Any] = {one["key"]: one["value"] for one in listed}
    for name in CLASSIFIERS:
        for size in SIZES:
            accuracies = [values[f"fit/{name}/{size}/{n}"]["accuracy"] for n in range(1, REPEATS + 1)]
            mean = values[f"summary/{name}/{size}"]["mean"]
            assert mean == pytest.approx(sum(accuracies) / REPEATS, abs=2e-6)


def fits_of(events: list[run_event_pb2.RunEvent], attempt: int) -> list[str]:
    return [
        event.result.key
        for event in events
        if event.HasField("result") and event.attempt == attempt and event.result.key.startswith("fit/")
    ]


def standing(database_url: str, run_id: str) -> list[tuple[str, int]]:
    """What SQL says: keys of the results that stand, with their sequences, in order."""
    engine = sqlalchemy.create_engine(database_url, poolclass=sqlalchemy.NullPool)
    query = "SELECT key, sequence FROM run_results WHERE run_id = :run AND NOT superseded ORDER BY sequence"
    with engine.connect() as connection:
        return [(row.key, row.sequence) for row in connection.execute(sqlalchemy.text(query), {"run": run_id})]
