"""What operators want of runners: to take no more, and to be given up."""

import asyncio

import pytest
from athanor_orchestrator.domain.errors import NotFound, RunnerConnected
from athanor_orchestrator.domain.records import FailureKind, LeaseEnd, RunState
from athanor_orchestrator.engine import fleet
from athanor_orchestrator.engine.messages import Fence, Resume

from tests.support.orchestrated import EXPERIMENT, Orchestrated, answered
from tests.support.runner_script import OTHER_RUNNER, RUNNER, held, hello
from tests.support.virtual_time import virtual_time


async def started(at: Orchestrated, session, *, runs: int = 1, **policy):
    """Have runs RUNNING in a session; their ids, sorted, with assignment and script."""
    stream = await at.side.intake.open(session)
    await answered(stream)
    taken = {}
    for run_id in [at.new_run(**policy) for _ in range(runs)]:
        assignment, script = await at.take_up(session)
        await at.side.intake.deliver(stream, script.delivery(script.started(), script.log()))
        await answered(stream)
        taken[run_id] = assignment, script
    return dict(sorted(taken.items())), stream


@virtual_time
async def test_a_drained_runner_gets_no_run_until_it_is_undrained(orchestrate):
    at = orchestrate()
    async with at.running():
        session = await at.connect(hello(), EXPERIMENT)
        async with at.alive(session):
            assert (await at.fleet.drain(RUNNER)).drain_request_time_us
            run_id = at.new_run()
            await asyncio.sleep(30)
            assert at.run(run_id).lease_id is None

            begun = asyncio.get_running_loop().time()
            assert (await at.fleet.undrain(RUNNER)).drain_request_time_us is None
            while at.run(run_id).lease_id is None:
                await asyncio.sleep(0)
            assert asyncio.get_running_loop().time() == begun, "at once, not with the next poll"


@virtual_time
async def test_a_drain_holds_what_runs_and_outlives_restarts_of_both_sides(orchestrate):
    at = orchestrate()
    async with at.running():
        session = await at.connect(hello(), EXPERIMENT)
        ((run_id, (assignment, _)),) = (await started(at, session))[0].items()
        await at.fleet.drain(RUNNER)
        async with at.alive(session):
            await asyncio.sleep(60)
        assert at.run(run_id).state is RunState.RUNNING
        assert at.lease(assignment.lease_id).end is None
    at.restart()
    async with at.running():
        held_one = held(run_id, assignment.lease_id, first=2, last=3)
        session = await at.connect(hello(RUNNER, 2, held_one), EXPERIMENT)
        other = at.new_run()
        async with at.alive(session):  # whose heartbeats say that it takes more
            await asyncio.sleep(30)
            assert at.run(other).lease_id is None
            # Any other runner may have it.
            await at.connect(hello(OTHER_RUNNER), EXPERIMENT)
            await asyncio.sleep(0.1)
            lease_id = at.run(other).lease_id
            assert lease_id is not None
            assert at.lease(lease_id).runner_id == OTHER_RUNNER


@virtual_time
async def test_what_the_runner_says_of_itself_is_not_undrained(orchestrate):
    at = orchestrate()
    async with at.running():
        session = await at.connect(hello(), EXPERIMENT)
        await at.beat(session, draining=True)
        await at.fleet.drain(RUNNER)
        assert (await at.fleet.undrain(RUNNER)).draining
        run_id = at.new_run()
        await asyncio.sleep(3)
        assert at.run(run_id).lease_id is None


@virtual_time
async def test_draining_twice_is_harmless_and_keeps_the_time_of_the_first(orchestrate):
    at = orchestrate()
    await at.connect(hello())
    first = await at.fleet.drain(RUNNER)
    await asyncio.sleep(5)
    assert await at.fleet.drain(RUNNER) == first
    await at.fleet.undrain(RUNNER)
    assert (await at.fleet.undrain(RUNNER)).drain_request_time_us is None


@virtual_time
async def test_runners_that_are_not_known(orchestrate):
    at = orchestrate()
    for call in (at.fleet.get, at.fleet.drain, at.fleet.undrain, at.fleet.forget):
        with pytest.raises(NotFound, match="there is no runner"):
            await call(RUNNER)


@virtual_time
async def test_a_connected_runner_is_not_forgotten(orchestrate):
    at = orchestrate()
    async with at.running():
        session = await at.connect(hello(), EXPERIMENT)
        taken, _ = await started(at, session)
        await asyncio.sleep(7)
        with pytest.raises(RunnerConnected, match=r"heard from 7 s ago, and counts as connected until .* 15 s"):
            await at.fleet.forget(RUNNER)
        assert [at.run(run_id).state for run_id in taken] == [RunState.RUNNING]


@pytest.mark.parametrize(
    ("attempts", "cancelled", "state"),
    [(1, False, RunState.FAILED), (3, False, RunState.PENDING), (1, True, RunState.CANCELLED)],
)
@virtual_time
async def test_a_silent_runner_is_given_up_at_once_whatever_the_policies_say(orchestrate, attempts, cancelled, state):
    at = orchestrate()
    async with at.running():
        session = await at.connect(hello(slots=3), EXPERIMENT)
        taken, stream = await started(at, session, runs=3, max_attempts=attempts, lost_after=86_400)
        for run_id in taken:
            if cancelled:
                at.cancel(run_id)
        await asyncio.sleep(25)
        assert await at.fleet.forget(RUNNER) == list(taken)

        for run_id, (assignment, script) in taken.items():
            run = at.run(run_id)
            assert run.state is state
            assert (run.lease_id, run.unreachable_since_us) == (None, None)
            (attempt,) = run.attempts
            assert attempt.failure is not None
            assert attempt.failure.kind is FailureKind.RUNNER_LOST
            assert attempt.failure.message == "its runner was given up by an operator"
            assert (attempt.log_complete, attempt.process_gone) == (False, False)
            assert at.lease(assignment.lease_id).end is LeaseEnd.LOST
            assert at.kinds(run_id)[-2:] == ["attempt_ended", "state_change"]

            # What is still on its way is fenced.
            await at.side.intake.deliver(stream, script.delivery(script.log("still here")))
            (fence,) = (await answered(stream)).fences
            assert fence.lease_id == assignment.lease_id
        assert await at.fleet.forget(RUNNER) == []


@virtual_time
async def test_what_may_have_begun_elsewhere_is_not_begun_again(orchestrate):
    """Nothing is stored of it, but whether the runner has started it nobody knows: at most once."""
    at = orchestrate()
    async with at.running():
        session = await at.connect(hello(), EXPERIMENT)
        run_id = at.new_run()
        await at.assigned(session)
        await asyncio.sleep(25)
        assert await at.fleet.forget(RUNNER) == [run_id]
        run = at.run(run_id)
        assert (run.state, run.attempt_count) == (RunState.FAILED, 1)
        assert at.kinds(run_id) == ["state_change", "attempt_ended", "state_change"]


@virtual_time
async def test_a_runner_that_was_forgotten_comes_back_and_is_fenced(orchestrate):
    at = orchestrate()
    async with at.running():
        session = await at.connect(hello(), EXPERIMENT)
        ((run_id, (assignment, _)),) = (await started(at, session))[0].items()
        await asyncio.sleep(25)
        await at.fleet.forget(RUNNER)

        # In the session that it had, by a heartbeat; and in a new one, by the verdict.
        reply = await at.beat(session, assignment.lease_id)
        assert [fence.lease_id for fence in reply.fences] == [assignment.lease_id]
        again = await at.side.sessions.open(hello(RUNNER, 2, held(run_id, assignment.lease_id, first=2, last=3)))
        (verdict,) = (await again.outbox.get()).verdicts
        assert isinstance(verdict, Fence)
        assert verdict.lease_id == assignment.lease_id
        assert at.run(run_id).state is RunState.FAILED


@virtual_time
async def test_many_are_given_up_in_small_transactions_and_a_runner_that_comes_back_meanwhile_keeps_the_rest(
    orchestrate, monkeypatch
):
    monkeypatch.setattr(fleet, "_GIVEN_UP_AT_ONCE", 2)
    at = orchestrate()
    async with at.running():
        session = await at.connect(hello(slots=7), EXPERIMENT)
        taken, _ = await started(at, session, runs=7)
        await asyncio.sleep(25)
        leases = [held(id, assignment.lease_id, first=2, last=3) for id, (assignment, _) in taken.items()]

        give_up, calls = fleet.give_up, []

        def counted(tx, *arguments):
            part = give_up(tx, *arguments)
            calls.append(len(part))
            return part

        monkeypatch.setattr(fleet, "give_up", counted)
        forgetting = asyncio.create_task(at.fleet.forget(RUNNER))
        while len(calls) < 2:
            await asyncio.sleep(0)
        again = await at.side.sessions.open(hello(RUNNER, 2, *leases))
        ended = await forgetting
        assert set(calls) == {2}
        assert ended == list(taken)[: len(ended)]
        assert 2 <= len(ended) < 7
        verdicts = {verdict.lease_id: verdict for verdict in (await again.outbox.get()).verdicts}
        kinds = [type(verdicts[assignment.lease_id]) for assignment, _ in taken.values()]
        assert kinds == [Fence] * len(ended) + [Resume] * (7 - len(ended))


@virtual_time
async def test_all_of_many_are_given_up(orchestrate, monkeypatch):
    monkeypatch.setattr(fleet, "_GIVEN_UP_AT_ONCE", 2)
    at = orchestrate()
    async with at.running():
        session = await at.connect(hello(slots=6), EXPERIMENT)
        taken, _ = await started(at, session, runs=6)
        await asyncio.sleep(25)
        assert await at.fleet.forget(RUNNER) == list(taken)
