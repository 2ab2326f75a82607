"""Taking in deliveries: what is answered when, who waits for whom, and what a failing run does to the others."""

import asyncio
from contextlib import suppress

import pytest
from athanor_orchestrator.domain.errors import SessionSuperseded, StorageUnavailable
from athanor_orchestrator.domain.records import EventFilter, Progress, RunState
from athanor_orchestrator.engine import appending
from athanor_orchestrator.engine.messages import Acknowledgement, Delivery, Report
from athanor_orchestrator.engine.subscription import BatchItem

from tests.support.orchestrated import EXPERIMENT, Orchestrated, answered
from tests.support.runner_script import hello
from tests.support.virtual_time import virtual_time

_ALL = EventFilter()


async def several(at: Orchestrated, count: int):
    """Have one runner hold `count` runs, and open a Report stream for them."""
    run_ids = [at.new_run() for _ in range(count)]
    session = await at.connect(hello(slots=count), EXPERIMENT)
    scripts = [(await at.take_up(session))[1] for _ in run_ids]
    stream = await at.side.intake.open(session)
    await answered(stream)
    return run_ids, scripts, session, stream


def all_of(*scripts, count: int = 1) -> Delivery:
    """Make a delivery with the next log entries of several runs, each preceded by its AttemptStarted if need be."""
    return Delivery(
        tuple(script.batch(*([] if script.count else [script.started()]), *script.logs(count)) for script in scripts)
    )


@virtual_time
async def test_an_open_is_answered_with_how_far_each_lease_is_stored(orchestrate):
    at = orchestrate()
    async with at.running():
        _, (one, other), session, stream = await several(at, 2)
        await at.side.intake.deliver(stream, all_of(one, count=3))
        await answered(stream)
        again = await at.side.intake.open(session)
        report = await answered(again)
        assert set(report.acknowledgements) == {Acknowledgement(one.lease_id, 5), Acknowledgement(other.lease_id, 1)}


@virtual_time
async def test_an_open_without_leases_is_answered_too(orchestrate):
    at = orchestrate()
    async with at.running():
        stream = await at.side.intake.open(await at.connect(hello()))
        assert await answered(stream) == Report()


@virtual_time
async def test_nothing_is_acknowledged_or_seen_before_the_commit(orchestrate):
    at = orchestrate()
    async with at.running():
        (run_id,), (script,), _, stream = await several(at, 1)
        seen = []

        async def watch() -> None:
            async for item in at.subscriptions.follow(run_id, 0, _ALL):
                if isinstance(item, BatchItem):
                    seen.append(item)

        watching = asyncio.create_task(watch())
        await asyncio.sleep(1)
        begun = len(seen)

        with at.wakeups.subscribe(f"run:{run_id}") as wakeup, at.database.commits_held() as release:
            await at.side.intake.deliver(stream, all_of(script))
            with suppress(TimeoutError):
                async with asyncio.timeout(4.5):
                    await stream.outbox.get()
                    pytest.fail("acknowledged before the commit")
            assert at.database.held == 1
            assert not await wakeup.wait(0)
            assert len(seen) == begun
            assert at.run(run_id).state is RunState.PENDING

            release()
            assert (await answered(stream)).acknowledgements == (Acknowledgement(script.lease_id, 3),)
            assert await wakeup.wait(0)
        await asyncio.sleep(0.1)
        assert len(seen) > begun
        watching.cancel()


@virtual_time
async def test_a_stream_is_read_further_only_when_its_last_delivery_was_taken(orchestrate):
    at = orchestrate()
    async with at.running():
        _, (script,), _, stream = await several(at, 1)
        taken = []

        async def read() -> None:
            for number in range(5):
                await at.side.intake.deliver(stream, all_of(script))
                taken.append(number)

        with at.database.commits_held() as release:
            reading = asyncio.create_task(read())
            await asyncio.sleep(10)
            # One is in the transaction, the next one waits: no third was asked for.
            assert taken == [0]
            assert not at.side.intake.idle
            release()
            await reading
        await asyncio.sleep(1)
        assert at.side.intake.idle
        assert (await answered(stream)).acknowledgements == (Acknowledgement(script.lease_id, script.last),)


@virtual_time
async def test_what_gathers_during_a_commit_is_one_transaction(orchestrate):
    at = orchestrate()
    async with at.running():
        run_ids, scripts, session, first = await several(at, 3)
        streams = [first] + [await at.side.intake.open(session) for _ in range(2)]
        for stream in streams[1:]:
            await answered(stream)

        with at.database.commits_held() as release:
            await at.side.intake.deliver(first, all_of(scripts[0]))
            pending = [
                asyncio.create_task(at.side.intake.deliver(stream, all_of(script)))
                for stream, script in zip(streams, scripts, strict=True)
            ]
            await asyncio.sleep(1)
            at.database.woken.clear()
            release()
            await asyncio.gather(*pending)
        await asyncio.sleep(0.1)
        commits = [
            {topic[4:] for topic in topics if topic.startswith(("run:", "log:"))} for topics in at.database.woken
        ]
        assert list(filter(None, commits)) == [{run_ids[0]}, set(run_ids)]


@virtual_time
async def test_a_run_whose_own_transaction_fails_harms_no_neighbour_and_is_asked_again_ever_later(
    orchestrate, monkeypatch
):
    at = orchestrate()
    async with at.running():
        run_ids, scripts, _, stream = await several(at, 3)
        bad = scripts[1]
        store = appending.store
        broken = True

        def fail_for_one(tx, arrivals, progress):
            if broken and any(arrival.batch.lease_id == bad.lease_id for arrival in arrivals):
                raise ValueError("a fault of the code")
            return store(tx, arrivals, progress)

        monkeypatch.setattr(appending, "store", fail_for_one)
        loop = asyncio.get_running_loop()
        delivery = all_of(*scripts)
        await at.side.intake.deliver(stream, delivery)
        report = await answered(stream)
        good = {scripts[0].lease_id, scripts[2].lease_id}
        assert {each.lease_id for each in report.acknowledgements} <= good
        at.log(run_ids[0])

        delays = []
        for _ in range(8):
            begun = loop.time()
            report = await answered(stream)
            while not any(each.lease_id == bad.lease_id for each in report.acknowledgements):
                report = await answered(stream)
            assert report.acknowledgements == (Acknowledgement(bad.lease_id, 1, rewind=True),)
            delays.append(loop.time() - begun)
            await at.side.intake.deliver(stream, Delivery((delivery.batches[1],)))
        assert [round(delay, 1) for delay in delays] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]

        broken = False
        await answered(stream)
        await at.side.intake.deliver(stream, Delivery((delivery.batches[1],)))
        assert (await answered(stream)).acknowledgements == (Acknowledgement(bad.lease_id, 3),)
    for run_id in run_ids:
        assert len(at.log(run_id)) == 3


@virtual_time
async def test_what_comes_behind_a_failed_batch_is_dropped_until_it_is_asked_for(orchestrate):
    at = orchestrate()
    async with at.running():
        (run_id,), (script,), _, stream = await several(at, 1)
        at.database.refuse = lambda command: StorageUnavailable("locked")
        failed = all_of(script)
        await at.side.intake.deliver(stream, failed)
        await asyncio.sleep(0.01)
        at.database.refuse = lambda command: None

        begun = asyncio.get_running_loop().time()
        await at.side.intake.deliver(stream, all_of(script))
        await at.side.intake.deliver(stream, failed)  # whoever sends it again unasked is not heard either
        assert (await answered(stream)).acknowledgements == (Acknowledgement(script.lease_id, 1, rewind=True),)
        assert asyncio.get_running_loop().time() - begun > 0.1
        assert at.run(run_id).last_sequence == 1
        await at.side.intake.deliver(stream, failed)
        assert (await answered(stream)).acknowledgements == (Acknowledgement(script.lease_id, 3),)


@virtual_time
async def test_while_the_database_is_away_nothing_is_answered_and_afterwards_everything_is_asked_again(orchestrate):
    at = orchestrate()
    async with at.running():
        run_ids, scripts, _, stream = await several(at, 2)
        await at.side.intake.deliver(stream, all_of(*scripts))
        await answered(stream)

        at.database.refuse = lambda command: StorageUnavailable("disk full")
        at.database.refuse_read = lambda: StorageUnavailable("disk full")
        lost = all_of(*scripts)
        await at.side.intake.deliver(stream, lost)
        await at.side.intake.deliver(stream, all_of(*scripts))  # dropped
        await asyncio.sleep(60)

        at.database.refuse = lambda command: None
        at.database.refuse_read = lambda: None
        report = await answered(stream)
        assert set(report.acknowledgements) == {Acknowledgement(each.lease_id, 3, rewind=True) for each in scripts}
        await at.side.intake.deliver(stream, lost)
        report = await answered(stream)
        assert set(report.acknowledgements) == {Acknowledgement(each.lease_id, 4) for each in scripts}
    for run_id in run_ids:
        at.log(run_id)


@virtual_time
async def test_an_answer_after_a_failure_is_not_forgotten_when_reading_for_it_fails_by_a_fault(orchestrate):
    # the commit fails | its answer is due, and reading how far the run is stored fails, not for want of a database
    at = orchestrate()
    async with at.running():
        _, (script,), _, stream = await several(at, 1)
        at.database.refuse = lambda command: RuntimeError("a fault")
        at.database.refuse_read = lambda: RuntimeError("a fault")
        await at.side.intake.deliver(stream, all_of(script))
        await asyncio.sleep(1)
        at.database.refuse = lambda command: None
        at.database.refuse_read = lambda: None
        report = await answered(stream)
        assert report.acknowledgements == (Acknowledgement(script.lease_id, 1, rewind=True),)


@virtual_time
async def test_what_a_closed_stream_delivered_is_stored_all_the_same(orchestrate):
    at = orchestrate()
    async with at.running():
        (run_id,), (script,), _, stream = await several(at, 1)
        await at.side.intake.deliver(stream, all_of(script))
        stream.close()
        await asyncio.sleep(1)
        assert at.run(run_id).last_sequence == 3


@virtual_time
async def test_a_delivery_that_waits_while_its_session_is_superseded_is_dropped(orchestrate):
    at = orchestrate()
    async with at.running():
        (run_id,), (script,), session, stream = await several(at, 1)
        with at.database.commits_held() as release:
            await at.side.intake.deliver(stream, all_of(script))
            waiting = asyncio.create_task(at.side.intake.deliver(stream, all_of(script)))
            await asyncio.sleep(1)
            session.end(SessionSuperseded(session.id))
            release()
            await waiting
        await asyncio.sleep(1)
        assert at.run(run_id).last_sequence == 3


@virtual_time
async def test_large_deliveries_are_spread_over_transactions(orchestrate, monkeypatch):
    at = orchestrate()
    async with at.running():
        _, scripts, session, _ = await several(at, 3)
        streams = [await at.side.intake.open(session) for _ in scripts]
        sizes: list[int] = []
        store = appending.store

        def noting(tx, arrivals, progress):
            sizes.append(sum(len(event) for arrival in arrivals for event in arrival.batch.events.payloads))
            return store(tx, arrivals, progress)

        monkeypatch.setattr(appending, "store", noting)
        monkeypatch.setattr("athanor_orchestrator.engine.intake._MOST_BYTES", 10_000)
        deliveries = [all_of(script, count=200) for script in scripts]
        async with asyncio.TaskGroup() as tasks:
            for stream, delivery in zip(streams, deliveries, strict=True):
                tasks.create_task(at.side.intake.deliver(stream, delivery))
        await asyncio.sleep(1)
        assert len(sizes) > 1
        assert max(sizes) <= 10_000


@virtual_time
async def test_progress_is_shown_at_once_and_written_once_a_second(orchestrate):
    at = orchestrate()
    async with at.running():
        (run_id,), (script,), _, stream = await several(at, 1)
        await at.side.intake.deliver(stream, all_of(script))
        await answered(stream)
        written = at.database.writes
        for number in range(100):
            await at.side.intake.deliver(stream, Delivery((), ((script.lease_id, Progress(number, 100, "")),)))
            assert at.side.progress.latest(run_id) == Progress(number, 100, "")
            await asyncio.sleep(0.1)
        stored = at.run(run_id).progress
        assert stored is not None
        assert stored.current > 80
        assert at.database.writes - written < 30  # ten of progress; the others are the loops' own


@virtual_time
async def test_progress_of_a_run_that_the_session_does_not_hold_is_ignored(orchestrate):
    at = orchestrate()
    async with at.running():
        (run_id,), (script,), _, stream = await several(at, 1)
        await at.side.intake.deliver(stream, Delivery((script.batch(script.started(), script.ended()),)))
        await answered(stream)
        await at.side.intake.deliver(stream, Delivery((), ((script.lease_id, Progress(1, 2, "")),)))
        assert at.side.progress.latest(run_id) is None
        await asyncio.sleep(5)
        assert at.run(run_id).progress is None
