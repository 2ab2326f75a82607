"""Runs of several attempts: when the next one starts, where, with what, and what becomes of what came before."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from athanor.v1 import run_pb2
from athanor_orchestrator.domain.records import FailureKind, LeaseEnd, RunState
from athanor_orchestrator.engine.messages import Assignment, Fence, Resume, Welcome
from athanor_orchestrator.engine.sessions import Session
from athanor_orchestrator.engine.timings import Timings

from tests.support.orchestrated import EXPERIMENT, Orchestrated, answered, said
from tests.support.runner_script import OTHER_RUNNER, RUNNER, Script, held, hello
from tests.support.virtual_time import virtual_time

FAILED, COMPLETED = run_pb2.ATTEMPT_OUTCOME_FAILED, run_pb2.ATTEMPT_OUTCOME_COMPLETED
EXCEPTION = run_pb2.Failure.KIND_EXCEPTION
SECOND = 1_000_000


def now() -> float:
    return asyncio.get_running_loop().time()


class Runner:
    """A runner that is alive, with one session and one Report stream."""

    def __init__(self, at: Orchestrated, session: Session, stream) -> None:
        self.at, self.session, self.stream = at, session, stream

    async def next(self) -> tuple[Assignment, Script]:
        async with asyncio.timeout(900):  # answers to heartbeats go on for ever
            return await self.at.take_up(self.session)

    async def send(self, script: Script, *events: bytes):
        await self.at.side.intake.deliver(self.stream, script.delivery(*events))
        return await answered(self.stream)

    async def fail(self, script: Script, *before: bytes, kind: int = EXCEPTION) -> None:
        await self.send(script, *before, script.ended(FAILED, kind))


@asynccontextmanager
async def a_runner(at: Orchestrated, runner_id: str = RUNNER, slots: int = 4) -> AsyncIterator[Runner]:
    session = await at.connect(hello(runner_id, slots=slots), EXPERIMENT)
    stream = await at.side.intake.open(session)
    await answered(stream)
    async with at.alive(session):
        yield Runner(at, session, stream)


@virtual_time
async def test_each_attempt_starts_exactly_when_its_backoff_is_over(orchestrate):
    at = orchestrate()
    async with at.running(), a_runner(at) as runner:
        run_id = at.new_run(max_attempts=4)
        _, script = await runner.next()
        for wait in (5, 10, 20):
            await asyncio.sleep(0.3)  # between two polls
            await runner.fail(script, script.started())
            run = at.run(run_id)
            assert (run.state, run.failure, run.lease_id, run.end_time_us) == (RunState.PENDING, None, None, None)
            assert run.next_attempt_time_us == at.clock.now_us() + wait * SECOND

            ended = now()
            assignment, script = await runner.next()
            assert now() - ended == pytest.approx(wait, abs=1e-5)
            assert assignment.run_id == run_id
            assert at.run(run_id).next_attempt_time_us is None, "it has been claimed"

        await runner.fail(script, script.started())
        run = at.run(run_id)
        assert (run.state, run.next_attempt_time_us) == (RunState.FAILED, None)
        assert run.failure is not None
        assert run.failure.kind is FailureKind.EXCEPTION
        assert [(one.number, one.outcome.name) for one in run.attempts] == [(n, "FAILED") for n in (1, 2, 3, 4)]
    kinds = at.kinds(run_id)
    assert kinds == ["state_change", *["attempt_started", "attempt_ended", "state_change"] * 4]
    assert [event.attempt for event in at.log(run_id)] == [0, *(n for a in (1, 2, 3, 4) for n in (a, a, 0))]


@virtual_time
async def test_without_backoff_the_next_attempt_starts_at_once(orchestrate):
    at = orchestrate()
    async with at.running(), a_runner(at) as runner:
        at.new_run(max_attempts=2, backoff=0)
        _, script = await runner.next()
        ended = now()
        await runner.fail(script, script.started())
        assignment, _ = await runner.next()
        assert (assignment.attempt, now()) == (2, ended)


@virtual_time
async def test_a_run_between_attempts_holds_nobody_up_and_takes_no_slot(orchestrate):
    at = orchestrate()
    async with at.running(), a_runner(at, slots=1) as runner:
        waiting = at.new_run(max_attempts=2, backoff=60)
        _, script = await runner.next()
        await runner.fail(script, script.started())
        begun = now()
        behind = at.new_run()
        assignment, script = await runner.next()
        assert (assignment.run_id, now()) == (behind, begun)
        await runner.send(script, script.started(), script.ended())
        assignment, _ = await runner.next()
        assert (assignment.run_id, assignment.attempt) == (waiting, 2)
        assert now() - begun == pytest.approx(60, abs=1e-5)


@virtual_time
async def test_the_earliest_of_many_that_wait_is_the_one_waited_for(orchestrate):
    at = orchestrate()
    async with at.running(), a_runner(at) as runner:
        expected = []
        for backoff in (7.3, 3.1, 5.2):
            run_id = at.new_run(max_attempts=2, backoff=backoff)
            _, script = await runner.next()
            await runner.fail(script, script.started())
            expected.append((round(now() + backoff, 4), run_id))
        for due, run_id in sorted(expected):
            assignment, _ = await runner.next()
            assert (round(now(), 4), assignment.run_id) == (due, run_id)


@virtual_time
async def test_waiting_for_a_next_attempt_is_one_timer_and_not_a_busy_loop(orchestrate):
    at = orchestrate()
    async with at.running():
        async with a_runner(at, slots=1) as runner:
            at.new_run(max_attempts=2, backoff=600)
            _, script = await runner.next()
            await runner.fail(script, script.started())
        busy = at.new_run()  # takes the only slot: the other run comes due and cannot be given out
        await asyncio.sleep(0)
        reads = at.database.reads
        await asyncio.sleep(100)
        assert at.database.reads - reads < 100 * 3
        assert at.run(busy).state is RunState.PENDING


@virtual_time
async def test_cancelled_between_attempts_it_ends_at_once(orchestrate):
    at = orchestrate()
    async with at.running(), a_runner(at) as runner:
        run_id = at.new_run(max_attempts=3)
        _, script = await runner.next()
        await runner.fail(script, script.started())
        at.cancel(run_id, "not needed")
        run = at.run(run_id)
        assert (run.state, run.next_attempt_time_us, run.failure) == (RunState.CANCELLED, None, None)
        assert run.end_time_us == at.clock.now_us()
        other = at.new_run()
        await asyncio.sleep(30)
        assert (await runner.next())[0].run_id == other
    assert at.kinds(run_id)[-3:] == ["attempt_ended", "state_change", "state_change"]


@virtual_time
async def test_the_patience_with_a_silent_runner_is_each_attempts_own(orchestrate):
    at = orchestrate()
    async with at.running(), a_runner(at) as runner:
        at.new_run(max_attempts=3, backoff=0)
        for attempt, patience in ((1, timedelta(minutes=10)), (2, timedelta(minutes=10)), (3, timedelta(hours=24))):
            assignment, script = await runner.next()
            assert (assignment.attempt, assignment.policy.lost_after) == (attempt, patience)
            lease = at.lease(assignment.lease_id)
            assert lease.lost_after == patience
            assert lease.expire_time_us - lease.grant_time_us == patience // timedelta(microseconds=1)
            await at.beat(runner.session, lease.id)
            lease = at.lease(lease.id)
            assert lease.expire_time_us - lease.renew_time_us == patience // timedelta(microseconds=1)
            await runner.fail(script, script.started())


@virtual_time
async def test_a_patience_that_was_said_holds_for_the_last_attempt_too(orchestrate):
    at = orchestrate()
    async with at.running(), a_runner(at) as runner:
        at.new_run(max_attempts=2, backoff=0, lost_after=90)
        for _ in range(2):
            assignment, script = await runner.next()
            assert assignment.policy.lost_after == at.lease(assignment.lease_id).lost_after == timedelta(seconds=90)
            await runner.fail(script, script.started())


@pytest.mark.parametrize("attempts", [2, 1])
@virtual_time
async def test_a_lost_runner_is_given_up_in_minutes_or_in_a_day(orchestrate, attempts):
    """The default: ten minutes while another attempt could follow, a day when none could."""
    at = orchestrate(Timings(reaper_interval=300, poll=300, progress_stored=300))  # few rounds in a day
    async with at.running():
        run_id = at.new_run(max_attempts=attempts)
        async with a_runner(at) as runner:
            _, script = await runner.next()
            await runner.send(script, script.started())
        patience = 600 if attempts == 2 else 24 * 3600
        await asyncio.sleep(patience - 1)
        assert at.run(run_id).state is RunState.RUNNING
        await asyncio.sleep(700)
        assert at.run(run_id).state is (RunState.PENDING if attempts == 2 else RunState.FAILED)


@pytest.mark.parametrize(
    "kind",
    [
        run_pb2.Failure.KIND_TIMEOUT,
        run_pb2.Failure.KIND_RUNNER_STOPPED,
        run_pb2.Failure.KIND_RUNNER_RESTARTED,
        run_pb2.Failure.KIND_RUNNER_LOST,
        run_pb2.Failure.KIND_PROCESS_EXIT,
    ],
)
@virtual_time
async def test_any_runner_that_has_the_experiment_makes_the_next_attempt(orchestrate, kind):
    at = orchestrate()
    async with at.running():
        run_id = at.new_run(max_attempts=2)
        async with a_runner(at) as first:
            _, script = await first.next()
            await first.fail(script, script.started(), kind=kind)
            await at.beat(first.session, draining=True)
        async with a_runner(at, OTHER_RUNNER) as other:
            assignment, script = await other.next()
            assert (assignment.run_id, assignment.attempt) == (run_id, 2)
            await other.send(script, script.started(), script.ended())
        run = at.run(run_id)
        assert run.state is RunState.COMPLETED
        assert [one.runner_id for one in run.attempts] == [RUNNER, OTHER_RUNNER]


@pytest.mark.parametrize("kind", [run_pb2.Failure.KIND_REPORTED, run_pb2.Failure.KIND_CONFIGURATION])
@virtual_time
async def test_what_would_fail_again_is_not_tried_again(orchestrate, kind):
    at = orchestrate()
    async with at.running(), a_runner(at) as runner:
        run_id = at.new_run(max_attempts=9)
        _, script = await runner.next()
        await runner.fail(script, script.started(), kind=kind)
        run = at.run(run_id)
        assert (run.state, len(run.attempts), run.next_attempt_time_us) == (RunState.FAILED, 1, None)


@virtual_time
async def test_after_a_start_that_failed_another_runner_is_preferred_and_the_same_one_will_do(orchestrate):
    at = orchestrate()
    async with at.running(), a_runner(at, slots=9) as roomy, a_runner(at, OTHER_RUNNER, slots=2) as other:
        run_id = at.new_run(max_attempts=3, backoff=0)
        _, script = await roomy.next()
        await roomy.fail(script, script.log("no module named x"), kind=run_pb2.Failure.KIND_LAUNCH)
        assignment, script = await other.next()
        assert (assignment.run_id, assignment.attempt) == (run_id, 2)

        await at.beat(roomy.session, draining=True)
        await other.fail(script, script.log("no module named x"), kind=run_pb2.Failure.KIND_LAUNCH)
        assignment, _ = await other.next()
        assert (assignment.run_id, assignment.attempt) == (run_id, 3)


@virtual_time
async def test_an_attempt_that_dies_before_a_checkpoint_of_its_own_leaves_the_earlier_one_to_the_next(orchestrate):
    at = orchestrate()
    async with at.running(), a_runner(at) as runner:
        run_id = at.new_run(max_attempts=4, backoff=0)
        first, script = await runner.next()
        assert first.checkpoint is None
        await runner.fail(
            script,
            script.started(),
            script.result("a"),
            script.checkpoint('{"done": 1}'),
            script.result("b"),
            script.log("working on b"),
        )
        assert (at.run(run_id).result_count, at.results(run_id)) == (2, ["a", "b"]), "until an attempt goes back"

        second, script = await runner.next()
        assert second.checkpoint is not None
        assert (second.checkpoint.sequence, second.checkpoint.state_json) == (4, '{"done": 1}')
        await runner.send(script, script.started(second.checkpoint.sequence))
        assert (at.run(run_id).result_count, at.results(run_id)) == (1, ["a"])
        await runner.fail(script, script.result("b"), script.result("c"))
        assert (at.run(run_id).result_count, at.results(run_id)) == (3, ["a", "b", "c"])

        # It dies before it has started anything: nothing is superseded, and the checkpoint stays the same.
        third, script = await runner.next()
        assert third.checkpoint == second.checkpoint
        await runner.fail(script, script.log("no memory"), kind=run_pb2.Failure.KIND_LAUNCH)
        assert at.results(run_id) == ["a", "b", "c"]

        fourth, script = await runner.next()
        assert fourth.checkpoint == second.checkpoint
        await runner.send(
            script,
            script.started(4),
            script.result("b"),
            script.result("c"),
            script.checkpoint('{"done": 3}'),
            script.ended(),
        )
        run = at.run(run_id)
        assert (run.state, run.result_count, at.results(run_id)) == (RunState.COMPLETED, 3, ["a", "b", "c"])
        assert at.results(run_id, superseded=True) == ["a", "b", "b", "c", "b", "c"]
        assert run.log_count == 2, "log entries are never superseded"


@virtual_time
async def test_an_attempt_that_begins_anew_supersedes_all_there_was(orchestrate):
    at = orchestrate()
    async with at.running(), a_runner(at) as runner:
        run_id = at.new_run(max_attempts=2, backoff=0)
        _, script = await runner.next()
        await runner.fail(script, script.started(), script.result("a"), script.result("b"))
        assignment, script = await runner.next()
        assert assignment.checkpoint is None
        await runner.send(script, script.started(), script.result("a"), script.ended())
        assert (at.run(run_id).result_count, at.results(run_id)) == (1, ["a"])


@virtual_time
async def test_nobody_sees_the_start_of_an_attempt_without_what_it_supersedes(orchestrate):
    """One transaction has both, and the results that came with it."""
    at = orchestrate()
    async with at.running(), a_runner(at) as runner:
        run_id = at.new_run(max_attempts=2, backoff=0)
        _, script = await runner.next()
        await runner.fail(script, script.started(), script.result("old"))
        _, script = await runner.next()
        with at.database.commits_held() as release:
            await at.side.intake.deliver(runner.stream, script.delivery(script.started(), script.result("new")))
            while not at.database.held:
                await asyncio.sleep(0.001)
            run = at.run(run_id)
            assert (run.state, run.result_count, at.results(run_id)) == (RunState.PENDING, 1, ["old"])
            release()
            await answered(runner.stream)
        run = at.run(run_id)
        assert (run.state, run.result_count, at.results(run_id)) == (RunState.RUNNING, 1, ["new"])


# A runner that comes back late.


async def a_silent_attempt(at: Orchestrated) -> tuple[str, Assignment, Script]:
    """Attempt 1 of 2 at a run, of whose runner nothing is heard from here on."""
    run_id = at.new_run(max_attempts=2, lost_after=70, backoff=0)
    async with a_runner(at) as runner:
        assignment, script = await runner.next()
        await runner.send(script, script.started(), script.result("a"), script.checkpoint(), script.result("b"))
    return run_id, assignment, script


async def come_back(at: Orchestrated, run_id: str, script: Script) -> tuple[Session, Welcome]:
    session = await at.side.sessions.open(
        hello(RUNNER, 2, held(run_id, script.lease_id, first=script.first, last=script.last))
    )
    welcome = await said(session)
    assert isinstance(welcome, Welcome)
    return session, welcome


@virtual_time
async def test_one_that_stopped_its_attempt_and_is_back_before_the_lease_is_over_tells_its_end(orchestrate):
    at = orchestrate()
    async with at.running():
        run_id, assignment, script = await a_silent_attempt(at)
        await asyncio.sleep(65)  # it stopped the attempt at 63 s, by its own clock
        lost = script.log("the last of it"), script.ended(FAILED, run_pb2.Failure.KIND_RUNNER_LOST)
        session, welcome = await come_back(at, run_id, script)
        assert welcome.verdicts == (Resume(assignment.lease_id, 6),)
        stream = await at.side.intake.open(session)
        await answered(stream)
        await at.side.intake.deliver(stream, script.delivery(*lost))
        await answered(stream)

        run = at.run(run_id)
        (attempt,) = run.attempts
        assert (run.state, attempt.log_complete, attempt.process_gone) == (RunState.PENDING, True, True)
        assert attempt.failure is not None
        assert attempt.failure.kind is FailureKind.RUNNER_LOST
        assert at.lease(assignment.lease_id).end is LeaseEnd.ENDED
    assert at.kinds(run_id)[-3:] == ["log", "attempt_ended", "state_change"]


@pytest.mark.parametrize("granted", [False, True], ids=["before the next attempt is granted", "after it was"])
@virtual_time
async def test_one_that_is_back_when_the_lease_is_over_is_fenced_and_nothing_of_it_enters_the_run(orchestrate, granted):
    at = orchestrate()
    async with at.running():
        run_id, assignment, script = await a_silent_attempt(at)
        await asyncio.sleep(80)
        assert at.run(run_id).state is RunState.PENDING
        lost = script.log("the last of it"), script.ended(FAILED, run_pb2.Failure.KIND_RUNNER_LOST)

        async with a_runner(at, OTHER_RUNNER) as other:
            if granted:
                again, second = await other.next()
                assert again.checkpoint is not None
                await other.send(second, second.started(again.checkpoint.sequence))
            before = at.run(run_id).last_sequence

            session, welcome = await come_back(at, run_id, script)
            (verdict,) = welcome.verdicts
            assert isinstance(verdict, Fence)
            assert verdict.lease_id == assignment.lease_id
            stream = await at.side.intake.open(session)
            await answered(stream)
            await at.side.intake.deliver(stream, script.delivery(*lost))
            (fence,) = (await answered(stream)).fences
            assert fence.lease_id == assignment.lease_id
            assert at.run(run_id).last_sequence == before

            # What it says of the processes is taken all the same.
            await at.beat(session, gone=(assignment.lease_id,))
            first = at.run(run_id).attempts[0]
            assert (first.process_gone, first.log_complete, first.last_sequence) == (True, False, 6)

            if not granted:
                again, second = await other.next()
                assert again.checkpoint is not None
                await other.send(second, second.started(again.checkpoint.sequence))
            await other.send(second, second.result("b"), second.ended())
        run = at.run(run_id)
        assert (run.state, at.results(run_id)) == (RunState.COMPLETED, ["a", "b"])
        assert [event.log.message for event in at.log(run_id) if event.HasField("log")] == []
