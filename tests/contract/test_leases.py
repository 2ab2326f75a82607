"""Leases and attempts: granting, renewing, ending, what is overdue, tombstones."""

from dataclasses import replace
from datetime import timedelta

import pytest
from athanor_orchestrator.domain.ids import new_id
from athanor_orchestrator.domain.records import AttemptOutcome, Failure, FailureKind, LeaseEnd, Reach, RunState
from athanor_orchestrator.storage import attempts, counts, leases, runs
from athanor_orchestrator.storage.database import Database

from tests.support.rows import CODE, EPOCH_US, a_lease, a_run, a_stored_run, an_attempt, an_instance, get, store


async def get_lease(database: Database, lease_id: str):
    return (await database.read(lambda tx: leases.get_leases(tx, [lease_id])))[lease_id]


async def test_a_lease_comes_back_as_it_was_stored_and_is_its_runs(database: Database) -> None:
    run = await a_stored_run(database)
    lease = a_lease(run, digest=bytes(range(32)), lost_after=timedelta(seconds=90), session_number=2**60)
    await store(database, lease)
    assert await get_lease(database, lease.id) == lease
    assert (await get(database, run)).lease_id == lease.id
    assert await database.read(lambda tx: leases.get_leases(tx, [lease.id, "unknown"])) == {lease.id: lease}
    assert await database.read(lambda tx: leases.get_leases(tx, [])) == {}


async def test_a_run_has_one_live_lease_at_a_time(database: Database) -> None:
    run = await a_stored_run(database)
    first, second = a_lease(run), a_lease(run)
    await store(database, first)
    with pytest.raises(RuntimeError, match="has a lease already"):
        await store(database, second)
    assert await database.read(lambda tx: leases.get_leases(tx, [second.id])) == {}
    assert (await get(database, run)).lease_id == first.id


async def test_live_leases_are_found_by_runner_and_all_together(database: Database) -> None:
    runner, other = new_id(), new_id()
    instance = an_instance()
    made = [a_run(instance) for _ in range(4)]
    mine = [a_lease(run, runner_id=runner) for run in made[:3]]
    theirs = a_lease(made[3], runner_id=other)
    await store(database, instance, *made, *mine, theirs)
    assert await database.write(lambda tx: leases.end_lease(tx, mine[1].id, LeaseEnd.RETURNED))
    assert await database.read(lambda tx: leases.live_leases_of_runner(tx, runner)) == [mine[0], mine[2]]
    assert await database.read(leases.live_leases) == [mine[0], mine[2], theirs]
    assert await database.read(lambda tx: leases.live_leases_of_runner(tx, "nobody")) == []


async def test_renewing_reaches_live_leases_of_the_session_alone(database: Database) -> None:
    instance = an_instance()
    made = [a_run(instance) for _ in range(3)]
    short = a_lease(made[0], session_number=5, lost_after=timedelta(minutes=10))
    older = a_lease(made[1], session_number=4)
    over = a_lease(made[2], session_number=5)
    await store(database, instance, *made, short, older, over)
    await database.write(lambda tx: leases.end_lease(tx, over.id, LeaseEnd.LOST))

    def renew(tx):
        return leases.renew_leases(tx, [short.id, older.id, over.id, "unknown"], 5), tx.now_us

    renewed, now = await database.write(renew)
    assert renewed == {short.id}
    found = await get_lease(database, short.id)
    assert found == replace(short, renew_time_us=now, expire_time_us=now + 600_000_000)
    assert await get_lease(database, older.id) == older
    assert await database.write(lambda tx: leases.renew_leases(tx, [], 5)) == set()


async def test_a_newer_session_takes_a_live_lease_over(database: Database) -> None:
    run = await a_stored_run(database)
    lease = a_lease(run)
    await store(database, lease)
    assert await database.write(lambda tx: leases.resume_lease(tx, lease.id, 2))
    found = await get_lease(database, lease.id)
    assert found.session_number == 2
    assert found.expire_time_us - found.renew_time_us == 24 * 3_600_000_000
    assert await database.write(lambda tx: leases.renew_leases(tx, [lease.id], 1)) == set()
    await database.write(lambda tx: leases.end_lease(tx, lease.id, LeaseEnd.ENDED))
    assert not await database.write(lambda tx: leases.resume_lease(tx, lease.id, 3))


async def test_runs_and_their_leases_advance_with_what_is_stored(database: Database) -> None:
    stored = [await a_stored_run(database) for _ in range(3)]
    held = [a_lease(run) for run in stored]
    await store(database, *held)
    reached = [
        Reach(run.id, lease.id, 9 + n, 1 + n, 5 + n, 2 + n, 8 + n, b"\x00" * 31 + bytes([n]))
        for n, (run, lease) in enumerate(zip(stored[:2], held[:2], strict=True))
    ]
    await database.write(lambda tx: counts.write_counts(tx, reached))
    await database.write(lambda tx: counts.write_counts(tx, []))

    for n in range(2):
        run, lease = await get(database, stored[n]), await get_lease(database, held[n].id)
        counted = {"attempt_count": 1 + n, "log_count": 5 + n, "result_count": 2 + n}
        assert run == replace(stored[n], lease_id=lease.id, last_sequence=9 + n, **counted)
        assert lease == replace(held[n], last_sequence=9 + n, event_count=8 + n, digest=b"\x00" * 31 + bytes([n]))
    assert await get_lease(database, held[2].id) == held[2]
    assert (await get(database, stored[2])).last_sequence == stored[2].last_sequence


@pytest.mark.parametrize("end", LeaseEnd)
async def test_a_lease_ends_once_and_leaves_its_run(database: Database, end: LeaseEnd) -> None:
    run = await a_stored_run(database)
    lease = a_lease(run)
    await store(database, lease)
    await database.write(lambda tx: runs.set_unreachable(tx, [run.id], EPOCH_US))
    assert await database.write(lambda tx: leases.end_lease(tx, lease.id, end))
    assert not await database.write(lambda tx: leases.end_lease(tx, lease.id, LeaseEnd.LOST))
    assert not await database.write(lambda tx: leases.end_lease(tx, "unknown", end))
    found = await get_lease(database, lease.id)
    assert found.end is end
    assert found.end_time_us is not None
    after = await get(database, run)
    assert (after.lease_id, after.unreachable_since_us) == (None, None)


async def test_ending_an_old_lease_does_not_touch_a_newer_one(database: Database) -> None:
    run = await a_stored_run(database)
    old, new = a_lease(run), a_lease(run, attempt=2)
    await store(database, old)
    await database.write(lambda tx: leases.end_lease(tx, old.id, LeaseEnd.LOST))
    await store(database, new)
    await database.write(lambda tx: leases.end_lease(tx, old.id, LeaseEnd.LOST))
    assert (await get(database, run)).lease_id == new.id
    assert [lease.id for lease in await database.read(lambda tx: leases.leases_of_run(tx, run.id))] == [old.id, new.id]


async def test_leases_are_overdue_by_the_databases_clock(database: Database) -> None:
    now = await database.write(lambda tx: tx.now_us)
    instance = an_instance()
    made = [a_run(instance) for _ in range(3)]
    past = [a_lease(run, expire_time_us=now - 1) for run in made[:2]]
    ahead = a_lease(made[2], expire_time_us=now + 3_600_000_000)
    await store(database, instance, *made, past[1], past[0], ahead)
    assert await database.read(leases.overdue_leases) == past
    await database.write(lambda tx: leases.end_lease(tx, past[0].id, LeaseEnd.LOST))
    assert await database.read(leases.overdue_leases) == [past[1]]


async def test_the_leases_of_a_deleted_run_stay_as_tombstones_until_purged(database: Database) -> None:
    run = await a_stored_run(database)
    ended, lost = a_lease(run), a_lease(run, attempt=2)
    await store(database, ended)
    await database.write(lambda tx: leases.end_lease(tx, ended.id, LeaseEnd.ENDED))
    await store(database, lost)
    await database.write(lambda tx: leases.end_lease(tx, lost.id, LeaseEnd.LOST))
    await database.write(lambda tx: runs.transition(tx, run.id, [RunState.PENDING], RunState.FAILED))
    hidden_at = await database.write(lambda tx: (runs.hide_run(tx, run.id), tx.now_us)[1])

    found = await database.read(lambda tx: leases.get_leases(tx, [ended.id, lost.id]))
    # What had ended by its own stored end goes on to say so: its runner may let go of its spool.
    assert found[ended.id].end is LeaseEnd.ENDED
    assert found[lost.id].end is LeaseEnd.DELETED
    assert {lease.end_time_us for lease in found.values()} == {hidden_at}

    assert await database.write(lambda tx: leases.purge_ended(tx, hidden_at, 10)) == 0
    assert await database.write(lambda tx: leases.purge_ended(tx, hidden_at + 1, 1)) == 1
    assert await database.write(lambda tx: leases.purge_ended(tx, hidden_at + 1, 10)) == 1
    assert await database.read(lambda tx: leases.leases_of_run(tx, run.id)) == []


async def test_live_leases_are_never_purged(database: Database) -> None:
    run = await a_stored_run(database)
    lease = a_lease(run)
    await store(database, lease)
    assert await database.write(lambda tx: leases.purge_ended(tx, 2**62, 10)) == 0
    assert await get_lease(database, lease.id) == lease


async def test_an_attempt_ends_once(database: Database) -> None:
    run = await a_stored_run(database)
    attempt = an_attempt()
    await database.write(lambda tx: attempts.insert_attempt(tx, run.id, "lease-1", attempt))
    assert await database.read(lambda tx: attempts.get_attempt(tx, run.id, 1)) == attempt
    assert await database.read(lambda tx: attempts.get_attempt(tx, run.id, 2)) is None

    failure = Failure(FailureKind.PROCESS_EXIT, "killed", "\x00tail", -9)
    end = {
        "end_time_us": EPOCH_US + 9,
        "outcome": AttemptOutcome.FAILED,
        "failure": failure,
        "process_gone": True,
        "log_complete": True,
        "last_sequence": 12,
    }
    counted = {"event_count": 11, "digest": b"\x00" * 32}
    assert await database.write(lambda tx: attempts.end_attempt(tx, run.id, 1, **end, **counted))
    again = {**end, "outcome": AttemptOutcome.COMPLETED}
    assert not await database.write(lambda tx: attempts.end_attempt(tx, run.id, 1, **again, **counted))
    assert not await database.write(lambda tx: attempts.end_attempt(tx, run.id, 2, **end, **counted))
    found = await database.read(lambda tx: attempts.get_attempt(tx, run.id, 1))
    assert found == replace(attempt, **{**end, "failure": replace(failure, detail="\u2400tail")})


async def test_an_attempt_can_be_written_as_a_whole(database: Database) -> None:
    run = await a_stored_run(database)
    attempt = an_attempt(start_time_us=None)
    await database.write(lambda tx: attempts.insert_attempt(tx, run.id, "lease-1", attempt))
    started = replace(attempt, start_time_us=EPOCH_US, code=replace(CODE, digest="other", git_dirty=False))
    assert await database.write(lambda tx: attempts.update_attempt(tx, run.id, started))
    assert await database.read(lambda tx: attempts.list_attempts(tx, [run.id, "x"])) == {run.id: (started,)}
    assert await database.read(lambda tx: attempts.list_attempts(tx, [])) == {}
    assert not await database.write(lambda tx: attempts.update_attempt(tx, run.id, an_attempt(number=9)))


async def test_a_process_is_confirmed_gone_once(database: Database) -> None:
    run = await a_stored_run(database)
    for number in (1, 2):
        await database.write(
            lambda tx, n=number: attempts.insert_attempt(tx, run.id, f"lease-{n}", an_attempt(number=n))
        )
    assert await database.write(lambda tx: attempts.put_process_gone(tx, ["lease-1", "unknown"])) == [run.id]
    assert await database.write(lambda tx: attempts.put_process_gone(tx, ["lease-1"])) == []
    assert await database.write(lambda tx: attempts.put_process_gone(tx, [])) == []
    made = await database.read(lambda tx: attempts.list_attempts(tx, [run.id]))
    assert [attempt.process_gone for attempt in made[run.id]] == [True, False]


async def test_more_leases_and_runs_may_be_named_than_a_statement_takes(database: Database) -> None:
    # A delivery, a heartbeat or a Hello has room for this many, and a deleted instance may have had this many runs.
    run = await a_stored_run(database)
    lease = a_lease(run)
    await store(database, lease)
    names = [f"{n:036}" for n in range(70_000)]
    assert set(await database.read(lambda tx: leases.get_leases(tx, [*names, lease.id]))) == {lease.id}
    assert set(await database.write(lambda tx: runs.lock_runs(tx, [*names, run.id]))) == {run.id}
    await database.write(lambda tx: leases.entomb(tx, [*names, run.id]))
    assert (await get_lease(database, lease.id)).end is LeaseEnd.DELETED
