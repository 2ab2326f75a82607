"""Runners, their sessions, the definitions they report and what they could not load."""

from dataclasses import replace
from datetime import timedelta

from athanor_orchestrator.domain.ids import new_id
from athanor_orchestrator.domain.records import (
    CodeVersion,
    DiscoveryError,
    Experiment,
    LeaseEnd,
    Policy,
    Runner,
)
from athanor_orchestrator.storage import experiments, leases, runners
from athanor_orchestrator.storage.database import Database

from tests.support.rows import CODE, a_lease, a_runner, a_stored_run, store

OLD, NEW = replace(CODE, digest="old"), replace(CODE, digest="new")


def an_experiment(name: str = "digits", **fields) -> Experiment:
    return replace(Experiment(name=name, title="Digits", code=CODE), **fields)


async def register(database: Database, runner: Runner) -> bool:
    return await database.write(lambda tx: runners.register_session(tx, runner))


async def report(database: Database, runner: Runner, *reported: Experiment) -> list[bool]:
    return await database.write(
        lambda tx: [experiments.upsert_experiment(tx, experiment, runner.id) for experiment in reported]
    )


async def get_experiment(database: Database, name: str = "digits") -> Experiment:
    found = await database.read(lambda tx: experiments.get_experiment(tx, name))
    assert found is not None
    return found


async def test_only_a_newer_session_registers(database: Database) -> None:
    runner = a_runner(session_number=5)
    assert await register(database, runner)
    for number in (4, 5):
        assert not await register(database, replace(runner, session_number=number, session_id="late", slots=99))
    found = await database.read(lambda tx: runners.get_runner(tx, runner.id))
    assert found is not None
    assert replace(found, last_seen_us=0) == replace(runner, last_seen_us=0)
    assert await register(database, replace(runner, session_number=6, session_id="new"))
    found = await database.write(lambda tx: runners.lock_runner(tx, runner.id))
    assert found is not None
    assert (found.session_number, found.session_id, found.connected) == (6, "new", True)
    assert await database.read(lambda tx: runners.get_runner(tx, "unknown")) is None
    assert await database.write(lambda tx: runners.lock_runner(tx, "unknown")) is None


async def test_only_the_newest_session_speaks_for_a_runner(database: Database) -> None:
    runner = a_runner(session_number=5)
    await register(database, runner)
    assert not await database.write(lambda tx: runners.touch_runner(tx, runner.id, 4, 1, True))
    assert not await database.write(lambda tx: runners.set_disconnected(tx, runner.id, 4))
    assert await database.write(lambda tx: runners.touch_runner(tx, runner.id, 5, 77, True))
    found = await database.read(lambda tx: runners.get_runner(tx, runner.id))
    assert found is not None
    assert (found.last_seen_us, found.draining, found.connected) == (77, True, True)
    assert await database.write(lambda tx: runners.set_disconnected(tx, runner.id, 5))
    assert not await database.write(lambda tx: runners.set_disconnected(tx, runner.id, 5))
    assert await database.write(lambda tx: runners.touch_runner(tx, runner.id, 5, 78, False))
    found = await database.read(lambda tx: runners.get_runner(tx, runner.id))
    assert found is not None
    assert (found.draining, found.connected) == (False, True)


async def test_what_an_operator_wants_outlives_sessions_and_what_the_runner_says(database: Database) -> None:
    runner = a_runner()
    assert not await database.write(lambda tx: runners.request_drain(tx, runner.id, 5))
    await register(database, runner)
    assert await database.write(lambda tx: runners.request_drain(tx, runner.id, 5))
    for command in (
        lambda tx: runners.touch_runner(tx, runner.id, 1, 77, False),
        lambda tx: runners.set_disconnected(tx, runner.id, 1),
        lambda tx: runners.register_session(tx, replace(runner, session_number=2)),
        lambda tx: runners.upsert_runner(tx, runner),
    ):
        await database.write(command)
        found = await database.read(lambda tx: runners.get_runner(tx, runner.id))
        assert found is not None
        assert (found.drain_request_time_us, found.draining) == (5, False)
    assert await database.write(lambda tx: runners.request_drain(tx, runner.id, None))
    found = await database.write(lambda tx: runners.lock_runner(tx, runner.id))
    assert found is not None
    assert found.drain_request_time_us is None


async def test_silent_runners_are_disconnected_once(database: Database) -> None:
    silent, speaking, gone = (a_runner(last_seen_us=seen) for seen in (100, 200, 50))
    for runner in (silent, speaking, replace(gone, connected=False)):
        await database.write(lambda tx, r=runner: runners.upsert_runner(tx, r))
    assert await database.write(lambda tx: runners.disconnect_silent(tx, 200)) == [silent.id]
    assert await database.write(lambda tx: runners.disconnect_silent(tx, 200)) == []


async def test_runners_are_listed_by_id_with_what_they_hold_and_have(database: Database) -> None:
    made = sorted((a_runner(last_seen_us=seen) for seen in (300, 200, 100)), key=lambda runner: runner.id)
    for runner in made:
        await database.write(lambda tx, r=runner: runners.upsert_runner(tx, r))
    await report(database, made[0], an_experiment("hello"), an_experiment("digits"))
    run, other = await a_stored_run(database), await a_stored_run(database)
    lease, ended = a_lease(run, runner_id=made[0].id), a_lease(other, runner_id=made[0].id)
    await store(database, lease, ended)
    await database.write(lambda tx: leases.end_lease(tx, ended.id, LeaseEnd.LOST))

    page = await database.read(lambda tx: runners.list_runners(tx, "", 2, 0))
    assert list(page.items) == [replace(made[0], run_ids=(run.id,), experiments=("digits", "hello")), made[1]]
    assert page.more
    page = await database.read(lambda tx: runners.list_runners(tx, page.items[-1].id, 2, 0))
    assert (list(page.items), page.more) == ([made[2]], False)
    page = await database.read(lambda tx: runners.list_runners(tx, "", 9, 200))
    assert {runner.last_seen_us for runner in page.items} == {200, 300}


async def test_a_definition_comes_back_as_it_was_reported(database: Database) -> None:
    runner = a_runner()
    await register(database, runner)
    reported = an_experiment(
        description="Größe",
        configuration_schema_json='{"a": "\\u0000"}',
        default_configuration_json='{"x": 1.0}',
        default_policy=Policy(timeout=timedelta(hours=1), max_attempts=3),
    )
    before = await database.read(lambda tx: tx.now_us)
    assert await report(database, runner, reported) == [True]
    found = await get_experiment(database)
    assert before <= found.create_time_us == found.update_time_us
    assert replace(found, create_time_us=0, update_time_us=0) == replace(reported, available_runner_count=1)
    assert await database.read(lambda tx: experiments.get_experiment(tx, "unknown")) is None


async def test_a_definition_that_changes_keeps_its_create_time(database: Database) -> None:
    runner = a_runner()
    await register(database, runner)
    await report(database, runner, an_experiment(code=OLD))
    first = await get_experiment(database)
    assert await report(database, runner, an_experiment(code=OLD)) == [False]
    assert await get_experiment(database) == first
    assert await report(database, runner, an_experiment(code=NEW)) == [True]
    second = await get_experiment(database)
    assert second.code == NEW
    assert second.create_time_us == first.create_time_us
    assert second.update_time_us > first.update_time_us


async def test_an_older_definition_that_merely_comes_back_is_no_news(database: Database) -> None:
    """A has old code; B reports new code; A reconnects with what it always had."""
    a, b = a_runner(), a_runner()
    await register(database, a)
    await register(database, b)
    assert await report(database, a, an_experiment(code=OLD)) == [True]
    assert await report(database, b, an_experiment(code=NEW)) == [True]
    await register(database, replace(a, session_number=2))
    assert await report(database, a, an_experiment(code=OLD)) == [False]
    found = await get_experiment(database)
    assert (found.code, found.other_versions, found.available_runner_count) == (NEW, (OLD,), 2)
    assert await report(database, a, an_experiment(code=NEW)) == [False]
    assert (await get_experiment(database)).other_versions == ()


async def test_what_a_disconnected_runner_has_does_not_count(database: Database) -> None:
    a, b = a_runner(), a_runner()
    for runner, code in ((a, OLD), (b, NEW)):
        await register(database, runner)
        await report(database, runner, an_experiment(code=code))
    await database.write(lambda tx: runners.set_disconnected(tx, a.id, 1))
    found = await get_experiment(database)
    assert (found.other_versions, found.available_runner_count) == ((), 1)


async def test_what_an_earlier_session_reported_does_not_count(database: Database) -> None:
    runner = a_runner()
    await register(database, runner)
    await report(database, runner, an_experiment("kept"), an_experiment("dropped"))
    await database.write(lambda tx: experiments.put_discovery_error(tx, runner.id, DiscoveryError("m", "e")))
    await register(database, replace(runner, session_number=2))
    assert (await get_experiment(database, "kept")).available_runner_count == 0
    await report(database, runner, an_experiment("kept"))
    assert (await get_experiment(database, "kept")).available_runner_count == 1
    assert (await get_experiment(database, "dropped")).available_runner_count == 0
    assert await database.read(lambda tx: experiments.experiments_of_runner(tx, runner.id)) == {"kept": CODE}
    assert await database.read(experiments.list_discovery_errors) == []
    found = await database.read(lambda tx: runners.get_runner(tx, runner.id))
    assert found is not None
    assert found.experiments == ("kept",)


async def test_a_removed_definition_stays_known(database: Database) -> None:
    runner = a_runner()
    await register(database, runner)
    await report(database, runner, an_experiment())
    assert await database.write(lambda tx: experiments.remove_definition(tx, runner.id, "digits"))
    assert not await database.write(lambda tx: experiments.remove_definition(tx, runner.id, "digits"))
    assert (await get_experiment(database)).available_runner_count == 0


async def test_definitions_are_listed_by_name_byte_by_byte(database: Database) -> None:
    runner = a_runner()
    await register(database, runner)
    names = ["B", "a", "a_b", "ab", "b", "é"]
    await report(database, runner, *(an_experiment(name) for name in reversed(names)))
    first = await database.read(lambda tx: experiments.list_experiments(tx, "", 4))
    assert ([found.name for found in first.items], first.more) == (names[:4], True)
    last = await database.read(lambda tx: experiments.list_experiments(tx, names[3], 4))
    assert ([found.name for found in last.items], last.more) == (names[4:], False)
    assert {found.available_runner_count for found in [*first.items, *last.items]} == {1}


async def test_discovery_errors_are_those_of_connected_runners(database: Database) -> None:
    a, b = sorted((a_runner(), a_runner()), key=lambda runner: runner.id)
    for runner in (a, b):
        await register(database, runner)
        for module in ("z", "m"):
            error = DiscoveryError(module, f"Traceback\x00 {module}")
            await database.write(lambda tx, r=runner, e=error: experiments.put_discovery_error(tx, r.id, e))
    again = DiscoveryError("m", "another")
    await database.write(lambda tx: experiments.put_discovery_error(tx, a.id, again))
    assert await database.read(experiments.list_discovery_errors) == [
        DiscoveryError("m", "another", a.id),
        DiscoveryError("m", "Traceback\u2400 m", b.id),
        DiscoveryError("z", "Traceback\u2400 z", a.id),
        DiscoveryError("z", "Traceback\u2400 z", b.id),
    ]
    await database.write(lambda tx: experiments.clear_discovery(tx, a.id, "m"))
    await database.write(lambda tx: runners.set_disconnected(tx, b.id, 1))
    assert [error.module for error in await database.read(experiments.list_discovery_errors)] == ["z"]
    await database.write(lambda tx: experiments.clear_discovery(tx, a.id))
    assert await database.read(experiments.list_discovery_errors) == []


async def test_a_definition_of_a_runner_that_is_not_known_counts_for_nobody(database: Database) -> None:
    assert await database.write(lambda tx: experiments.upsert_experiment(tx, an_experiment(), new_id()))
    found = await get_experiment(database)
    assert (found.available_runner_count, found.code) == (0, CODE)
    assert isinstance(found.code, CodeVersion)
