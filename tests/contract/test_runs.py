"""Runs: what is stored comes back, compare-and-set, pages and filters, hiding."""

from dataclasses import replace
from datetime import timedelta

import pytest
from athanor_orchestrator.domain.records import Failure, FailureKind, Policy, Progress, RunState
from athanor_orchestrator.storage import attempts, instances, runs
from athanor_orchestrator.storage.database import Database

from tests.support.rows import EPOCH_US, a_lease, a_run, a_stored_run, an_attempt, an_instance, get, store

FAILURE = Failure(FailureKind.EXCEPTION, "ValueError: no", "Traceback ...", -11)


async def test_a_run_comes_back_as_it_was_stored(database: Database) -> None:
    instance = an_instance()
    run = a_run(
        instance,
        seed=2**64 - 1,
        labels={"k": "v"},
        configuration_json='{"z": 1e400, "a": 0.10}',
        policy=Policy(timedelta(hours=1), timedelta(0), 3, timedelta(microseconds=1), timedelta(days=3650)),
        next_attempt_time_us=EPOCH_US + 1,
        progress=Progress(2**62, 0, "half"),
        failure=FAILURE,
        cancel_reason="enough",
        cancel_request_time_us=EPOCH_US + 2,
        start_time_us=EPOCH_US + 3,
        end_time_us=EPOCH_US + 4,
        log_count=2**40,
    )
    await store(database, instance, run)
    assert await get(database, run) == run
    made = (an_attempt(number=1), an_attempt(number=2))
    for attempt in reversed(made):
        await database.write(lambda tx, a=attempt: attempts.insert_attempt(tx, run.id, "lease", a))
    assert await get(database, run) == replace(run, attempts=made)
    assert await database.write(lambda tx: runs.lock_run(tx, run.id)) == run
    assert await database.write(lambda tx: runs.lock_runs(tx, [run.id, "unknown"])) == {
        run.id: replace(run, configuration_json="")
    }
    assert await database.read(lambda tx: runs.get_run(tx, "unknown")) is None
    assert await database.write(lambda tx: runs.lock_run(tx, "unknown")) is None


async def test_a_run_of_no_instance_is_refused(database: Database) -> None:
    with pytest.raises(Exception, match=r"(?i)foreign key"):
        await store(database, a_run(an_instance()))


async def test_a_transition_is_a_compare_and_set(database: Database) -> None:
    run = await a_stored_run(database, progress=Progress(1, 2, "x"))
    started = EPOCH_US + 5

    def start(tx):
        return runs.transition(tx, run.id, [RunState.PENDING], RunState.RUNNING, start_time_us=started, attempt_count=1)

    assert await database.write(start)
    assert not await database.write(start)
    running = await get(database, run)
    assert running == replace(run, state=RunState.RUNNING, start_time_us=started, attempt_count=1)

    live = [RunState.PENDING, RunState.RUNNING]
    assert await database.write(
        lambda tx: runs.transition(tx, run.id, live, RunState.FAILED, failure=FAILURE, progress=None, end_time_us=9)
    )
    failed = await get(database, run)
    assert (failed.state, failed.failure, failed.progress, failed.end_time_us) == (RunState.FAILED, FAILURE, None, 9)
    for state in RunState:
        assert not await database.write(lambda tx, s=state: runs.transition(tx, run.id, live, s))
    assert not await database.write(lambda tx: runs.transition(tx, "unknown", live, RunState.FAILED))


async def test_only_the_columns_that_are_named_are_written(database: Database) -> None:
    run = await a_stored_run(database, failure=FAILURE, progress=Progress(1, 2, "x"), cancel_reason="r")
    assert await database.write(lambda tx: runs.update_run(tx, run.id, last_sequence=9, log_count=8, result_count=7))
    assert await get(database, run) == replace(run, last_sequence=9, log_count=8, result_count=7)
    assert await database.write(lambda tx: runs.update_run(tx, run.id, failure=None))
    assert (await get(database, run)).failure is None
    assert not await database.write(lambda tx: runs.update_run(tx, "unknown", log_count=1))


async def test_text_for_people_is_made_storable_visibly(database: Database) -> None:
    run = await a_stored_run(
        database, failure=Failure(FailureKind.EXCEPTION, "a\x00b", "\x00"), progress=Progress(1, 2, "\x00")
    )
    found = await get(database, run)
    assert found.failure == Failure(FailureKind.EXCEPTION, "a\u2400b", "\u2400")
    assert found.progress == Progress(1, 2, "\u2400")


async def test_cancellation_is_requested_once_and_of_live_runs_alone(database: Database) -> None:
    run = await a_stored_run(database)
    assert await database.write(lambda tx: runs.request_cancel(tx, run.id, "enough", EPOCH_US + 1))
    assert not await database.write(lambda tx: runs.request_cancel(tx, run.id, "again", EPOCH_US + 2))
    found = await get(database, run)
    assert (found.cancel_request_time_us, found.cancel_reason) == (EPOCH_US + 1, "enough")
    assert found.state is RunState.PENDING
    ended = await a_stored_run(database, state=RunState.COMPLETED)
    assert not await database.write(lambda tx: runs.request_cancel(tx, ended.id, "late", EPOCH_US))


async def test_progress_is_written_for_many_runs_but_not_for_ended_ones(database: Database) -> None:
    live = [await a_stored_run(database) for _ in range(3)]
    ended = await a_stored_run(database, state=RunState.COMPLETED, progress=Progress(5, 5))
    progress = {run.id: Progress(number, 10, f"at {number}") for number, run in enumerate([*live, ended])}
    await database.write(lambda tx: runs.put_progress(tx, progress))
    await database.write(lambda tx: runs.put_progress(tx, {}))
    for run in live:
        assert (await get(database, run)).progress == progress[run.id]
    assert (await get(database, ended)).progress == Progress(5, 5)


async def test_a_held_run_is_flagged_unreachable_once_and_cleared_once(database: Database) -> None:
    held, free = await a_stored_run(database), await a_stored_run(database)
    await store(database, a_lease(held))
    ids = [held.id, free.id]
    assert await database.write(lambda tx: runs.set_unreachable(tx, ids, EPOCH_US)) == [held.id]
    assert await database.write(lambda tx: runs.set_unreachable(tx, ids, EPOCH_US + 9)) == []
    assert (await get(database, held)).unreachable_since_us == EPOCH_US
    assert await database.write(lambda tx: runs.set_unreachable(tx, ids, None)) == [held.id]
    assert await database.write(lambda tx: runs.set_unreachable(tx, ids, None)) == []
    assert await database.write(lambda tx: runs.set_unreachable(tx, [], None)) == []
    assert (await get(database, held)).unreachable_since_us is None


async def test_runs_are_listed_newest_first_in_keyset_pages_by_every_filter(database: Database) -> None:
    one, two = an_instance(), an_instance(experiment="other")
    plan = [
        ("a", one, RunState.PENDING, {"x": "1"}),
        ("b", one, RunState.RUNNING, {"x": "1", "y": "1"}),
        ("c", two, RunState.PENDING, {"x": "1"}),
        ("d", two, RunState.FAILED, {"y": "1"}),
        ("e", one, RunState.COMPLETED, {}),
        ("f", one, RunState.FAILED, {"x": "2"}),
    ]
    made = {name: a_run(i, state=state, labels=labels) for name, i, state, labels in plan}
    await store(database, one, two, *made.values())
    names = {run.id: name for name, run in made.items()}

    async def listed(limit: int = 10, **selection: object) -> str:
        page = await database.read(lambda tx: runs.list_runs(tx, limit=limit, **selection))
        return "".join(names[run.id] for run in page.items) + ("+" if page.more else "")

    live = [RunState.PENDING, RunState.RUNNING]
    assert await listed() == "fedcba"
    assert await listed(limit=2) == "fe+"
    assert await listed(limit=2, before_id=made["e"].id) == "dc+"
    assert await listed(limit=2, before_id=made["c"].id) == "ba"
    assert await listed(instance_id=one.id) == "feba"
    assert await listed(experiment="other") == "dc"
    assert await listed(states=[RunState.FAILED]) == "fd"
    assert await listed(states=live) == "cba"
    assert await listed(states=live, limit=2) == "cb+"
    assert await listed(states=live, limit=2, before_id=made["b"].id) == "a"
    assert await listed(states=list(RunState)) == "fedcba"
    assert await listed(states=live, instance_id=one.id) == "ba"
    assert await listed(states=live, experiment="other") == "c"
    assert await listed(labels={"x": "1"}) == "cba"
    assert await listed(labels={"x": "1"}, limit=1, before_id=made["c"].id) == "b+"
    assert await listed(labels={"x": "1", "y": "1"}) == "b"
    assert await listed(labels={"x": "1"}, states=live, experiment="digits") == "ba"
    assert await listed(labels={"z": "1"}) == ""


async def test_only_full_lists_carry_configurations_and_attempts(database: Database) -> None:
    instance = an_instance()
    made = [a_run(instance, configuration_json=f'{{"text": "{"x" * 1000}"}}') for _ in range(3)]
    await store(database, instance, *made)
    attempt = an_attempt()
    await database.write(lambda tx: attempts.insert_attempt(tx, made[0].id, "lease", attempt))

    basic = await database.read(lambda tx: runs.list_runs(tx, limit=9))
    assert [run.configuration_json for run in basic.items] == ["", "", ""]
    assert [run.attempts for run in basic.items] == [(), (), ()]
    full = await database.read(lambda tx: runs.list_runs(tx, limit=9, full=True))
    assert list(full.items) == [made[2], made[1], replace(made[0], attempts=(attempt,))]
    assert not full.more


async def test_a_full_page_is_cut_by_bytes_but_never_empty(database: Database) -> None:
    instance = an_instance()
    made = [a_run(instance, configuration_json=f'"{"x" * 998}"') for _ in range(3)]
    await store(database, instance, *made)

    async def size(max_bytes: int) -> tuple[int, bool]:
        page = await database.read(lambda tx: runs.list_runs(tx, limit=3, full=True, max_bytes=max_bytes))
        return len(page.items), page.more

    assert await size(10) == (1, True)
    assert await size(2000) == (2, True)
    assert await size(2999) == (2, True)
    assert await size(3000) == (3, False)
    nothing = await database.read(lambda tx: runs.list_runs(tx, limit=3, full=True, max_bytes=1, experiment="none"))
    assert (list(nothing.items), nothing.more) == ([], False)


async def test_a_hidden_run_is_gone_from_every_answer(database: Database) -> None:
    run = await a_stored_run(database, labels={"x": "1"})
    assert await database.write(lambda tx: runs.hide_run(tx, run.id))
    assert not await database.write(lambda tx: runs.hide_run(tx, run.id))
    assert await database.read(lambda tx: runs.get_run(tx, run.id)) is None
    assert await database.write(lambda tx: runs.lock_run(tx, run.id)) is None
    assert await database.write(lambda tx: runs.lock_runs(tx, [run.id])) == {}
    assert not await database.write(lambda tx: runs.update_run(tx, run.id, log_count=1))
    assert not await database.write(lambda tx: runs.transition(tx, run.id, list(RunState), RunState.RUNNING))
    assert not await database.write(lambda tx: runs.request_cancel(tx, run.id, "", 1))
    assert await database.write(lambda tx: runs.claimable(tx, ["digits"], 9)) == []
    assert await database.read(lambda tx: instances.live_run_of(tx, run.instance_id)) is None
    for selection in ({}, {"labels": {"x": "1"}}, {"states": [RunState.PENDING]}, {"full": True}):
        assert not (await database.read(lambda tx, s=selection: runs.list_runs(tx, limit=9, **s))).items
