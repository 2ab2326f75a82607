"""Verifying what the real append rule has stored: page by page, while the run goes on, is deleted, or nobody waits."""

import asyncio

import pytest
from athanor_orchestrator.domain import digests
from athanor_orchestrator.domain.certificate import FaultKind, Verdict
from athanor_orchestrator.domain.errors import NotFound
from athanor_orchestrator.domain.records import RunState
from athanor_orchestrator.engine import verification
from athanor_orchestrator.engine.deletion import remove_some
from athanor_orchestrator.engine.verification import Verification
from athanor_orchestrator.storage import attempts, runs
from athanor_orchestrator.storage.schema import run_events
from athanor_orchestrator.storage.transaction import Transaction
from sqlalchemy import update

from tests.support.orchestrated import EXPERIMENT, Orchestrated, answered
from tests.support.recorded import other_message
from tests.support.runner_script import hello
from tests.support.virtual_time import virtual_time


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "PAGE_EVENTS", 3)


class Verified:
    """A run that a runner holds, and what a verification says of it."""

    def __init__(self, at: Orchestrated) -> None:
        self.at = at
        self.verification = Verification(at.typed_database)

    async def open(self, number: int = 1) -> "Verified":
        self.run_id = self.at.new_run()
        self.session = await self.at.connect(hello(number=number), EXPERIMENT)
        self.assignment, self.script = await self.at.take_up(self.session)
        self.stream = await self.at.side.intake.open(self.session)
        await answered(self.stream)
        return self

    async def send(self, *events: bytes) -> None:
        await self.at.side.intake.deliver(self.stream, self.script.delivery(*events))
        await answered(self.stream)

    async def verify(self):
        return await self.verification.verify(self.run_id)


def change(at: Orchestrated, run_id: str, sequence: int, **columns: object) -> None:
    """Change an event in the database behind the orchestrator's back."""
    row = (run_events.c.run_id == run_id) & (run_events.c.sequence == sequence)
    at.database.do(lambda tx: tx.connection.execute(update(run_events).where(row).values(**columns)))


@virtual_time
async def test_a_run_is_under_way_then_complete(orchestrate):
    at = orchestrate()
    async with at.running():
        s = await Verified(at).open()
        assert (await s.verify()).verdict is Verdict.UNDER_WAY
        await s.send(s.script.started(), *s.script.logs(5), s.script.result())
        certificate = await s.verify()
        assert (certificate.verdict, certificate.last_sequence, certificate.faults) == (Verdict.UNDER_WAY, 8, ())
        assert certificate.attempts[0].digest == s.script.digest
        digest = s.script.digest
        await s.send(s.script.log(), s.script.ended())
        certificate = await s.verify()
        assert (certificate.verdict, certificate.event_count, certificate.faults) == (Verdict.COMPLETE, 11, ())
        (account,) = at.database.look(lambda tx: attempts.accounts_of(tx, s.run_id))
        assert (account.event_count, account.last_sequence) == (9, 10)
        assert account.digest == certificate.attempts[0].digest != digest


@virtual_time
async def test_how_far_an_attempt_has_reached_is_known_while_it_is_under_way(orchestrate):
    at = orchestrate()
    async with at.running():
        s = await Verified(at).open()
        await s.send(s.script.started(), *s.script.logs(5))
        assert at.run(s.run_id).attempts[0].last_sequence == 7
        await s.send(s.script.ended())
        assert at.run(s.run_id).attempts[0].last_sequence == 8


@virtual_time
async def test_of_a_lost_attempt_what_is_stored_can_still_be_verified(orchestrate):
    at = orchestrate()
    async with at.running():
        s = await Verified(at).open()
        await s.send(s.script.started(), *s.script.logs(5))
        stored = s.script.digest
        await at.connect(hello(number=2), EXPERIMENT)  # without its spool
        assert at.run(s.run_id).log_incomplete
        certificate = await s.verify()
        assert (certificate.verdict, certificate.faults) == (Verdict.INCOMPLETE, ())
        (finding,) = certificate.attempts
        assert (finding.digest, finding.event_count, finding.log_complete) == (stored, 7, False)
        assert finding.detail.startswith("it reaches to event 8;")

        # No digest came with its end, and yet an event that was altered with its checksum is found.
        change(at, s.run_id, 4, payload=other_message(s.script.written[2]), checksum=None)
        (fault,) = (await s.verify()).faults
        assert (fault.kind, fault.first_sequence, fault.last_sequence) == (FaultKind.DIGEST, 4, 4)


@virtual_time
async def test_a_live_run_is_checked_by_the_digest_of_its_lease(orchestrate):
    at = orchestrate()
    async with at.running():
        s = await Verified(at).open()
        await s.send(s.script.started(), *s.script.logs(5))
        payload = other_message(s.script.written[2])
        change(at, s.run_id, 4, payload=payload, checksum=digests.checksum(payload))
        (fault,) = (await s.verify()).faults
        assert (fault.kind, fault.first_sequence, fault.last_sequence) == (FaultKind.DIGEST, 2, 7)


@virtual_time
async def test_an_attempt_that_broke_the_rules_is_verified_up_to_there(orchestrate):
    at = orchestrate()
    async with at.running():
        s = await Verified(at).open()
        await s.send(s.script.started(), s.script.log(), s.script.state_change())
        assert at.run(s.run_id).state is RunState.FAILED
        certificate = await s.verify()
        assert (certificate.verdict, certificate.faults) == (Verdict.INCOMPLETE, ())


@virtual_time
async def test_a_run_that_was_never_taken_up_is_complete(orchestrate):
    at = orchestrate()
    run_id = at.new_run()
    at.cancel(run_id)
    certificate = await Verification(at.typed_database).verify(run_id)
    assert (certificate.verdict, certificate.event_count, certificate.attempts) == (Verdict.COMPLETE, 2, ())


@virtual_time
async def test_what_is_recorded_meanwhile_is_not_looked_at(orchestrate):
    at = orchestrate()
    async with at.running():
        s = await Verified(at).open()
        await s.send(s.script.started(), *s.script.logs(8))
        verifying = asyncio.create_task(s.verify(), name="verify")
        before = at.database.reads
        while at.database.reads < before + 2:
            await asyncio.sleep(0)
        assert not verifying.done()
        await s.send(s.script.result(), s.script.log(), s.script.ended())
        certificate = await verifying
        assert (certificate.verdict, certificate.last_sequence, certificate.faults) == (Verdict.UNDER_WAY, 10, ())
        assert (await s.verify()).verdict is Verdict.COMPLETE


@virtual_time
async def test_a_run_that_is_deleted_meanwhile_is_not_found_and_not_called_damaged(orchestrate):
    at = orchestrate()
    async with at.running():
        s = await Verified(at).open()
        await s.send(s.script.started(), *s.script.logs(8), s.script.ended())
        verifying = asyncio.create_task(s.verify(), name="verify")
        before = at.database.reads
        while at.database.reads < before + 2:
            await asyncio.sleep(0)
        assert not verifying.done()

        def delete(tx: Transaction) -> None:
            runs.hide_run(tx, s.run_id)
            assert remove_some(tx, 5)

        at.database.do(delete)
        with pytest.raises(NotFound):
            await verifying
    with pytest.raises(NotFound):
        await s.verify()


@virtual_time
async def test_verifications_take_turns_page_by_page(orchestrate):
    at = orchestrate()
    async with at.running():
        s = await Verified(at).open()
        await s.send(s.script.started(), *s.script.logs(20))
        reading = most = 0
        real = at.database.read

        async def read(query):
            nonlocal reading, most
            reading += 1
            most = max(most, reading)
            await asyncio.sleep(0.01)
            answer = await real(query)
            reading -= 1
            return answer

        at.database.read = read
        async with asyncio.TaskGroup() as tasks:
            for n in range(3):
                tasks.create_task(s.verify(), name=f"verify {n}")
            await asyncio.sleep(0.025)
            most = 0  # of pages; how things stand is asked at once
        assert most == 1


@virtual_time
async def test_one_that_nobody_waits_for_any_more_stops_within_a_page(orchestrate, monkeypatch):
    at = orchestrate()
    pages, advance = [], verification._advance
    monkeypatch.setattr(verification, "_advance", lambda tx, **how: pages.append(how) or advance(tx, **how))
    async with at.running():
        s = await Verified(at).open()
        await s.send(s.script.started(), *s.script.logs(50))
        verifying = asyncio.create_task(s.verify(), name="verify")
        while len(pages) < 4:
            await asyncio.sleep(0)
        verifying.cancel()
        await asyncio.wait({verifying})
        assert verifying.cancelled()
        await asyncio.sleep(10)
        assert len(pages) <= 5
        assert (await s.verify()).verdict is Verdict.UNDER_WAY, "and the turn was given back"


@virtual_time
async def test_a_query_that_is_asked_twice_counts_once(orchestrate):
    at = orchestrate()
    async with at.running():
        s = await Verified(at).open()
        await s.send(s.script.started(), *s.script.logs(7), s.script.ended())
        real = at.database.look

        def twice(query):
            real(query)
            return real(query)

        at.database.look = twice
        certificate = await s.verify()
    assert (certificate.verdict, certificate.event_count) == (Verdict.COMPLETE, 11)
