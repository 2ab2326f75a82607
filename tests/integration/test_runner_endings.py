"""How attempts end: real run processes under a real runner, against a scripted orchestrator."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from athanor.v1 import run_pb2

from tests.support.runner import Granted, Orchestrator, Runner, end_processes_of, processes_of
from tests.support.runner_experiments import write_experiments

COMPLETED = run_pb2.ATTEMPT_OUTCOME_COMPLETED
FAILED = run_pb2.ATTEMPT_OUTCOME_FAILED
CANCELLED = run_pb2.ATTEMPT_OUTCOME_CANCELLED
Kind = run_pb2.Failure


@pytest.fixture
async def runner(orchestrator: Orchestrator, tmp_path: Path, request: Any) -> AsyncIterator[Runner]:
    write_experiments(tmp_path)
    process = await Runner.start(orchestrator.target, tmp_path, "--slots", "4", env=getattr(request, "param", {}))
    yield process
    await process.close()
    end_processes_of(orchestrator.leases)
    print(process.log)


def check(
    lease: Granted, outcome: Any, kind: Any = None, exit_status: int | None = None, last: str | None = None
) -> None:
    """State, kind, exit status, last log line, and nothing left."""
    end = lease.ended
    assert end is not None
    assert end.outcome == outcome, end
    if kind is None:
        assert not end.HasField("failure"), end
    else:
        assert end.failure.kind == kind, end
        assert (end.failure.exit_status if end.failure.HasField("exit_status") else None) == exit_status
    if last is not None:
        assert lease.lines[-1] == last
    assert processes_of(lease.lease_id) == []


async def gone(runner: Runner, lease: Granted, orchestrator: Orchestrator) -> None:
    """The attempt's folder goes once its end is acknowledged."""
    folder = runner.state / "attempts" / lease.lease_id
    await orchestrator.until(lambda: not folder.exists(), "for the folder to go")


@pytest.mark.parametrize(
    ("experiment", "outcome", "kind", "exit_status", "last"),
    [
        ("returns", COMPLETED, None, None, "about to return"),
        ("raises", FAILED, Kind.KIND_EXCEPTION, 1, "about to raise"),
        ("fails", FAILED, Kind.KIND_REPORTED, 1, "about to fail"),
        ("completes_then_raises", FAILED, Kind.KIND_EXCEPTION, 1, "about to complete"),
        ("exits", FAILED, Kind.KIND_PROCESS_EXIT, 3, "about to leave"),
        ("segfaults", FAILED, Kind.KIND_PROCESS_EXIT, -11, None),
        ("kills_itself", FAILED, Kind.KIND_PROCESS_EXIT, -9, "about to be killed"),
        ("threads", COMPLETED, None, None, "all done"),
        ("forks", COMPLETED, None, None, "the parent goes on"),
        ("imports_missing", FAILED, Kind.KIND_LAUNCH, 1, None),
    ],
)
async def test_endings(
    runner: Runner, orchestrator: Orchestrator, experiment: str, outcome: Any, kind: Any, exit_status: Any, last: Any
) -> None:
    lease = await orchestrator.run(experiment)
    check(lease, outcome, kind, exit_status, last)
    assert list(lease.ended.stop_steps) == []
    await gone(runner, lease, orchestrator)


async def test_what_an_exception_says_is_kept(runner: Runner, orchestrator: Orchestrator) -> None:
    lease = await orchestrator.run("raises")
    assert "this is wrong" in lease.ended.failure.message
    assert "Traceback" in lease.ended.failure.detail
    assert "endings.py" in lease.ended.failure.detail


async def test_a_configuration_that_does_not_fit(runner: Runner, orchestrator: Orchestrator) -> None:
    lease = await orchestrator.run("logs", configuration='{"count": "many"}')
    check(lease, FAILED, Kind.KIND_CONFIGURATION, 1)
    assert not any(event.HasField("attempt_started") for event in lease.parsed)


async def test_what_ignores_everything_is_killed_with_all_of_it(runner: Runner, orchestrator: Orchestrator) -> None:
    lease = await orchestrator.give("deaf")
    await orchestrator.until(lambda: "deaf" in lease.lines)
    assert len(processes_of(lease.lease_id)) >= 2
    orchestrator.cancel(lease)
    await orchestrator.end_of(lease)
    check(lease, CANCELLED, Kind.KIND_PROCESS_EXIT, -9, "deaf")
    steps = [step.action for step in lease.ended.stop_steps]
    assert steps[0] == "cancel requested"
    assert steps[1].startswith("SIGTERM to ")
    assert steps[2].startswith("SIGKILL to ")
    assert steps[3:] == ["all gone"]


async def test_what_is_left_behind_is_ended(runner: Runner, orchestrator: Orchestrator) -> None:
    lease = await orchestrator.run("leaves_others")
    check(lease, COMPLETED, last="left two")
    assert [step.action for step in lease.ended.stop_steps] == ["SIGTERM to 2 processes", "all gone"]


async def test_a_timeout(runner: Runner, orchestrator: Orchestrator) -> None:
    lease = await orchestrator.run("sleeps", timeout=1.0)
    check(lease, FAILED, Kind.KIND_TIMEOUT, -15, "one second is not enough")
    assert [step.action for step in lease.ended.stop_steps] == ["SIGTERM to 1 process", "all gone"]


async def test_one_that_heeds_its_cancellation(runner: Runner, orchestrator: Orchestrator) -> None:
    for experiment in ("heeds", "tracks"):
        lease = await orchestrator.give(experiment, grace=20)
        await orchestrator.until(lambda lease=lease: "waiting" in lease.lines)
        orchestrator.cancel(lease)
        orchestrator.cancel(lease)
        await orchestrator.end_of(lease)
        check(lease, CANCELLED)
        assert [step.action for step in lease.ended.stop_steps] == ["cancel requested"]
        lease.cancel = None


async def test_cancelled_with_the_assignment_nothing_is_started(runner: Runner, orchestrator: Orchestrator) -> None:
    await orchestrator.knows("returns")
    lease = await orchestrator.give("returns")
    orchestrator.cancel(lease)
    await orchestrator.end_of(lease)
    assert lease.ended.outcome in (CANCELLED, COMPLETED)
    assert processes_of(lease.lease_id) == []


@pytest.mark.timeout(180)  # twenty seconds of work for both processors, where nobody else uses them
@pytest.mark.parametrize("experiment", ["floods", "floods_and_exits"])
@pytest.mark.parametrize(
    "runner",
    [{"ATHANOR_RUNNER_SPOOL_LIMIT_BYTES": "2000000", "ATHANOR_RUNNER_SEGMENT_BYTES": "1000000"}],
    indirect=True,
)
async def test_fifty_megabytes_through_c_against_a_small_spool(
    runner: Runner, orchestrator: Orchestrator, experiment: str
) -> None:
    lines = 500_000
    lease = await orchestrator.give(experiment, configuration=f'{{"count": {lines}}}')
    highest = 0
    spool = runner.state / "attempts" / lease.lease_id / "spool"

    async def watch() -> None:
        nonlocal highest
        while lease.ended is None:
            if spool.exists():
                sizes = [path.stat().st_size for path in spool.glob("*.seg") if path.exists()]
                highest = max(highest, sum(sizes))
            await asyncio.sleep(0.05)

    watching = asyncio.create_task(watch(), name="watching the spool")
    await orchestrator.end_of(lease, 150)
    await watching
    printed = [line for line in lease.lines if line.endswith("x" * 91)]
    assert printed == [f"{number:07d} " + "x" * 91 for number in range(lines)]
    assert highest < 10_000_000
    if experiment == "floods":
        check(lease, COMPLETED)
    else:
        check(lease, FAILED, Kind.KIND_PROCESS_EXIT, 3)


async def test_a_process_that_hangs_after_its_experiment_has_ended(runner: Runner, orchestrator: Orchestrator) -> None:
    lease = await orchestrator.run("hangs_after_its_end")
    check(lease, COMPLETED, last="a thread goes on")


async def test_what_a_run_process_is_given(runner: Runner, orchestrator: Orchestrator) -> None:
    import json

    lease = await orchestrator.run("environment")
    results = {
        event.result.key: json.loads(event.result.value_json) for event in lease.parsed if event.HasField("result")
    }
    environment = results["environment"]
    assert environment["ATHANOR_LEASE_ID"] == lease.lease_id
    assert not [name for name in environment if name.startswith(("GRPC_", "ATHANOR_RUNNER_S", "ATHANOR_TARGET"))]
    assert results["modules"] == []
    pid, group, session = results["ids"]
    assert pid == group == session


async def test_several_at_once_and_no_more_than_slots(
    runner: Runner, orchestrator: Orchestrator, tmp_path: Path
) -> None:
    leases = [await orchestrator.give("waits_for_go", configuration=f'{{"folder": "{tmp_path}"}}') for _ in range(4)]
    await orchestrator.until(lambda: all("ready" in lease.lines for lease in leases))
    extra = await orchestrator.give("returns")
    await orchestrator.until(lambda: extra.declined)
    assert "all 4 slots are taken" in extra.declined.detail
    (tmp_path / "go").touch()
    for lease in leases:
        check(await orchestrator.end_of(lease), COMPLETED, last="gone")
    check(await orchestrator.run("returns"), COMPLETED)
