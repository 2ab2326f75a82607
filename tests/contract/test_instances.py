"""Instances: keyset pages, labels, statistics, hiding."""

from dataclasses import replace

from athanor_orchestrator.domain.records import LeaseEnd, RunState
from athanor_orchestrator.storage import instances, leases, runs
from athanor_orchestrator.storage.database import Database

from tests.support.rows import EPOCH_US, a_lease, a_run, an_instance, store


async def test_an_instance_comes_back_as_it_was_stored(database: Database) -> None:
    instance = an_instance(
        name="Größe 😀",
        description="two\nlines",
        configuration_json='{ "b":1.10,  "a":123456789012345678901234567890 }',
        labels={"paper": "figure-3", "ü": "ä"},
    )
    await store(database, instance)
    assert await database.read(lambda tx: instances.get_instance(tx, instance.id)) == instance
    assert await database.read(lambda tx: instances.get_instance(tx, "unknown")) is None
    assert await database.write(lambda tx: instances.lock_instance(tx, instance.id)) == instance
    assert await database.write(lambda tx: instances.lock_instance(tx, "unknown")) is None


async def test_pages_are_newest_first_and_go_on_from_the_last_item(database: Database) -> None:
    stored = [an_instance(name=str(number)) for number in range(7)]
    await store(database, *stored)
    seen: list[str] = []
    before = None
    pages = 0
    while True:
        page = await database.read(lambda tx, at=before: instances.list_instances(tx, before_id=at, limit=3))
        seen += [instance.name for instance in page.items]
        pages += 1
        if not page.more:
            break
        before = page.items[-1].id
    assert seen == ["6", "5", "4", "3", "2", "1", "0"]
    assert pages == 3


async def test_a_page_that_is_exactly_full_is_the_last(database: Database) -> None:
    await store(database, an_instance(), an_instance())
    page = await database.read(lambda tx: instances.list_instances(tx, limit=2))
    assert (len(page.items), page.more) == (2, False)


async def test_instances_are_selected_by_experiment_and_by_all_labels(database: Database) -> None:
    a = an_instance(name="a", labels={"x": "1"})
    b = an_instance(name="b", labels={"x": "1", "y": "2"})
    c = an_instance(name="c", labels={"x": "2", "y": "2"}, experiment="other")
    await store(database, a, b, c)

    async def names(**selection: object) -> list[str]:
        page = await database.read(lambda tx: instances.list_instances(tx, limit=10, **selection))
        return [instance.name for instance in page.items]

    assert await names() == ["c", "b", "a"]
    assert await names(experiment="digits") == ["b", "a"]
    assert await names(labels={"x": "1"}) == ["b", "a"]
    assert await names(labels={"x": "1", "y": "2"}) == ["b"]
    assert await names(labels={"y": "2"}, experiment="other") == ["c"]
    assert await names(labels={"y": "2"}, before_id=c.id) == ["b"]
    assert await names(labels={"x": "3"}) == []
    assert await names(experiment="none") == []


async def test_updating_writes_what_a_person_may_change_and_no_statistics(database: Database) -> None:
    instance = an_instance(labels={"old": "1", "both": "1"})
    run = a_run(instance)
    await store(database, instance, run)
    changed = replace(
        instance,
        name="new",
        description="d",
        configuration_json="{}",
        labels={"both": "2", "new": "1"},
        etag="etag-2",
        update_time_us=EPOCH_US + 5,
        run_count=99,
    )
    assert await database.write(lambda tx: instances.update_instance(tx, changed))
    assert await database.read(lambda tx: instances.get_instance(tx, instance.id)) == replace(
        changed, run_count=1, last_run_state=RunState.PENDING, last_run_time_us=run.create_time_us
    )
    old = await database.read(lambda tx: instances.list_instances(tx, labels={"old": "1"}, limit=9))
    new = await database.read(lambda tx: instances.list_instances(tx, labels={"both": "2"}, limit=9))
    assert (len(old.items), len(new.items)) == (0, 1)
    assert not await database.write(lambda tx: instances.update_instance(tx, an_instance()))


async def test_statistics_follow_the_newest_run(database: Database) -> None:
    instance = an_instance()
    first, second = a_run(instance), a_run(instance, create_time_us=EPOCH_US + 9)
    await store(database, instance, first, second)

    async def statistics() -> tuple[int, RunState | None, int | None]:
        found = await database.read(lambda tx: instances.get_instance(tx, instance.id))
        assert found is not None
        return found.run_count, found.last_run_state, found.last_run_time_us

    assert await statistics() == (2, RunState.PENDING, EPOCH_US + 9)
    live = await database.read(lambda tx: instances.live_run_of(tx, instance.id))
    assert live is not None
    assert live[1] is RunState.PENDING

    for run, state in ((first, RunState.FAILED), (second, RunState.COMPLETED)):
        assert await database.write(lambda tx, r=run, s=state: runs.transition(tx, r.id, [RunState.PENDING], s))
    assert await statistics() == (2, RunState.COMPLETED, EPOCH_US + 9)
    assert await database.read(lambda tx: instances.live_run_of(tx, instance.id)) is None

    assert await database.write(lambda tx: runs.hide_run(tx, second.id))
    assert await statistics() == (1, RunState.FAILED, EPOCH_US)
    assert await database.write(lambda tx: runs.hide_run(tx, first.id))
    assert await statistics() == (0, None, None)


async def test_a_hidden_instance_is_gone_from_every_answer_with_its_runs(database: Database) -> None:
    instance = an_instance(labels={"x": "1"})
    run = a_run(instance, labels={"x": "1"})
    lease = a_lease(run)
    other = an_instance()
    await store(database, instance, other, run, lease)
    await database.write(lambda tx: leases.end_lease(tx, lease.id, LeaseEnd.LOST))
    await database.write(lambda tx: runs.transition(tx, run.id, [RunState.PENDING], RunState.CANCELLED))

    assert await database.write(lambda tx: instances.hide_instance(tx, instance.id)) == [run.id]
    assert await database.write(lambda tx: instances.hide_instance(tx, instance.id)) is None
    assert await database.read(lambda tx: instances.get_instance(tx, instance.id)) is None
    assert await database.write(lambda tx: instances.lock_instance(tx, instance.id)) is None
    assert not await database.write(lambda tx: instances.update_instance(tx, instance))
    assert await database.read(lambda tx: runs.get_run(tx, run.id)) is None
    page = await database.read(lambda tx: instances.list_instances(tx, limit=9))
    assert [found.id for found in page.items] == [other.id]
    for selection in ({}, {"labels": {"x": "1"}}, {"instance_id": instance.id}, {"states": [RunState.CANCELLED]}):
        assert not (await database.read(lambda tx, s=selection: runs.list_runs(tx, limit=9, **s))).items
    tombstones = await database.read(lambda tx: leases.leases_of_run(tx, run.id))
    assert [found.end for found in tombstones] == [LeaseEnd.DELETED]


async def test_a_hidden_instance_without_runs_leaves_nothing_behind(database: Database) -> None:
    instance = an_instance(labels={"x": "1"})
    await store(database, instance)
    assert await database.write(lambda tx: instances.hide_instance(tx, instance.id)) == []
    await store(database, instance)
