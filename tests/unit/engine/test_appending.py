"""The append rule over a real schema: what is stored, what is answered, and what the end of an attempt does."""

import hashlib

import pytest
from athanor.v1 import run_pb2
from athanor_orchestrator.domain.records import AttemptOutcome, FailureKind, LeaseEnd, Progress, RunState
from athanor_orchestrator.engine import appending
from athanor_orchestrator.engine.appending import Arrival
from athanor_orchestrator.engine.batches import EVENT_BYTES, prepare
from athanor_orchestrator.engine.messages import Delivery, EventBatch

from tests.support.orchestrated import EXPERIMENT, Orchestrated, answered, said
from tests.support.runner_script import OTHER_RUNNER, RUNNER, Script, hello, unknown_id
from tests.support.virtual_time import virtual_time


class Setting:
    """One run, one runner with a lease of it, one Report stream."""

    def __init__(self, at: Orchestrated) -> None:
        self.at = at

    async def open(self, **run: object) -> "Setting":
        self.run_id = self.at.new_run(**run)
        self.session = await self.at.connect(hello(), EXPERIMENT)
        self.assignment, self.script = await self.at.take_up(self.session)
        self.stream = await self.at.side.intake.open(self.session)
        await answered(self.stream)
        return self

    async def send(self, *events: bytes, first: int | None = None):
        """Deliver a batch and return its answer."""
        await self.at.side.intake.deliver(self.stream, self.script.delivery(*events, first=first))
        return await answered(self.stream)

    @property
    def run(self):
        return self.at.run(self.run_id)

    @property
    def lease(self):
        return self.at.lease(self.assignment.lease_id)


def acknowledged(report) -> tuple[int, bool]:
    (acknowledgement,) = report.acknowledgements
    assert not report.fences
    return acknowledgement.committed_sequence, acknowledgement.rewind


def fenced(report) -> str:
    (fence,) = report.fences
    assert not report.acknowledgements
    return fence.reason


@virtual_time
async def test_a_run_from_its_first_event_to_its_end(orchestrate):
    at = orchestrate()
    async with at.running():
        s = await Setting(at).open()
        script = s.script

        assert acknowledged(await s.send(script.started(), script.log("one"))) == (3, False)
        run = s.run
        assert (run.state, run.log_count, run.attempt_count, run.last_sequence) == (RunState.RUNNING, 1, 1, 3)
        assert run.start_time_us == 1_700_000_002_000_000
        assert run.attempts[0].code.digest == "abc"

        assert acknowledged(await s.send(script.result("k"), script.log("two"), script.ended())) == (6, False)
        run = s.run
        assert (run.state, run.log_count, run.result_count, run.last_sequence) == (RunState.COMPLETED, 2, 1, 7)
        assert run.failure is None
        assert run.lease_id is None
        assert run.end_time_us is not None
        (attempt,) = run.attempts
        assert (attempt.outcome, attempt.log_complete, attempt.process_gone) == (AttemptOutcome.COMPLETED, True, True)
        assert attempt.last_sequence == 6
        assert (s.lease.end, s.lease.last_sequence, s.lease.event_count) == (LeaseEnd.ENDED, 6, 5)

    assert at.kinds(s.run_id) == [
        "state_change",
        "attempt_started",
        "log",
        "result",
        "log",
        "attempt_ended",
        "state_change",
    ]
    assert at.results(s.run_id) == ["k"]
    assert at.log(s.run_id)[-1].state_change.state == run_pb2.RUN_STATE_COMPLETED


@virtual_time
async def test_the_very_bytes_are_stored(orchestrate):
    at = orchestrate()
    async with at.running():
        s = await Setting(at).open()
        await s.send(s.script.started(), *s.script.logs(3))
    stored = [event.SerializeToString(deterministic=True) for event in at.log(s.run_id)[1:]]
    assert stored == s.script.written


@virtual_time
async def test_duplicates_are_skipped_and_acknowledged(orchestrate):
    at = orchestrate()
    async with at.running():
        s = await Setting(at).open()
        first = [s.script.started(), s.script.log("a"), s.script.log("b")]
        await s.send(*first)
        assert acknowledged(await s.send(*first)) == (4, False)
        assert acknowledged(await s.send(*first[1:], s.script.log("c"))) == (5, False)
        run = s.run
        assert (run.log_count, run.last_sequence) == (3, 5)
        assert s.lease.event_count == 4
        assert s.lease.digest == s.script.digest
    at.log(s.run_id)


@virtual_time
async def test_what_two_streams_bring_into_one_transaction_counts_once(orchestrate):
    at = orchestrate()
    async with at.running():
        s = await Setting(at).open()
        begun = [s.script.started(), s.script.log("a")]
        await s.send(*begun)

        # A Report stream was reopened and the old one is not gone yet: both deliver, and one transaction takes it all.
        more = [s.script.log("b"), s.script.log("c")]
        old, new = (Arrival(RUNNER, 1, *prepare([s.script.batch(*events)])) for events in (more, [*begun, *more]))
        answers = at.database.do(lambda tx: appending.store(tx, [old, new, old], {}))
        assert answers == [appending.Committed(5)] * 3
        assert (s.run.log_count, s.lease.event_count) == (3, 4)
        assert s.lease.digest == s.script.digest
    at.log(s.run_id)


@virtual_time
async def test_a_gap_is_answered_with_a_rewind_and_what_follows_is_dropped_until_it_is_closed(orchestrate):
    at = orchestrate()
    async with at.running():
        s = await Setting(at).open()
        script = s.script
        begun = [script.started(), script.log("a")]
        lost = [script.log("b"), script.log("c")]
        later = [script.log("d")]

        await s.send(*begun)
        assert acknowledged(await s.send(*later)) == (3, True)

        # Dropped without a word: the next answer is that of the batch that closes the gap.
        await at.side.intake.deliver(s.stream, script.delivery(script.log("e")))
        await at.side.intake.deliver(s.stream, script.delivery(*later))
        assert acknowledged(await s.send(*lost)) == (5, False)
        assert acknowledged(await s.send(*later)) == (6, False)
    at.log(s.run_id)


@virtual_time
async def test_a_rewind_is_each_streams_own(orchestrate):
    at = orchestrate()
    async with at.running():
        s = await Setting(at).open()
        begun = [s.script.started(), s.script.log("a")]
        later = s.script.log("b")
        assert acknowledged(await s.send(later)) == (1, True)
        reopened = await at.side.intake.open(s.session)
        await answered(reopened)
        await at.side.intake.deliver(reopened, s.script.delivery(*begun, later))
        assert acknowledged(await answered(reopened)) == (4, False)


@virtual_time
async def test_other_bytes_at_a_stored_number_end_the_attempt(orchestrate):
    at = orchestrate()
    async with at.running():
        s = await Setting(at).open()
        await s.send(s.script.started(), s.script.log("a"))
        forged = Script(s.script.lease_id, 3)
        reason = fenced(await s.send(forged.log("another"), first=3))
        assert "event 3 came again with other bytes" in reason

        run = s.run
        assert run.state is RunState.FAILED
        assert run.failure is not None
        assert run.failure.kind is FailureKind.STORAGE
        assert s.lease.end is LeaseEnd.BROKEN
        (attempt,) = run.attempts
        assert (attempt.log_complete, attempt.process_gone, attempt.last_sequence) == (False, False, 4)

        # Nothing is stored behind the end, whatever still comes.
        assert fenced(await s.send(s.script.log("b")))
    assert at.kinds(s.run_id) == ["state_change", "attempt_started", "log", "attempt_ended", "state_change"]
    assert at.log(s.run_id)[3].attempt_ended.digest == b""


def _result_before_start(script: Script) -> list[bytes]:
    return [script.result()]


def _checkpoint_before_start(script: Script) -> list[bytes]:
    return [script.log(), script.checkpoint()]


def _second_start(script: Script) -> list[bytes]:
    return [script.started(), script.log(), script.started()]


def _state_change(script: Script) -> list[bytes]:
    return [script.started(), script.state_change()]


def _behind_the_end(script: Script) -> list[bytes]:
    return [script.started(), script.ended(), script.log()]


def _other_attempt(script: Script) -> list[bytes]:
    script.attempt = 2
    return [script.started()]


def _attempts_mixed(script: Script) -> list[bytes]:
    events = [script.started()]
    script.attempt = 2
    return [*events, script.log()]


def _wrong_number(script: Script) -> list[bytes]:
    events = [script.started()]
    script.sequence += 1
    return [*events, script.log()]


def _no_event(script: Script) -> list[bytes]:
    return [script.started(), b"\xff\xff\xff"]


def _no_content(script: Script) -> list[bytes]:
    return [script.started(), b"\x08\x03\x10\x01"]


def _no_outcome(script: Script) -> list[bytes]:
    return [script.started(), script.ended(outcome=run_pb2.ATTEMPT_OUTCOME_UNSPECIFIED)]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (_result_before_start, "before AttemptStarted"),
        (_checkpoint_before_start, "before AttemptStarted"),
        (_second_start, "second AttemptStarted"),
        (_state_change, "only the orchestrator writes"),
        (_other_attempt, "is of attempt 2, the lease of 1"),
        (_attempts_mixed, "is of attempt 2, those before it are of attempt 1"),
        (_wrong_number, "numbered 4 came in the place of 3"),
        (_no_event, "not a RunEvent"),
        (_no_content, "without content"),
        (_no_outcome, "an outcome that is not known"),
    ],
)
@virtual_time
async def test_what_breaks_the_rule_ends_the_attempt_with_the_reason(orchestrate, make, text):
    at = orchestrate()
    async with at.running():
        s = await Setting(at).open()
        assert text in fenced(await s.send(*make(s.script), first=2))
        run = s.run
        assert run.state is RunState.FAILED
        assert run.failure is not None
        assert run.failure.kind is FailureKind.STORAGE
        assert text in run.failure.message
        assert len(run.attempts) == 1
    log = at.log(s.run_id)
    assert [event.WhichOneof("event") for event in log[-2:]] == ["attempt_ended", "state_change"]


@virtual_time
async def test_a_second_start_in_a_later_batch_breaks_the_rule_too(orchestrate):
    at = orchestrate()
    async with at.running():
        s = await Setting(at).open()
        await s.send(s.script.started())
        assert "second AttemptStarted" in fenced(await s.send(s.script.started()))


@virtual_time
async def test_the_good_events_in_front_of_a_fault_are_stored(orchestrate):
    at = orchestrate()
    async with at.running():
        s = await Setting(at).open()
        fenced(await s.send(s.script.started(), s.script.log("last words"), b"\xff"))
    log = at.log(s.run_id)
    assert log[2].log.message == "last words"
    assert log[3].attempt_ended.event_count == 3


@virtual_time
async def test_events_behind_the_stored_end_change_nothing(orchestrate):
    at = orchestrate()
    async with at.running():
        s = await Setting(at).open()
        events = _behind_the_end(s.script)
        report = await s.send(*events)
        # The end was stored with what came before it; the fault behind it finds the run ended.
        assert s.run.state is RunState.COMPLETED
        assert acknowledged(report) == (3, False)
        assert acknowledged(await s.send(*events)) == (3, False)
    assert at.kinds(s.run_id) == ["state_change", "attempt_started", "attempt_ended", "state_change"]


@virtual_time
async def test_after_the_stored_end_the_last_sequence_is_acknowledged_again(orchestrate):
    at = orchestrate()
    async with at.running():
        s = await Setting(at).open()
        events = [s.script.started(), s.script.ended()]
        await s.send(*events)
        assert acknowledged(await s.send(*events)) == (3, False)
    assert s.run.last_sequence == 4


@pytest.mark.parametrize(
    ("digest", "count"),
    [(b"", None), (hashlib.sha256(b"something else").digest(), None), (None, 17)],
    ids=["unknown", "differs", "count"],
)
@virtual_time
async def test_completed_needs_the_digest_that_shows_it(orchestrate, digest, count):
    at = orchestrate()
    async with at.running():
        s = await Setting(at).open()
        await s.send(s.script.started(), s.script.log(), s.script.ended(digest=digest, event_count=count))
        run = s.run
        assert run.state is RunState.FAILED
        assert run.failure is not None
        assert run.failure.kind is FailureKind.STORAGE
        assert not run.attempts[0].log_complete


@virtual_time
async def test_the_digest_is_chained_from_commit_to_commit(orchestrate):
    at = orchestrate()
    async with at.running():
        s = await Setting(at).open()
        await s.send(s.script.started())
        for _ in range(5):
            await s.send(*s.script.logs(3))
        await s.send(s.script.ended())
        assert s.run.attempts[0].log_complete


@virtual_time
async def test_an_attempt_that_could_not_be_started_is_log_entries_and_an_end(orchestrate):
    at = orchestrate()
    async with at.running():
        s = await Setting(at).open()
        ended = (s.script.log("no module"), s.script.ended(run_pb2.ATTEMPT_OUTCOME_FAILED, run_pb2.Failure.KIND_LAUNCH))
        assert acknowledged(await s.send(*ended)) == (3, False)
        run = s.run
        assert run.state is RunState.FAILED
        assert run.failure is not None
        assert run.failure.kind is FailureKind.LAUNCH
        assert run.start_time_us is None
        assert run.attempts[0].start_time_us is None


@pytest.mark.parametrize(
    ("outcome", "kind", "state"),
    [
        (run_pb2.ATTEMPT_OUTCOME_COMPLETED, None, RunState.COMPLETED),
        (run_pb2.ATTEMPT_OUTCOME_CANCELLED, None, RunState.CANCELLED),
        (run_pb2.ATTEMPT_OUTCOME_FAILED, run_pb2.Failure.KIND_EXCEPTION, RunState.CANCELLED),
    ],
)
@virtual_time
async def test_how_an_attempt_ends_after_a_cancellation(orchestrate, outcome, kind, state):
    at = orchestrate()
    async with at.running():
        s = await Setting(at).open()
        await s.send(s.script.started())
        at.cancel(s.run_id)
        await said(s.session)
        await s.send(s.script.ended(outcome, kind))
        assert s.run.state is state
        assert s.run.cancel_reason == "enough"


@virtual_time
async def test_what_comes_under_an_unknown_lease_is_ignored(orchestrate):
    at = orchestrate()
    async with at.running():
        s = await Setting(at).open()
        stranger = Script(unknown_id(), 2)
        await at.side.intake.deliver(s.stream, stranger.delivery(stranger.started()))
        assert acknowledged(await s.send(s.script.started())) == (2, False)


@virtual_time
async def test_another_runners_lease_is_ignored(orchestrate):
    at = orchestrate()
    async with at.running():
        s = await Setting(at).open()
        other = await at.connect(hello(OTHER_RUNNER))
        stream = await at.side.intake.open(other)
        await answered(stream)
        await at.side.intake.deliver(stream, s.script.delivery(s.script.started()))
        assert s.run.state is RunState.PENDING
        assert acknowledged(await s.send(*s.script.written)) == (2, False)


@virtual_time
async def test_a_run_that_may_be_tried_again_waits_and_its_results_are_superseded(orchestrate):
    at = orchestrate()
    async with at.running():
        s = await Setting(at).open(max_attempts=2)
        await s.send(s.script.started(), s.script.result("old"), s.script.log())
        await s.send(s.script.ended(run_pb2.ATTEMPT_OUTCOME_FAILED, run_pb2.Failure.KIND_EXCEPTION))
        run = s.run
        assert run.state is RunState.PENDING
        assert run.failure is None
        assert run.next_attempt_time_us is not None
        assert (run.result_count, run.last_sequence) == (1, 6)

        # Five seconds later, by itself.
        assignment, second = await at.take_up(s.session)
        assert (assignment.attempt, assignment.next_sequence) == (2, 7)
        s.script = second
        await s.send(second.started(restored_sequence=0), second.result("new"))
        run = s.run
        assert run.state is RunState.RUNNING
        assert run.next_attempt_time_us is None
        assert (run.result_count, run.attempt_count) == (1, 2)
        assert at.results(s.run_id) == ["new"]
        assert at.results(s.run_id, superseded=True) == ["old", "new"]

        # The old attempt is over by its own stored end: all of it is here.
        await s.send(second.ended())
        assert s.run.state is RunState.COMPLETED
        assert [attempt.outcome.name for attempt in s.run.attempts] == ["FAILED", "COMPLETED"]
    at.log(s.run_id)


@virtual_time
async def test_a_later_attempt_is_given_the_newest_checkpoint(orchestrate):
    at = orchestrate()
    async with at.running():
        s = await Setting(at).open(max_attempts=2)
        await s.send(s.script.started(), s.script.checkpoint('{"i": 1}'), s.script.checkpoint('{"i": 2}'))
        await s.send(s.script.ended(run_pb2.ATTEMPT_OUTCOME_FAILED, run_pb2.Failure.KIND_EXCEPTION))
        assignment = await at.assigned(s.session)
        assert assignment.checkpoint is not None
        assert (assignment.checkpoint.sequence, assignment.checkpoint.state_json) == (4, '{"i": 2}')


@virtual_time
async def test_progress_reported_with_the_end_is_kept_on_the_run(orchestrate):
    at = orchestrate()
    async with at.running():
        s = await Setting(at).open()
        await s.send(s.script.started())
        delivery = s.script.delivery(s.script.ended())
        with_progress = Delivery(delivery.batches, ((s.script.lease_id, Progress(73, 100, "trials")),))
        await at.side.intake.deliver(s.stream, with_progress)
        await answered(s.stream)
        assert s.run.progress == Progress(73, 100, "trials")
        assert at.side.progress.latest(s.run_id) is None


@virtual_time
async def test_many_runs_in_one_delivery_are_one_transaction_and_one_answer(orchestrate):
    at = orchestrate()
    async with at.running():
        run_ids = [at.new_run() for _ in range(5)]
        session = await at.connect(hello(slots=5), EXPERIMENT)
        scripts = [(await at.take_up(session))[1] for _ in run_ids]
        stream = await at.side.intake.open(session)
        await answered(stream)

        at.database.woken.clear()
        batches: list[EventBatch] = [script.batch(script.started(), *script.logs(3)) for script in scripts]
        await at.side.intake.deliver(stream, Delivery(tuple(batches)))
        report = await answered(stream)
        (commit,) = [topics for topics in at.database.woken if any(topic.startswith("run:") for topic in topics)]
        assert {f"run:{run_id}" for run_id in run_ids} <= commit
        assert sorted(a.committed_sequence for a in report.acknowledgements) == [5] * 5
    for run_id in run_ids:
        assert len(at.log(run_id)) == 5


@virtual_time
async def test_progress_beside_events_that_are_stored_already_is_still_there_at_the_end(orchestrate):
    # events 2 to 3 | the same again, as after a lost answer, with 73 of 100 | the end, with no progress since
    at = orchestrate()
    async with at.running():
        s = await Setting(at).open()
        script, progress = s.script, Progress(73, 100, "fits")
        batch = script.batch(script.started(), script.log())
        await at.side.intake.deliver(s.stream, Delivery((batch,)))
        await answered(s.stream)
        await at.side.intake.deliver(s.stream, Delivery((batch,), ((script.lease_id, progress),)))
        await answered(s.stream)
        assert s.run.progress == progress
        await s.send(script.ended())
        assert s.run.progress == progress


def test_an_event_beyond_the_protocol_s_limit_is_a_fault_of_its_batch():
    # Else a failure of several megabytes would stand in the run twice, and no answer that shows the run could be sent.
    script = Script(unknown_id(), 2)
    started, within = script.started(), script.log("x" * (EVENT_BYTES - 100))
    (batch,) = prepare([script.batch(started, within)])
    assert (batch.fault, batch.last_sequence) == ("", 3)
    (batch,) = prepare([script.batch(script.log("still stored"), script.log("x" * EVENT_BYTES))])
    assert "at most 1048576" in batch.fault
    assert batch.last_sequence == 4
