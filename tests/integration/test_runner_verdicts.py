"""What the orchestrator says about an attempt, by a verdict, a fence or a newer session."""

from athanor.runner.v1 import dispatch_service_pb2 as pb
from athanor.v1 import run_pb2

from tests.support.runner import Orchestrator, processes_of
from tests.support.runner_stage import Start, logging_run, numbers

COMPLETED = run_pb2.ATTEMPT_OUTCOME_COMPLETED


async def test_a_fence_kills_and_keeps_what_was_not_shipped(orchestrator: Orchestrator, start: Start) -> None:
    runner = await start()
    lease = await logging_run(orchestrator, 100_000, 0.001)
    lease.fenced = "the runner had been given up"
    quarantine = runner.state / "quarantine" / lease.lease_id
    await orchestrator.until(lambda: quarantine.exists())
    assert processes_of(lease.lease_id) == []
    assert not (runner.state / "attempts" / lease.lease_id).exists()
    note = (quarantine / "NOTE.txt").read_text()
    assert lease.run_id in note
    assert "the runner had been given up" in note
    assert list((quarantine / "spool").glob("*.seg"))
    await orchestrator.until(lambda: lease.gone, "for process_gone")
    await orchestrator.until(lambda: not orchestrator.heartbeats[-1].gone_lease_ids)
    assert not (quarantine / "unreported").exists()
    assert (await orchestrator.run("returns")).ended.outcome == COMPLETED


async def test_fenced_by_the_verdict_after_a_crash(orchestrator: Orchestrator, start: Start) -> None:
    runner = await start()
    lease = await orchestrator.give("deaf")
    await orchestrator.until(lambda: "deaf" in lease.lines)
    runner.kill()
    await runner.wait()
    lease.fenced = "given up"
    stored = len(lease.events)
    await start()
    await orchestrator.until(lambda: lease.gone)
    assert processes_of(lease.lease_id) == []
    assert len(lease.events) == stored
    assert (runner.state / "quarantine" / lease.lease_id / "NOTE.txt").exists()


async def test_kept_is_neither_shipped_nor_named_nor_numbered(orchestrator: Orchestrator, start: Start) -> None:
    runner = await start()
    lease = await logging_run(orchestrator, 100_000, 0.001)
    runner.kill()
    await runner.wait()
    orchestrator.verdicts[lease.lease_id] = pb.Verdict(lease_id=lease.lease_id, keep=pb.Keep())
    spool = runner.state / "attempts" / lease.lease_id / "spool"
    before = {path: path.read_bytes() for path in spool.glob("*.seg")}
    stored = len(lease.events)
    beats = len(orchestrator.heartbeats)
    second = await start()
    await orchestrator.until(lambda: len(orchestrator.heartbeats) > beats + 2)
    assert all(lease.lease_id not in beat.lease_ids for beat in orchestrator.heartbeats[beats:])
    assert {path: path.read_bytes() for path in spool.glob("*.seg")} == before
    assert len(lease.events) == stored

    second.signal()
    assert await second.wait() == 0
    orchestrator.verdicts.clear()  # the operator has brought the database back
    await start()
    await orchestrator.end_of(lease)


async def test_kept_while_it_runs_and_fenced_once_its_run_has_gone_on_without_it(
    orchestrator: Orchestrator, start: Start
) -> None:
    runner = await start()
    lease = await logging_run(orchestrator, 100_000, 0.001)
    orchestrator.verdicts[lease.lease_id] = pb.Verdict(lease_id=lease.lease_id, keep=pb.Keep())
    orchestrator.break_session()
    await orchestrator.connected(2)
    beats = len(orchestrator.heartbeats)
    await orchestrator.until(lambda: len(orchestrator.heartbeats) > beats + 1)
    assert processes_of(lease.lease_id) != []

    lease.fenced = "attempt 1 of the run is another one"
    quarantine = runner.state / "quarantine" / lease.lease_id
    await orchestrator.until(lambda: quarantine.exists())
    assert processes_of(lease.lease_id) == []
    assert "attempt 1 of the run is another one" in (quarantine / "NOTE.txt").read_text()
    await orchestrator.until(lambda: lease.gone)


async def test_released_by_the_verdict_the_folder_goes(orchestrator: Orchestrator, start: Start) -> None:
    runner = await start()
    lease = await logging_run(orchestrator, 100_000, 0.001)
    runner.kill()
    await runner.wait()
    orchestrator.verdicts[lease.lease_id] = pb.Verdict(lease_id=lease.lease_id, release=pb.Release())
    await start()
    folder = runner.state / "attempts" / lease.lease_id
    await orchestrator.until(lambda: not folder.exists())


async def test_superseded_makes_a_new_session(orchestrator: Orchestrator, start: Start) -> None:
    await start()
    lease = await logging_run(orchestrator, 800, 0.001)
    orchestrator._newest = "somebody else"  # its streams are aborted from here on
    orchestrator.break_reports()
    await orchestrator.connected(2)
    await orchestrator.end_of(lease)
    assert numbers(lease) == list(range(800))


async def test_an_unknown_experiment_is_declined(orchestrator: Orchestrator, start: Start) -> None:
    await start()
    await orchestrator.knows("returns")
    orchestrator.definitions.append(orchestrator.definitions[0].__class__())
    orchestrator.definitions[-1].experiment.name = "nonsense"
    lease = await orchestrator.give("nonsense")
    await orchestrator.until(lambda: lease.declined)
    assert lease.declined.reason == pb.DECLINE_REASON_NO_SUCH_EXPERIMENT
