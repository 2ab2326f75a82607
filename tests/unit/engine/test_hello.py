"""Registering a session: every kind of lease that a Hello names or does not, and who is turned away."""

import asyncio

import pytest
from athanor_orchestrator.domain.errors import SessionSuperseded
from athanor_orchestrator.domain.records import Experiment, FailureKind, LeaseEnd, RunState
from athanor_orchestrator.engine import hello as hellos
from athanor_orchestrator.engine.hello import HelloRefused, agree
from athanor_orchestrator.engine.messages import Fence, Heartbeat, Keep, Release, Resume, Welcome
from athanor_orchestrator.storage import leases, runs

from tests.support.orchestrated import EXPERIMENT, Orchestrated, answered, said
from tests.support.runner_script import OTHER_RUNNER, RUNNER, held, hello, unknown_id, unreadable
from tests.support.virtual_time import virtual_time


async def greet(at: Orchestrated, *named, number: int = 2, runner_id: str = RUNNER):
    """Open a later session that names these attempts; returns its verdicts."""
    session = await at.side.sessions.open(hello(runner_id, number, *named))
    welcome = await said(session)
    assert isinstance(welcome, Welcome)
    return session, welcome.verdicts


async def under_way(at: Orchestrated, *, stored: int = 2, max_attempts: int = 1):
    """Have runner-1 hold a lease of a run of which AttemptStarted and log entries, `stored` in all, are stored."""
    run_id = at.new_run(max_attempts=max_attempts)
    session = await at.connect(hello(), EXPERIMENT)
    assignment, script = await at.take_up(session)
    stream = await at.side.intake.open(session)
    await answered(stream)
    if stored:
        await at.side.intake.deliver(stream, script.delivery(script.started(), *script.logs(stored - 1)))
        await answered(stream)
    return run_id, assignment, script, session, stream


@virtual_time
async def test_a_held_lease_is_resumed_behind_what_is_stored_and_renewed(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id, assignment, *_ = await under_way(at)
        before = at.lease(assignment.lease_id)
        at.clock.jump(1)
        _, verdicts = await greet(at, held(run_id, assignment.lease_id, first=2, last=9))
        assert verdicts == (Resume(assignment.lease_id, 4),)
        lease = at.lease(assignment.lease_id)
        assert (lease.session_number, lease.end) == (2, None)
        assert lease.renew_time_us > before.renew_time_us
        assert lease.expire_time_us > before.expire_time_us


@virtual_time
async def test_a_lease_of_which_nothing_is_stored_is_resumed_when_it_is_named(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id, assignment, *_ = await under_way(at, stored=0)
        _, verdicts = await greet(at, held(run_id, assignment.lease_id))
        assert verdicts == (Resume(assignment.lease_id, 2),)


@virtual_time
async def test_a_lease_that_is_not_named_and_was_never_taken_up_goes_back(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id, assignment, *_ = await under_way(at, stored=0)
        session, verdicts = await greet(at)
        assert verdicts == ()
        assert at.lease(assignment.lease_id).end is LeaseEnd.RETURNED
        run = at.run(run_id)
        assert (run.state, run.lease_id, run.attempt_count) == (RunState.PENDING, None, 0)
        assert at.kinds(run_id) == ["state_change"]

        # It is given out again, as the same attempt under another lease.
        await at.side.control.take(session, Experiment(EXPERIMENT))
        again = await at.assigned(session)
        assert (again.run_id, again.attempt, again.next_sequence) == (run_id, 1, 2)
        assert again.lease_id != assignment.lease_id


@virtual_time
async def test_a_lease_that_goes_back_is_cancelled_when_that_was_requested(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id, *_ = await under_way(at, stored=0)
        at.cancel(run_id)
        assert at.run(run_id).state is RunState.PENDING
        await greet(at)
        assert at.run(run_id).state is RunState.CANCELLED
        assert at.run(run_id).end_time_us is not None
    assert at.kinds(run_id) == ["state_change", "state_change"]


@pytest.mark.parametrize(
    ("cancelled", "attempts", "state"),
    [(False, 1, RunState.FAILED), (True, 1, RunState.CANCELLED), (False, 2, RunState.PENDING)],
)
@virtual_time
async def test_a_lease_that_is_not_named_though_something_is_stored_is_lost(orchestrate, cancelled, attempts, state):
    at = orchestrate()
    async with at.running():
        run_id, assignment, *_ = await under_way(at, max_attempts=attempts)
        if cancelled:
            at.cancel(run_id)
        await greet(at)
        run = at.run(run_id)
        assert run.state is state
        assert at.lease(assignment.lease_id).end is LeaseEnd.LOST
        assert run.attempts[0].failure is not None
        assert run.attempts[0].failure.kind is FailureKind.RUNNER_LOST
        assert not run.attempts[0].log_complete
    assert at.kinds(run_id)[-2:] == ["attempt_ended", "state_change"]
    assert at.log(run_id)[-2].attempt_ended.digest == b""


@virtual_time
async def test_a_lease_with_nothing_but_log_entries_stored_is_lost_too(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id, _, script, _, stream = await under_way(at, stored=0)
        await at.side.intake.deliver(stream, script.delivery(script.log("no AttemptStarted came")))
        await answered(stream)
        assert at.run(run_id).state is RunState.PENDING
        await greet(at)
        assert at.run(run_id).state is RunState.FAILED


@virtual_time
async def test_an_attempt_whose_end_is_stored_is_released(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id, assignment, script, _, stream = await under_way(at)
        await at.side.intake.deliver(stream, script.delivery(script.ended()))
        await answered(stream)
        _, verdicts = await greet(at, held(run_id, assignment.lease_id, first=2, last=4))
        assert verdicts == (Release(assignment.lease_id),)


@virtual_time
async def test_a_lease_that_is_over_is_fenced(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id, assignment, *_ = await under_way(at)
        await greet(at)
        _, verdicts = await greet(at, held(run_id, assignment.lease_id, first=2, last=4), number=3)
        assert verdicts == (Fence(assignment.lease_id, "the runner had been given up"),)
    assert at.run(run_id).state is RunState.FAILED


@virtual_time
async def test_a_lease_of_a_deleted_run_is_fenced(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id, assignment, *_ = await under_way(at)
        await greet(at)
        at.database.do(lambda tx: runs.hide_run(tx, run_id))
        _, verdicts = await greet(at, held(run_id, assignment.lease_id, first=2, last=4), number=3)
        assert verdicts == (Fence(assignment.lease_id, "the run was deleted"),)


@virtual_time
async def test_another_runners_lease_is_fenced_and_left_alone(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id, assignment, *_ = await under_way(at)
        _, verdicts = await greet(at, held(run_id, assignment.lease_id), number=1, runner_id=OTHER_RUNNER)
        assert isinstance(verdicts[0], Fence)
        assert at.lease(assignment.lease_id).end is None
        assert at.run(run_id).state is RunState.RUNNING


@virtual_time
async def test_what_the_database_has_never_heard_of_is_kept(orchestrate):
    at = orchestrate()
    async with at.running():
        lease_id = unknown_id()
        _, verdicts = await greet(at, held(unknown_id(), lease_id, first=2, last=4))
        assert verdicts == (Keep(lease_id),)


@virtual_time
async def test_an_attempt_newer_than_any_that_is_known_is_kept(orchestrate):
    # The database was restored from a copy made before the run was given out.
    at = orchestrate()
    async with at.running():
        run_id, lease_id = at.new_run(), unknown_id()
        _, verdicts = await greet(at, held(run_id, lease_id, attempt=1, first=2, last=4))
        assert verdicts == (Keep(lease_id),)
        assert at.run(run_id).state is RunState.PENDING


@virtual_time
async def test_an_attempt_newer_than_any_that_is_known_is_fenced_when_the_run_has_ended(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id, lease_id = at.new_run(), unknown_id()
        at.cancel(run_id)
        _, verdicts = await greet(at, held(run_id, lease_id, attempt=1, first=2, last=4))
        assert verdicts == (Fence(lease_id, "the lease is not known any more, and the run has ended"),)


@virtual_time
async def test_an_unknown_lease_of_an_attempt_that_is_known_is_fenced(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id, assignment, *_ = await under_way(at)
        lease_id = unknown_id()
        _, verdicts = await greet(at, held(run_id, assignment.lease_id), held(run_id, lease_id, attempt=1))
        assert isinstance(verdicts[0], Resume)
        assert isinstance(verdicts[1], Fence)


@virtual_time
async def test_resuming_below_what_the_spool_still_has_ends_the_attempt(orchestrate):
    # The database was restored: it has events up to 3, the runner let go of everything below 8.
    at = orchestrate()
    async with at.running():
        run_id, assignment, *_ = await under_way(at)
        _, verdicts = await greet(at, held(run_id, assignment.lease_id, first=8, last=20))
        assert isinstance(verdicts[0], Fence)
        run = at.run(run_id)
        assert run.state is RunState.FAILED
        assert run.failure is not None
        assert run.failure.kind is FailureKind.STORAGE
        assert not run.attempts[0].log_complete
        assert at.lease(assignment.lease_id).end is LeaseEnd.BROKEN
    assert at.kinds(run_id)[-2:] == ["attempt_ended", "state_change"]


@pytest.mark.parametrize(("attempts", "state"), [(1, RunState.FAILED), (2, RunState.PENDING)])
@pytest.mark.parametrize("stored", [0, 2])
@virtual_time
async def test_an_attempt_that_its_runner_cannot_go_on_with_is_over_and_used_up(orchestrate, stored, attempts, state):
    """It may have been executed, whatever is stored of it: given back, it was executed twice."""
    at = orchestrate()
    async with at.running():
        run_id, assignment, *_ = await under_way(at, stored=stored, max_attempts=attempts)
        session, verdicts = await greet(at, unreadable(assignment.lease_id))
        why = "its runner cannot read what it has of the attempt"
        assert verdicts == (Fence(assignment.lease_id, why),)
        assert at.lease(assignment.lease_id).end is LeaseEnd.BROKEN
        run = at.run(run_id)
        assert (run.state, run.attempt_count, run.lease_id) == (state, 1, None)
        failure = run.attempts[0].failure
        assert failure is not None
        assert (failure.kind, failure.message) == (FailureKind.STORAGE, why)
        assert not run.attempts[0].log_complete
        assert at.kinds(run_id)[-2:] == ["attempt_ended", "state_change"]

        # Told again, as when Welcome was lost, it is only fenced; and that no process is left is heard.
        session, verdicts = await greet(at, unreadable(assignment.lease_id), number=3)
        assert isinstance(verdicts[0], Fence)
        await at.side.control.take(session, Heartbeat(1, (), (assignment.lease_id,), draining=False))
        assert at.run(run_id).attempts[0].process_gone
        if state is RunState.PENDING:
            await at.side.control.take(session, Experiment(EXPERIMENT))
            assert (await at.assigned(session)).attempt == 2
    assert at.kinds(run_id).count("attempt_ended") == 1


@virtual_time
async def test_an_unreadable_attempt_whose_end_is_stored_is_released(orchestrate):
    at = orchestrate()
    async with at.running():
        _, assignment, script, _, stream = await under_way(at)
        await at.side.intake.deliver(stream, script.delivery(script.ended()))
        await answered(stream)
        _, verdicts = await greet(at, unreadable(assignment.lease_id))
        assert verdicts == (Release(assignment.lease_id),)


@virtual_time
async def test_an_unreadable_attempt_of_another_runner_is_fenced_and_one_that_is_not_known_is_kept(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id, assignment, *_ = await under_way(at)
        lease_id = unknown_id()
        _, verdicts = await greet(
            at, unreadable(assignment.lease_id), unreadable(lease_id), number=1, runner_id=OTHER_RUNNER
        )
        assert verdicts == (Fence(assignment.lease_id, "the lease is another runner's"), Keep(lease_id))
        assert at.run(run_id).state is RunState.RUNNING


def test_an_unreadable_attempt_need_not_say_of_which_run_it_is():
    assert agree(hello(RUNNER, 1, unreadable(unknown_id()))) == 1


@virtual_time
async def test_resuming_exactly_at_the_first_event_still_in_the_spool_is_fine(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id, assignment, *_ = await under_way(at)
        _, verdicts = await greet(at, held(run_id, assignment.lease_id, first=4, last=20))
        assert verdicts == (Resume(assignment.lease_id, 4),)


@virtual_time
async def test_an_older_session_is_superseded_and_what_it_delivers_is_dropped_never_fenced(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id, assignment, script, session, stream = await under_way(at)
        await greet(at, held(run_id, assignment.lease_id, first=2, last=3))
        assert isinstance(session.error, SessionSuperseded)
        assert isinstance(stream.error, SessionSuperseded)
        assert await session.outbox.get() is None
        assert await stream.outbox.get() is None
        await at.side.intake.deliver(stream, script.delivery(script.log("from the grave")))
        assert at.run(run_id).last_sequence == 3


@virtual_time
async def test_a_session_superseded_at_another_orchestrator_is_noticed_by_the_commit(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id, assignment, script, session, stream = await under_way(at)
        at.database.do(lambda tx: leases.resume_lease(tx, assignment.lease_id, 2))
        await at.side.intake.deliver(stream, script.delivery(script.log("from the grave")))
        assert await stream.outbox.get() is None
        assert isinstance(stream.error, SessionSuperseded)
        assert isinstance(session.error, SessionSuperseded)
        assert at.run(run_id).last_sequence == 3


@virtual_time
async def test_an_older_session_is_not_fenced_for_a_lease_that_the_newer_one_lost(orchestrate):
    # Its stream is at another orchestrator than the Hello, which did not name the lease.
    at = orchestrate()
    async with at.running():
        _, _, script, session, stream = await under_way(at)
        at.database.do(lambda tx: hellos.register(tx, hello(RUNNER, 2), unknown_id()))
        await at.side.intake.deliver(stream, script.delivery(script.log("from the grave")))
        assert await stream.outbox.get() is None
        assert isinstance(session.error, SessionSuperseded)


@virtual_time
async def test_a_heartbeat_of_an_older_session_ends_it(orchestrate):
    at = orchestrate()
    async with at.running():
        session = await at.connect(hello())
        at.database.do(lambda tx: hellos.register(tx, hello(RUNNER, 2), unknown_id()))
        await at.side.control.take(session, Heartbeat(1, (), (), False))
        assert isinstance(session.error, SessionSuperseded)


@pytest.mark.parametrize("number", [1, 2])
@virtual_time
async def test_a_hello_that_is_not_newer_is_refused_and_changes_nothing(orchestrate, number):
    at = orchestrate()
    async with at.running():
        session = await at.connect(hello(RUNNER, 2))
        with pytest.raises(HelloRefused, match="not newer"):
            await at.side.sessions.open(hello(RUNNER, number))
        assert not session.ended
        assert at.side.sessions.find(session.id) is session


@pytest.mark.parametrize(("low", "high"), [(2, 3), (0, 0), (-1, 0)])
def test_versions_that_do_not_overlap_are_refused(low, high):
    with pytest.raises(HelloRefused, match="speaks versions 1 to 1"):
        agree(hello(low=low, high=high))


@pytest.mark.parametrize(("low", "high"), [(1, 1), (0, 1), (1, 7)])
def test_versions_that_overlap_agree_on_the_newest_in_common(low, high):
    assert agree(hello(low=low, high=high)) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        hello(""),
        hello("a name"),
        hello(number=0),
        hello(slots=-1),
        hello(RUNNER, 1, held("no id", unknown_id())),
        hello(RUNNER, 1, held(unknown_id(), "no id")),
        hello(RUNNER, 1, held("", unknown_id())),
        hello(RUNNER, 1, unreadable("no id")),
    ],
    ids=["no id", "NUL", "number", "slots", "run", "lease", "no run", "unreadable"],
)
def test_a_hello_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(HelloRefused):
        agree(wrong)


@virtual_time
async def test_no_assignment_comes_before_the_welcome(orchestrate):
    at = orchestrate()
    async with at.running():
        await at.connect(hello(), EXPERIMENT)
        at.new_run()
        session = await at.side.sessions.open(hello(RUNNER, 2))
        assert isinstance(await said(session), Welcome)


@virtual_time
async def test_definitions_of_an_earlier_session_count_no_more(orchestrate):
    at = orchestrate()
    async with at.running():
        await at.connect(hello(), EXPERIMENT)
        session = await at.connect(hello(RUNNER, 2))
        at.new_run()
        await at.side.control.take(session, Experiment("another"))
        await asyncio.sleep(5)
        assert len(session.outbox) == 0
