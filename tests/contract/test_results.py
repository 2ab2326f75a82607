"""Results as rows: exact text, keys, superseding, and answers to plain SQL."""

import random
from dataclasses import replace

import pytest
from athanor_orchestrator.domain.records import ResultRow
from athanor_orchestrator.storage import results
from athanor_orchestrator.storage.database import Database
from athanor_orchestrator.storage.pages import Page
from sqlalchemy import text

from tests.support.rows import a_result, numbers

RUN, OTHER = "01890000-0000-7000-8000-000000000001", "01890000-0000-7000-8000-000000000002"


async def append(database: Database, *rows: ResultRow, run_id: str = RUN) -> None:
    await database.write(lambda tx: results.append_results(tx, [(run_id, rows)]))


async def listed(database: Database, limit: int = 100, max_bytes: int = 1 << 20, **how) -> Page[ResultRow]:
    return await database.read(lambda tx: results.list_results(tx, RUN, limit=limit, max_bytes=max_bytes, **how))


async def test_values_keep_the_very_text_they_were_recorded_with(database: Database) -> None:
    stored = [
        a_result(1, value_json='{ "b" : 1.10, "a":1, "a":2 }'),
        a_result(2, value_json="123456789012345678901234567890.000"),
        a_result(3, value_json="null", key="Größe 😀", attempt=2),
        a_result(4, value_json='"\\u0000 and \\ud83d\\ude00"'),
        a_result(5, value_json="-0.0"),
    ]
    await append(database, *stored)
    assert list((await listed(database)).items) == stored


async def test_what_a_database_refuses_becomes_null_and_its_neighbours_stay(database: Database) -> None:
    await append(
        database,
        a_result(1),
        a_result(2, key="a\x00b"),
        a_result(3, value_json='"\x00"'),
        a_result(4),
    )
    found = (await listed(database)).items
    assert [(row.key, row.value_json) for row in found] == [
        ("score", '{"value": 1}'),
        (None, '{"value": 1}'),
        ("score", None),
        ("score", '{"value": 1}'),
    ]


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_what_postgresql_finds_to_be_no_json_becomes_null(database: Database) -> None:
    await append(database, a_result(1), a_result(2, value_json="NaN"), a_result(3, value_json="{"), a_result(4))
    assert [row.value_json is None for row in (await listed(database)).items] == [False, True, True, False]


async def test_a_key_or_a_value_beyond_what_can_be_indexed_or_parsed_becomes_null(database: Database) -> None:
    # PostgreSQL takes no index row of more than 2.7 kB and reads no JSON of any depth. Neither may stop the run's log.
    key = "".join(random.Random(7).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=20_000))
    await append(database, a_result(1, key=key), a_result(2, value_json="[" * 100_000 + "]" * 100_000), a_result(3))
    found = (await listed(database, max_bytes=1 << 30)).items
    assert numbers(found) == [1, 2, 3]
    assert [row.key for row in found] == [None, "score", "score"]


async def test_results_answer_the_same_sql_on_both_databases(database: Database) -> None:
    await append(database, *(a_result(n, value_json=f'{{"fit": {{"accuracy": 0.{n}}}}}') for n in (5, 7, 9)))
    query = text("SELECT avg(CAST(value -> 'fit' ->> 'accuracy' AS numeric)) FROM run_results WHERE run_id = :run_id")
    average = await database.read(lambda tx: tx.connection.execute(query, {"run_id": RUN}).scalar_one())
    assert float(average) == pytest.approx(0.7)


async def test_results_are_paged_by_position_key_count_and_bytes(database: Database) -> None:
    await append(database, *(a_result(n, key="ab"[n % 2], value_json='"12345678"') for n in range(1, 9)))
    assert numbers((await listed(database, key="a")).items) == [2, 4, 6, 8]
    assert numbers((await listed(database, key="a", after_sequence=4)).items) == [6, 8]
    assert numbers((await listed(database, key="none")).items) == []
    page = await listed(database, limit=3)
    assert (numbers(page.items), page.more) == ([1, 2, 3], True)
    page = await listed(database, limit=3, after_sequence=5)
    assert (numbers(page.items), page.more) == ([6, 7, 8], False)
    page = await listed(database, max_bytes=25)
    assert (numbers(page.items), page.more) == ([1, 2], True)
    page = await listed(database, max_bytes=1, after_sequence=7)
    assert (numbers(page.items), page.more) == ([8], False)


async def test_later_attempts_supersede_what_earlier_ones_recorded_after_the_restored_position(
    database: Database,
) -> None:
    rows = [a_result(n, attempt=1) for n in (2, 3, 4)] + [a_result(n, attempt=2) for n in (6, 7)]
    await append(database, *rows)
    await append(database, a_result(3), run_id=OTHER)
    assert await database.write(lambda tx: results.supersede(tx, RUN, 2, 2)) == 2
    assert await database.write(lambda tx: results.supersede(tx, RUN, 2, 2)) == 0
    assert numbers((await listed(database)).items) == [2, 6, 7]
    assert numbers((await listed(database, key="score")).items) == [2, 6, 7]
    everything = (await listed(database, include_superseded=True)).items
    assert list(everything) == [replace(row, superseded=row.sequence in (3, 4)) for row in rows]
    assert await database.write(lambda tx: results.supersede(tx, RUN, 0, 3)) == 3
    assert numbers((await listed(database)).items) == []


async def test_results_are_removed_in_steps(database: Database) -> None:
    await append(database, *(a_result(n) for n in (2, 5, 9)))
    await append(database, a_result(2), run_id=OTHER)
    assert await database.write(lambda tx: results.delete_results(tx, RUN, 2)) == 2
    assert numbers((await listed(database)).items) == [9]
    assert await database.write(lambda tx: results.delete_results(tx, RUN, 2)) == 1
    assert await database.write(lambda tx: results.delete_results(tx, RUN, 2)) == 0
