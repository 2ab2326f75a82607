"""What a heartbeat renews, and what its answer repeats."""

import asyncio
from dataclasses import replace

from athanor_orchestrator.domain.errors import DatabaseFellBack, StorageUnavailable
from athanor_orchestrator.domain.records import DiscoveryError, Experiment, RunState
from athanor_orchestrator.engine.messages import Fence, Heartbeat, HeartbeatReply, Removal
from athanor_orchestrator.storage import experiments, runners

from tests.support.orchestrated import EXPERIMENT, answered
from tests.support.runner_script import OTHER_RUNNER, RUNNER, held, hello, unknown_id
from tests.support.virtual_time import virtual_time


@virtual_time
async def test_a_heartbeat_renews_the_leases_that_it_names(orchestrate):
    at = orchestrate()
    async with at.running():
        at.new_run()
        at.new_run()
        session = await at.connect(hello(), EXPERIMENT)
        named, other = await at.assigned(session), await at.assigned(session)
        await asyncio.sleep(5)
        reply = await at.beat(session, named.lease_id)
        assert reply == HeartbeatReply(1, (), ())
        granted = at.lease(other.lease_id)
        assert at.lease(named.lease_id).renew_time_us == granted.renew_time_us + 5_000_000
        assert at.lease(named.lease_id).expire_time_us == granted.expire_time_us + 5_000_000


@virtual_time
async def test_the_answer_fences_what_is_over_but_not_what_ended_by_its_own_stored_end(orchestrate):
    at = orchestrate()
    async with at.running():
        at.new_run()
        at.new_run()
        first = await at.connect(hello(), EXPERIMENT)
        lost, script = await at.take_up(first)
        done, ended = await at.take_up(first)
        stream = await at.side.intake.open(first)
        await answered(stream)
        await at.side.intake.deliver(stream, script.delivery(script.started()))
        await answered(stream)
        await at.side.intake.deliver(stream, ended.delivery(ended.started(), ended.ended()))
        await answered(stream)

        session = await at.connect(hello(RUNNER, 2))  # names none of them
        reply = await at.beat(session, lost.lease_id, done.lease_id)
        assert [fence.lease_id for fence in reply.fences] == [lost.lease_id]


@virtual_time
async def test_a_heartbeat_that_names_a_lease_whose_grant_is_gone_has_the_runner_introduce_itself_again(orchestrate):
    # The copy in the database's place was made after the session's last heartbeat, and before the grant.
    at = orchestrate()
    async with at.running():
        at.new_run()
        session = await at.connect(hello(), EXPERIMENT)
        assignment = await at.assigned(session)
        await asyncio.sleep(5)
        before = at.lease(assignment.lease_id)
        await at.side.control.take(session, Heartbeat(1, (assignment.lease_id, unknown_id()), (), False))
        assert isinstance(session.error, DatabaseFellBack)
        assert at.lease(assignment.lease_id) == before


@virtual_time
async def test_a_kept_attempt_is_fenced_once_its_run_has_gone_on_without_it(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id, lease_id = at.new_run(), unknown_id()
        session = await at.connect(hello(RUNNER, 1, held(run_id, lease_id, attempt=1, first=2, last=4)))
        assert (await at.beat(session)).fences == ()  # the run waits: nothing has come in its place
        other = await at.connect(hello(OTHER_RUNNER), EXPERIMENT)
        assert (await at.assigned(other)).attempt == 1
        fence = Fence(lease_id, "the lease is not known any more, and attempt 1 of the run is")
        assert (await at.beat(session)).fences == (fence,)
        assert (await at.beat(session)).fences == (fence,)  # the answer may have been lost
        assert (await at.beat(session, gone=(lease_id,))).fences == ()
        assert (await at.beat(session)).fences == ()


@virtual_time
async def test_a_kept_attempt_is_fenced_once_its_run_has_ended_without_it(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id, lease_id, never_heard_of = at.new_run(), unknown_id(), unknown_id()
        session = await at.connect(
            hello(RUNNER, 1, held(run_id, lease_id, attempt=1), held(unknown_id(), never_heard_of, attempt=1))
        )
        at.cancel(run_id)
        assert at.run(run_id).state is RunState.CANCELLED
        fence = Fence(lease_id, "the lease is not known any more, and the run has ended")
        assert (await at.beat(session)).fences == (fence,)  # the other stays, for the operator


@virtual_time
async def test_processes_that_are_gone_are_noted_on_the_attempt(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id = at.new_run()
        first = await at.connect(hello(), EXPERIMENT)
        assignment, script = await at.take_up(first)
        stream = await at.side.intake.open(first)
        await answered(stream)
        await at.side.intake.deliver(stream, script.delivery(script.started()))
        await answered(stream)
        session = await at.connect(hello(RUNNER, 2))
        assert not at.run(run_id).attempts[0].process_gone
        await at.beat(session, gone=(assignment.lease_id,))
        assert at.run(run_id).attempts[0].process_gone


@virtual_time
async def test_a_heartbeat_that_could_not_be_stored_is_not_answered_and_the_session_goes_on(orchestrate):
    at = orchestrate()
    async with at.running():
        session = await at.connect(hello(), EXPERIMENT)
        at.database.refuse = lambda command: StorageUnavailable("locked")
        await at.side.control.take(session, Heartbeat(1, (), (), False))
        assert len(session.outbox) == 0
        assert not session.ended
        at.database.refuse = lambda command: None
        assert (await at.beat(session)).nonce == 1


@virtual_time
async def test_a_definition_that_could_not_be_stored_ends_the_session_so_that_it_is_said_again(orchestrate):
    at = orchestrate()
    async with at.running():
        session = await at.connect(hello())
        at.database.refuse = lambda command: StorageUnavailable("locked")
        await at.side.control.take(session, Experiment(EXPERIMENT))
        assert isinstance(session.error, StorageUnavailable)


@virtual_time
async def test_a_runner_that_does_not_read_costs_one_message_of_each_kind(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id = at.new_run()
        session = await at.connect(hello(), EXPERIMENT)
        await asyncio.sleep(1)
        (lease_id,) = session.leases
        at.cancel(run_id)
        for nonce in range(100):
            await at.side.control.take(session, Heartbeat(nonce, (lease_id,), (), False))
        await asyncio.sleep(10)
        assert len(session.outbox) == 2  # the assignment, and the newest answer, which repeats the cancellation


@virtual_time
async def test_definitions_come_change_and_go(orchestrate):
    at = orchestrate()
    session = await at.connect(hello())
    take = at.side.control.take

    def known() -> tuple[str, ...]:
        runner = at.database.look(lambda tx: runners.get_runner(tx, RUNNER))
        assert runner is not None
        return runner.experiments

    def broken() -> list[str]:
        return [error.module for error in at.database.look(lambda tx: experiments.list_discovery_errors(tx))]

    await take(session, Experiment("one"))
    await take(session, Experiment("two"))
    await take(session, DiscoveryError("three", "ImportError"))
    assert (known(), broken()) == (("one", "two"), ["three"])

    await take(session, Removal("one"))
    await take(session, DiscoveryError("three", ""))
    assert (known(), broken()) == (("two",), [])


@virtual_time
async def test_a_module_that_can_be_loaded_again_is_no_error_any_more(orchestrate):
    at = orchestrate()
    session = await at.connect(hello())
    await at.side.control.take(session, DiscoveryError("pkg.mod", "SyntaxError"))
    experiment = Experiment("one")
    repaired = replace(experiment, code=replace(experiment.code, module="pkg.mod:one"))
    await at.side.control.take(session, repaired)
    assert at.database.look(lambda tx: experiments.list_discovery_errors(tx)) == []


@virtual_time
async def test_what_an_older_session_still_says_of_experiments_does_not_touch_what_the_newest_said(orchestrate):
    # old: Hello 1, "demo" | new: Hello 2 (perhaps at another orchestrator), "demo" | old: a Removal under way
    at = orchestrate()
    old = await at.connect(hello(), EXPERIMENT)
    await at.connect(hello(RUNNER, 2), EXPERIMENT)
    await at.side.control.take(old, Removal(EXPERIMENT))
    await at.side.control.take(old, Experiment("gone since"))
    await at.side.control.take(old, DiscoveryError("mended since", "ImportError"))

    runner = at.database.look(lambda tx: runners.get_runner(tx, RUNNER))
    assert runner is not None
    assert runner.experiments == (EXPERIMENT,)
    assert at.database.look(lambda tx: experiments.list_discovery_errors(tx)) == []


@virtual_time
async def test_a_heartbeat_speaks_of_the_runner_s_own_leases_alone_and_calls_none_gone_that_is_live(orchestrate):
    # Two runners, each in its session 1: the other one's lease must fall silent when its own runner does.
    at = orchestrate()
    async with at.running():
        run_id = at.new_run()
        first = await at.connect(hello(), EXPERIMENT)
        assignment, script = await at.take_up(first)
        stream = await at.side.intake.open(first)
        await at.side.intake.deliver(stream, script.delivery(script.started()))
        await asyncio.sleep(5)

        other = await at.connect(hello(OTHER_RUNNER))
        before = at.lease(assignment.lease_id)
        await at.beat(other, assignment.lease_id, gone=(assignment.lease_id,))
        assert at.lease(assignment.lease_id) == before
        await at.beat(first, gone=(assignment.lease_id,))
        assert not at.run(run_id).attempts[0].process_gone
