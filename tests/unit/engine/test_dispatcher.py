"""Who is given which run, and when."""

import asyncio

import pytest
from athanor_orchestrator.domain.errors import StorageUnavailable
from athanor_orchestrator.domain.ids import new_id
from athanor_orchestrator.domain.policy import for_attempt
from athanor_orchestrator.domain.records import Experiment, LeaseEnd, RunState
from athanor_orchestrator.engine import hello as hellos
from athanor_orchestrator.engine.dispatcher import Candidate, Room, choose, claim
from athanor_orchestrator.engine.messages import Assignment, Cancel, Decline, DeclineReason, Goodbye
from athanor_orchestrator.storage import experiments, leases, runners

from tests.support.orchestrated import EXPERIMENT, Orchestrated, answered, said
from tests.support.runner_script import OTHER_RUNNER, RUNNER, hello
from tests.support.virtual_time import virtual_time


async def waits(session) -> bool:
    """Tell whether a session is told nothing for a while."""
    await asyncio.sleep(5)
    return len(session.outbox) == 0


def held_by(at: Orchestrated, runner_id: str) -> list[str]:
    return [lease.run_id for lease in at.database.look(lambda tx: leases.live_leases_of_runner(tx, runner_id))]


@virtual_time
async def test_an_assignment_says_everything_that_the_runner_needs(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id = at.new_run()
        session = await at.connect(hello(), EXPERIMENT)
        assignment = await at.assigned(session)
        run, lease = at.run(run_id), at.lease(assignment.lease_id)
        assert assignment == Assignment(
            lease_id=lease.id,
            run_id=run_id,
            instance_id=run.instance_id,
            instance_name="an instance",
            attempt=1,
            experiment=EXPERIMENT,
            configuration_json='{"a": 1}',
            policy=for_attempt(run.policy, 1),
            seed=7,
            next_sequence=2,
        )
        assert (run.state, run.lease_id, run.attempt_count) == (RunState.PENDING, lease.id, 0)
        assert (lease.session_number, lease.runner_id, lease.first_sequence, lease.last_sequence) == (
            1,
            RUNNER,
            2,
            1,
        )
        assert lease.expire_time_us - lease.grant_time_us == 24 * 3600 * 1_000_000


@virtual_time
async def test_new_work_is_given_out_at_once_and_a_lost_wake_up_costs_one_poll(orchestrate):
    at = orchestrate()
    async with at.running():
        session = await at.connect(hello(), EXPERIMENT)
        loop = asyncio.get_running_loop()
        await asyncio.sleep(1)

        begun = loop.time()
        at.new_run()
        await at.assigned(session)
        assert loop.time() == begun

        at.lose_wakeups = True
        at.new_run()
        await at.assigned(session)
        assert loop.time() - begun <= at.timings.poll


@virtual_time
async def test_no_more_than_slots_and_a_slot_is_a_live_lease(orchestrate):
    at = orchestrate()
    async with at.running():
        for _ in range(3):
            at.new_run()
        session = await at.connect(hello(slots=2), EXPERIMENT)
        first = await at.take_up(session)
        await at.assigned(session)
        assert await waits(session)

        stream = await at.side.intake.open(session)
        await answered(stream)
        _, script = first
        await at.side.intake.deliver(stream, script.delivery(script.started(), script.ended()))
        await at.assigned(session)  # as soon as the end is stored


@virtual_time
async def test_oldest_first(orchestrate):
    at = orchestrate()
    async with at.running():
        run_ids = [at.new_run() for _ in range(4)]
        session = await at.connect(hello(slots=4), EXPERIMENT)
        assert [(await at.assigned(session)).run_id for _ in run_ids] == run_ids


@virtual_time
async def test_only_runners_that_have_the_experiment(orchestrate):
    at = orchestrate()
    async with at.running():
        at.new_run("rare")
        one = await at.connect(hello(RUNNER), "common")
        other = await at.connect(hello(OTHER_RUNNER), "common", "rare")
        await at.assigned(other)
        assert await waits(one)


@virtual_time
async def test_a_queue_of_what_nobody_can_take_holds_nobody_up(orchestrate):
    at = orchestrate()
    async with at.running():
        for _ in range(100):
            at.new_run("rare")
        wanted = at.new_run("common")
        session = await at.connect(hello(slots=1), "common")
        assert (await at.assigned(session)).run_id == wanted


@virtual_time
async def test_runs_spread_over_runners(orchestrate):
    at = orchestrate()
    one = await at.connect(hello(RUNNER, slots=4), EXPERIMENT)
    other = await at.connect(hello(OTHER_RUNNER, slots=4), EXPERIMENT)
    for _ in range(4):
        at.new_run()
    async with at.running():
        for session in (one, other):
            await at.assigned(session)
            await at.assigned(session)
    assert (len(held_by(at, RUNNER)), len(held_by(at, OTHER_RUNNER))) == (2, 2)


@virtual_time
async def test_several_claims_are_one_transaction(orchestrate):
    at = orchestrate()
    session = await at.connect(hello(slots=10), EXPERIMENT)
    for _ in range(10):
        at.new_run()
    before = at.database.writes
    assert await at.side.dispatcher.round() == 10
    assert at.database.writes == before + 1
    assert len(session.outbox) == 10


@virtual_time
async def test_one_transaction_gives_out_new_work_and_nothing_is_asked_beside_it(orchestrate):
    at = orchestrate()
    session = await at.connect(hello(slots=4), EXPERIMENT)
    async with at.running():
        await asyncio.sleep(1)
        before = at.database.writes, at.database.reads
        at.new_run()
        await at.assigned(session)
        await asyncio.sleep(0.1)
        assert (at.database.writes, at.database.reads) == (before[0] + 1, before[1])


@virtual_time
async def test_more_than_one_transaction_holds_is_given_out_at_once(orchestrate):
    at = orchestrate()
    async with at.running():
        for _ in range(150):
            at.new_run()
        session = await at.connect(hello(slots=200), EXPERIMENT)
        begun = asyncio.get_running_loop().time()
        for _ in range(150):
            await at.assigned(session)
        assert asyncio.get_running_loop().time() == begun


def test_the_runner_with_the_most_room_is_chosen_among_those_that_did_not_decline():
    rooms = [
        Room("a", 1, frozenset({"x"}), 3),
        Room("b", 1, frozenset({"x", "y"}), 2),
        Room("c", 1, frozenset({"y"}), 9),
        Room("d", 1, frozenset({"x"}), 0),
    ]
    assert choose(rooms, "x", frozenset()) is rooms[0]
    assert choose(rooms, "x", frozenset("a")) is rooms[1]
    assert choose(rooms, "x", frozenset("ab")) is None
    assert choose(rooms, "z", frozenset()) is None


@virtual_time
async def test_the_claim_compares_the_session_in_its_own_transaction(orchestrate):
    # A newer Hello was registered, perhaps elsewhere, after this round had chosen its sessions.
    at = orchestrate()
    await at.connect(hello(RUNNER, 1), EXPERIMENT)
    run_id = at.new_run()
    at.database.do(lambda tx: hellos.register(tx, hello(RUNNER, 2), new_id()))
    at.database.do(lambda tx: experiments.upsert_experiment(tx, Experiment(EXPERIMENT), RUNNER))
    assert at.database.do(lambda tx: claim(tx, [Candidate(RUNNER, 1)], {})) == []
    assert await at.side.dispatcher.round() == 0
    assert len(at.database.do(lambda tx: claim(tx, [Candidate(RUNNER, 2)], {}))) == 1
    assert at.run(run_id).lease_id is not None


@virtual_time
async def test_a_draining_runner_gets_none(orchestrate):
    at = orchestrate()
    async with at.running():
        session = await at.connect(hello(), EXPERIMENT)
        await at.beat(session, draining=True)
        at.new_run()
        assert await waits(session)
        await at.beat(session, draining=False)
        await at.assigned(session)


@virtual_time
async def test_a_runner_that_was_silent_for_long_gets_none(orchestrate):
    at = orchestrate()
    await at.connect(hello(), EXPERIMENT)
    at.new_run()
    at.database.do(lambda tx: runners.set_disconnected(tx, RUNNER, 1))
    assert await at.side.dispatcher.round() == 0


@virtual_time
async def test_a_run_whose_cancellation_was_requested_or_whose_time_has_not_come_is_not_given_out(orchestrate):
    at = orchestrate()
    async with at.running():
        waiting, cancelled = at.new_run(), at.new_run()
        at.change(waiting, next_attempt_time_us=at.clock.now_us() + 60_000_000)
        at.cancel(cancelled)
        session = await at.connect(hello(), EXPERIMENT)
        begun = asyncio.get_running_loop().time()
        async with at.alive(session):
            assert (await at.assigned(session)).run_id == waiting
        assert 60 <= asyncio.get_running_loop().time() - begun <= 60 + at.timings.poll


@virtual_time
async def test_a_declined_run_goes_to_another_runner_and_later_back_to_the_first(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id = at.new_run()
        session = await at.connect(hello(), EXPERIMENT)
        assignment = await at.assigned(session)
        await at.side.control.take(session, Decline(assignment.lease_id, DeclineReason.NO_ROOM, "disk is full"))
        assert at.lease(assignment.lease_id).end is LeaseEnd.RETURNED
        assert (at.run(run_id).state, at.run(run_id).attempt_count) == (RunState.PENDING, 0)
        assert await waits(session)

        other = await at.connect(hello(OTHER_RUNNER, slots=1), EXPERIMENT)
        again = await at.assigned(other)
        assert (again.run_id, again.attempt) == (run_id, 1)
        await at.side.control.take(other, Decline(again.lease_id, DeclineReason.NO_ROOM, ""))

        begun = asyncio.get_running_loop().time()
        async with at.alive(session):
            assert (await at.assigned(session)).run_id == run_id
        assert asyncio.get_running_loop().time() - begun <= at.timings.declined_for


@virtual_time
async def test_a_declined_run_stands_in_nobodys_way(orchestrate):
    at = orchestrate()
    async with at.running():
        at.new_run()
        session = await at.connect(hello(slots=1), EXPERIMENT)
        assignment = await at.assigned(session)
        behind = at.new_run()
        await at.side.control.take(session, Decline(assignment.lease_id, DeclineReason.NO_ROOM, ""))
        assert (await at.assigned(session)).run_id == behind


@virtual_time
async def test_declining_a_run_that_is_to_be_cancelled_cancels_it(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id = at.new_run()
        session = await at.connect(hello(), EXPERIMENT)
        assignment = await at.assigned(session)
        at.cancel(run_id)
        await said(session)
        await at.side.control.take(session, Decline(assignment.lease_id, DeclineReason.DRAINING, ""))
        assert at.run(run_id).state is RunState.CANCELLED
        assert session.draining
    assert at.kinds(run_id) == ["state_change", "state_change"]


@virtual_time
async def test_what_has_begun_cannot_be_declined(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id = at.new_run()
        session = await at.connect(hello(), EXPERIMENT)
        assignment, script = await at.take_up(session)
        stream = await at.side.intake.open(session)
        await answered(stream)
        await at.side.intake.deliver(stream, script.delivery(script.started()))
        await answered(stream)
        await at.side.control.take(session, Decline(assignment.lease_id, DeclineReason.NO_ROOM, ""))
        assert at.run(run_id).state is RunState.RUNNING
        assert at.lease(assignment.lease_id).end is None


@virtual_time
async def test_goodbye_disconnects_at_once_and_gives_back_what_was_not_taken_up(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id = at.new_run()
        session = await at.connect(hello(), EXPERIMENT)
        assignment = await at.assigned(session)
        await at.side.control.take(session, Goodbye("stopped"))
        runner = at.database.look(lambda tx: runners.get_runner(tx, RUNNER))
        assert runner is not None
        assert not runner.connected
        assert session.ended
        assert session.error is None
        assert at.lease(assignment.lease_id).end is LeaseEnd.RETURNED
        assert at.run(run_id).lease_id is None


@virtual_time
async def test_the_end_of_a_stream_says_nothing(orchestrate):
    at = orchestrate()
    async with at.running():
        at.new_run()
        session = await at.connect(hello(), EXPERIMENT)
        assignment = await at.assigned(session)
        at.side.sessions.close(session)
        await asyncio.sleep(5)
        runner = at.database.look(lambda tx: runners.get_runner(tx, RUNNER))
        assert runner is not None
        assert runner.connected
        assert at.lease(assignment.lease_id).end is None


@virtual_time
async def test_a_cancellation_is_sent_at_once_and_repeated_with_heartbeats(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id = at.new_run()
        session = await at.connect(hello(), EXPERIMENT)
        assignment = await at.assigned(session)
        begun = asyncio.get_running_loop().time()
        at.cancel(run_id, "not needed")
        assert await said(session) == Cancel(assignment.lease_id, "not needed")
        assert asyncio.get_running_loop().time() == begun
        assert await waits(session)
        for _ in range(2):
            reply = await at.beat(session, assignment.lease_id)
            assert reply.cancels == (Cancel(assignment.lease_id, "not needed"),)


@virtual_time
async def test_a_cancellation_whose_wake_up_is_lost_is_sent_with_the_next_poll(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id = at.new_run()
        session = await at.connect(hello(), EXPERIMENT)
        await at.assigned(session)
        at.lose_wakeups = True
        begun = asyncio.get_running_loop().time()
        at.cancel(run_id)
        assert isinstance(await said(session), Cancel)
        assert asyncio.get_running_loop().time() - begun <= at.timings.poll


@virtual_time
async def test_trouble_of_the_database_stops_neither_the_dispatcher_nor_the_cancellations(orchestrate):
    at = orchestrate()
    async with at.running():
        session = await at.connect(hello(), EXPERIMENT)
        at.database.refuse = lambda command: StorageUnavailable("disk full")
        run_id = at.new_run()
        await asyncio.sleep(10)
        at.database.refuse = lambda command: ValueError("a fault of the code")
        await asyncio.sleep(10)
        at.database.refuse = lambda command: None
        assert (await at.assigned(session)).run_id == run_id
        at.cancel(run_id)
        assert isinstance(await said(session), Cancel)


@virtual_time
async def test_a_claim_that_may_have_been_committed_without_an_answer_is_settled_by_a_new_hello(orchestrate):
    # The connection broke in the commit: the lease was granted, and nobody knew of it. It was live for ever.
    at = orchestrate()
    async with at.running():
        session = await at.connect(hello(), EXPERIMENT)
        at.database.lose_answer = lambda command: (
            StorageUnavailable("cut off", maybe_done=True) if at.database.look(leases.live_leases) else None
        )
        run_id = at.new_run()
        await asyncio.sleep(1)
        at.database.lose_answer = lambda command: None
        assert at.run(run_id).lease_id is not None
        assert isinstance(session.error, StorageUnavailable)

        again = await at.connect(hello(RUNNER, 2), EXPERIMENT)
        assert (await at.assigned(again)).run_id == run_id


@virtual_time
async def test_while_the_orchestrator_goes_away_no_run_is_given_out_and_no_session_taken(orchestrate):
    at = orchestrate()
    async with at.running():
        session = await at.connect(hello(), EXPERIMENT)
        assert await waits(session)
        at.side.sessions.drain()
        at.new_run()
        assert (await said(session)).reconnect
        assert await waits(session)
        with pytest.raises(hellos.HelloRefused) as refused:
            await at.side.sessions.open(hello(OTHER_RUNNER))
        assert refused.value.retry_after == at.timings.reconnect_after
