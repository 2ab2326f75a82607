"""The schema is brought up to date at start, once, whoever starts at the same time."""

import asyncio
import threading
from collections.abc import Callable

import pytest
import sqlalchemy
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from athanor_orchestrator.domain.clock import SystemClock
from athanor_orchestrator.domain.errors import StorageIncompatible, StorageInUse
from athanor_orchestrator.storage import migration, schema
from athanor_orchestrator.storage.database import Database, dialect_for
from athanor_orchestrator.storage.dialect import Dialect

from tests.support.databases import ignore
from tests.support.rows import a_stored_run, get


def with_dialect(url: str, work: Callable[[Dialect], object]) -> object:
    dialect = dialect_for(url, SystemClock())
    try:
        return work(dialect)
    finally:
        dialect.release()


def revision(dialect: Dialect) -> str | None:
    with dialect.writer.connect() as connection, connection.begin():
        return migration.current_revision(connection)


async def open_and_close(url: str) -> None:
    database = await asyncio.to_thread(Database.open, url, clock=SystemClock(), on_commit=ignore)
    await database.close()


async def test_an_empty_database_gets_the_schema_and_a_current_one_is_left_alone(empty_database_url: str) -> None:
    assert with_dialect(empty_database_url, revision) is None
    await open_and_close(empty_database_url)
    assert with_dialect(empty_database_url, revision) == schema.REVISION
    database = await asyncio.to_thread(Database.open, empty_database_url, clock=SystemClock(), on_commit=ignore)
    database.start(asyncio.get_running_loop())
    run = await a_stored_run(database)
    await database.close()

    again = await asyncio.to_thread(Database.open, empty_database_url, clock=SystemClock(), on_commit=ignore)
    again.start(asyncio.get_running_loop())
    assert await get(again, run) == run
    await again.close()


def test_the_migrations_make_the_schema_that_the_code_uses(database_url: str) -> None:
    def differences(dialect: Dialect) -> object:
        with dialect.writer.connect() as connection:
            context = MigrationContext.configure(
                connection, opts={"compare_type": True, "compare_server_default": True}
            )
            return compare_metadata(context, schema.metadata)

    assert with_dialect(database_url, differences) == []


def test_a_database_of_the_first_version_is_brought_up_to_date(empty_database_url: str) -> None:
    def begin_with_the_first(dialect: Dialect) -> None:
        config = Config()
        config.set_main_option("script_location", str(migration.SCRIPTS))
        with dialect.writer.connect() as connection, connection.begin():
            config.attributes["connection"] = connection
            command.upgrade(config, "0001")
        assert revision(dialect) == "0001"
        migration.upgrade(dialect)
        assert revision(dialect) == schema.REVISION

    with_dialect(empty_database_url, begin_with_the_first)
    test_the_migrations_make_the_schema_that_the_code_uses(empty_database_url)


def test_the_code_names_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(migration.SCRIPTS))
    assert ScriptDirectory.from_config(config).get_heads() == [schema.REVISION]


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_two_that_start_at_once_migrate_once(empty_database_url: str) -> None:
    """Both find an empty database before either has begun; the lock lets one through, the other finds it done."""
    barrier = threading.Barrier(2)
    failures: list[BaseException] = []

    def start() -> None:
        dialect = dialect_for(empty_database_url, SystemClock())
        lock_schema = dialect.lock_schema

        def meet_and_lock(connection: sqlalchemy.Connection) -> None:
            barrier.wait(20)
            lock_schema(connection)

        dialect.lock_schema = meet_and_lock
        try:
            migration.upgrade(dialect)
        except BaseException as error:
            failures.append(error)
        finally:
            dialect.release()

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert with_dialect(empty_database_url, revision) == schema.REVISION


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_of_two_that_start_at_once_on_one_file_one_is_refused(empty_database_url: str) -> None:
    barrier = threading.Barrier(2)
    opened: list[Database] = []
    failures: list[BaseException] = []

    def start() -> None:
        barrier.wait(20)
        try:
            opened.append(Database.open(empty_database_url, clock=SystemClock(), on_commit=ignore))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [type(error) for error in failures] == [StorageInUse]
    asyncio.run(opened[0].close())


def test_a_failed_migration_leaves_nothing(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "REVISION", "of the future")
    real = migration._migrate

    def fail_at_the_end(connection: sqlalchemy.Connection) -> None:
        real(connection)
        raise OSError("power cut")

    monkeypatch.setattr(migration, "_migrate", fail_at_the_end)
    with pytest.raises(OSError, match="power cut"):
        with_dialect(empty_database_url, migration.upgrade)
    assert with_dialect(empty_database_url, lambda d: sqlalchemy.inspect(d.writer).get_table_names()) == []


async def test_a_database_of_a_newer_version_is_refused_clearly(database_url: str) -> None:
    def move_on(dialect: Dialect) -> None:
        with dialect.writer.begin() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")

    with_dialect(database_url, move_on)
    with pytest.raises(StorageIncompatible, match="newer version of Athanor"):
        await open_and_close(database_url)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://host/database", "mysql"),
        ("not an address", "not a URL"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
    ],
)
async def test_an_address_of_no_known_kind_is_refused_clearly(url: str, says: str) -> None:
    with pytest.raises(StorageIncompatible, match=says):
        await open_and_close(url)
