"""What time does to runs whose runners fall silent."""

import asyncio
from dataclasses import replace

import pytest
from athanor_orchestrator.domain.errors import StorageUnavailable
from athanor_orchestrator.domain.records import FailureKind, LeaseEnd, RunState
from athanor_orchestrator.engine import codec, reaper
from athanor_orchestrator.engine.reaper import expire
from athanor_orchestrator.storage import events, requests, runners

from tests.support.orchestrated import EXPERIMENT, Orchestrated, answered
from tests.support.runner_script import OTHER_RUNNER, RUNNER, held, hello
from tests.support.virtual_time import virtual_time


async def running(at: Orchestrated, **run: object):
    """Have a run RUNNING on runner-1, whose heartbeats nobody sends."""
    run_id = at.new_run(**run)
    session = await at.connect(hello(), EXPERIMENT)
    assignment, script = await at.take_up(session)
    stream = await at.side.intake.open(session)
    await answered(stream)
    await at.side.intake.deliver(stream, script.delivery(script.started(), script.log()))
    await answered(stream)
    return run_id, assignment, script, session, stream


def connected(at: Orchestrated) -> bool:
    runner = at.database.look(lambda tx: runners.get_runner(tx, RUNNER))
    assert runner is not None
    return runner.connected


@virtual_time
async def test_silence_is_a_flag_that_the_next_heartbeat_takes_down(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id, assignment, _, session, _ = await running(at)
        since = at.lease(assignment.lease_id).renew_time_us
        await asyncio.sleep(14)
        assert at.run(run_id).unreachable_since_us is None
        assert connected(at)

        await asyncio.sleep(7)
        assert at.run(run_id).unreachable_since_us == since
        assert at.run(run_id).state is RunState.RUNNING
        assert not connected(at)

        await at.beat(session, assignment.lease_id)
        assert at.run(run_id).unreachable_since_us is None
        assert connected(at)


@virtual_time
async def test_a_runner_that_sends_heartbeats_is_never_flagged(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id, _, _, session, _ = await running(at, lost_after=70)
        async with at.alive(session):
            await asyncio.sleep(600)
        assert at.run(run_id).unreachable_since_us is None
        assert at.run(run_id).state is RunState.RUNNING


@virtual_time
async def test_a_hello_that_resumes_takes_the_flag_down(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id, assignment, *_ = await running(at)
        await asyncio.sleep(30)
        assert at.run(run_id).unreachable_since_us is not None
        await at.side.sessions.open(hello(RUNNER, 2, held(run_id, assignment.lease_id, first=2, last=3)))
        assert at.run(run_id).unreachable_since_us is None


@virtual_time
async def test_an_orchestrator_that_was_away_flags_nobody_before_it_has_listened_for_a_while(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id, *_ = await running(at)
    at.clock.jump(3600)
    at.restart()
    async with at.running():
        await asyncio.sleep(14)
        assert at.run(run_id).unreachable_since_us is None
        assert connected(at)


@pytest.mark.parametrize(
    ("attempts", "cancelled", "state"),
    [(1, False, RunState.FAILED), (2, False, RunState.PENDING), (1, True, RunState.CANCELLED)],
)
@virtual_time
async def test_a_lease_that_is_over_ends_its_attempt(orchestrate, attempts, cancelled, state):
    at = orchestrate()
    async with at.running():
        run_id, assignment, script, session, stream = await running(at, max_attempts=attempts, lost_after=600)
        if cancelled:
            at.cancel(run_id)
        await asyncio.sleep(595)
        assert at.run(run_id).state is RunState.RUNNING
        await asyncio.sleep(15)

        run = at.run(run_id)
        assert run.state is state
        assert (run.lease_id, run.unreachable_since_us) == (None, None)
        (attempt,) = run.attempts
        assert attempt.failure is not None
        assert attempt.failure.kind is FailureKind.RUNNER_LOST
        assert (attempt.log_complete, attempt.process_gone, attempt.last_sequence) == (False, False, 4)
        assert at.lease(assignment.lease_id).end is LeaseEnd.LOST
        log = at.log(run_id)
        assert log[3].attempt_ended.digest == b""
        assert log[3].attempt_ended.event_count == 3

        # What the zombie still delivers is fenced, and not stored.
        await at.side.intake.deliver(stream, script.delivery(script.log("still here")))
        (fence,) = (await answered(stream)).fences
        assert fence.lease_id == assignment.lease_id
        assert at.run(run_id).last_sequence == 5
        reply = await at.beat(session, assignment.lease_id)
        assert [each.lease_id for each in reply.fences] == [assignment.lease_id]


@virtual_time
async def test_nothing_of_an_older_attempt_is_stored_once_a_new_one_was_granted(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id, _, script, _, stream = await running(at, max_attempts=2, lost_after=70)
        await asyncio.sleep(100)
        other = await at.connect(hello(OTHER_RUNNER), EXPERIMENT)
        async with at.alive(other):
            assignment, second = await at.take_up(other)
            assert (assignment.run_id, assignment.attempt) == (run_id, 2)
            fresh = await at.side.intake.open(other)
            await answered(fresh)
            await at.side.intake.deliver(stream, script.delivery(script.log("zombie")))
            assert (await answered(stream)).fences
            await at.side.intake.deliver(fresh, second.delivery(second.started(), second.log("new")))
            await answered(fresh)
            await at.side.intake.deliver(stream, script.delivery(script.log("zombie")))
            assert (await answered(stream)).fences
    assert [event.log.message for event in at.log(run_id) if event.HasField("log")] == ["line", "new"]


@virtual_time
async def test_a_lease_that_was_never_taken_up_uses_up_the_attempt_when_it_is_over(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id = at.new_run(lost_after=70)
        session = await at.connect(hello(), EXPERIMENT)
        await at.assigned(session)
        await asyncio.sleep(100)
        run = at.run(run_id)
        assert run.state is RunState.FAILED
        assert [attempt.number for attempt in run.attempts] == [1]
    assert at.kinds(run_id) == ["state_change", "attempt_ended", "state_change"]


@virtual_time
async def test_neither_downtime_nor_a_moved_clock_ends_a_run(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id, *_ = await running(at, lost_after=70)
        await asyncio.sleep(20)
        at.clock.jump(24 * 3600)
        await asyncio.sleep(40)
        assert at.run(run_id).state is RunState.RUNNING
    at.clock.jump(3600)  # down for an hour
    at.restart()
    async with at.running():
        await asyncio.sleep(60)
        assert at.run(run_id).state is RunState.RUNNING
        await asyncio.sleep(60)
        assert at.run(run_id).state is RunState.FAILED


@virtual_time
async def test_time_in_which_the_database_was_away_is_left_out(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id, *_ = await running(at, lost_after=70)
        at.database.refuse = lambda command: StorageUnavailable("away")
        await asyncio.sleep(600)
        at.database.refuse = lambda command: None
        await asyncio.sleep(60)
        assert at.run(run_id).state is RunState.RUNNING
        await asyncio.sleep(30)
        assert at.run(run_id).state is RunState.FAILED


@virtual_time
async def test_time_around_every_failed_round_is_left_out(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id, *_ = await running(at, lost_after=70)
        for _ in range(20):
            at.database.refuse = lambda command: StorageUnavailable("away")
            await asyncio.sleep(5)
            at.database.refuse = lambda command: None
            await asyncio.sleep(5)
        assert at.run(run_id).state is RunState.RUNNING


@pytest.mark.parametrize("looking", [True, False], ids=["full", "away"])
@virtual_time
async def test_a_runner_whose_heartbeats_the_database_refused_is_neither_flagged_nor_given_up(orchestrate, looking):
    # A disk that is full, or a table that is locked, still lets the reaper look: it saw leases that nobody renewed, and
    # its own first commit afterwards came before the first heartbeat's.
    at = orchestrate()
    async with at.running():
        run_id, _, _, session, _ = await running(at, lost_after=70)
        await asyncio.sleep(1.5)
        async with at.alive(session):
            for more in range(5):  # so that now and then the reaper's round comes before the heartbeat
                await asyncio.sleep(20)
                at.database.refuse = lambda command: (
                    None if looking and command is reaper._look else StorageUnavailable("the disk is full")
                )
                await asyncio.sleep(200 + more)
                at.database.refuse = lambda command: None
                for _ in range(100):
                    await asyncio.sleep(0.1)
                    assert at.run(run_id).unreachable_since_us is None
                    assert at.run(run_id).state is RunState.RUNNING
        # And once nobody sends them any more, both happens all the same.
        await asyncio.sleep(30)
        assert at.run(run_id).unreachable_since_us is not None
        await asyncio.sleep(60)
        assert at.run(run_id).state is RunState.FAILED


@virtual_time
async def test_a_lease_renewed_between_the_look_and_the_end_is_not_ended(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id, assignment, _, session, _ = await running(at, lost_after=70)
        seen = at.lease(assignment.lease_id)
        at.clock.jump(100)
        await at.beat(session, assignment.lease_id)
        assert not at.database.do(lambda tx: expire(tx, seen))
        assert not at.database.do(lambda tx: expire(tx, replace(seen, id="another")))
        assert at.run(run_id).state is RunState.RUNNING


@virtual_time
async def test_a_run_that_cannot_be_ended_keeps_no_other_from_its_end(orchestrate):
    # Both leases are over; the first one's transaction fails each time, as it would where its log holds a number twice.
    at = orchestrate()
    async with at.running():
        first, assignment, _, session, _ = await running(at, lost_after=60)
        second = at.new_run(lost_after=60)
        await at.take_up(session)
        sequence = at.run(first).last_sequence + 1
        taken = codec.state_change(sequence, 0, 0, RunState.PENDING, "in the way")
        at.database.do(lambda tx: events.append_events(tx, [(first, [taken])]))
        await asyncio.sleep(120)
        assert at.run(second).state is RunState.FAILED
        assert at.run(first).state is RunState.RUNNING
        assert at.lease(assignment.lease_id).end is None


@virtual_time
async def test_old_request_ids_and_ended_leases_are_forgotten(orchestrate):
    at = orchestrate()
    at.database.do(lambda tx: requests.put_request(tx, "old", b"hash", b"answer"))
    async with at.running():
        run_id, assignment, script, _, stream = await running(at)
        await at.side.intake.deliver(stream, script.delivery(script.ended()))
        await answered(stream)
        at.clock.jump(23 * 3600)
        await asyncio.sleep(120)
        assert at.database.look(lambda tx: requests.get_request(tx, "old")) is not None
        at.clock.jump(3600)
        await asyncio.sleep(120)
        assert at.database.look(lambda tx: requests.get_request(tx, "old")) is None
        assert at.lease(assignment.lease_id).end is LeaseEnd.ENDED
        at.clock.jump(7 * 24 * 3600)
        await asyncio.sleep(120)
        with pytest.raises(KeyError):
            at.lease(assignment.lease_id)
        assert at.run(run_id).state is RunState.COMPLETED
