"""Runs' logs: appended whole or not at all, read by position, filter, count and bytes."""

import zlib

import pytest
from athanor_orchestrator.domain.records import EventFilter, EventKind, EventRow, StoredEvent
from athanor_orchestrator.storage import events
from athanor_orchestrator.storage.database import Database
from athanor_orchestrator.storage.pages import Page

from tests.support.rows import EPOCH_US, a_log_event, a_stored_run, log_events, numbers

RUN, OTHER = "01890000-0000-7000-8000-000000000001", "01890000-0000-7000-8000-000000000002"
PLENTY = 1 << 30


async def append(database: Database, *rows: EventRow, run_id: str = RUN) -> None:
    await database.write(lambda tx: events.append_events(tx, [(run_id, rows)]))


async def read(database: Database, run_id: str = RUN, limit: int = 100, max_bytes: int = PLENTY, **how) -> Page:
    return await database.read(lambda tx: events.read_events(tx, run_id, limit=limit, max_bytes=max_bytes, **how))


async def test_events_come_back_byte_for_byte(database: Database) -> None:
    stored = [
        EventRow(1, 0, EventKind.STATE_CHANGE, None, None, EPOCH_US, b"\x00\xff binary"),
        EventRow(2, 1, EventKind.ATTEMPT_STARTED, None, None, -1, b""),
        EventRow(3, 1, EventKind.LOG, 40, None, 2**62, bytes(range(256)) * 4096),
        EventRow(4, 1, EventKind.RESULT, None, "Größe 😀", EPOCH_US, b"r"),
        EventRow(5, 2**31 - 1, EventKind.CHECKPOINT, None, None, EPOCH_US, b"c"),
        EventRow(6, 1, EventKind.ATTEMPT_ENDED, None, None, EPOCH_US, b"e"),
    ]
    await append(database, *stored)
    assert list((await read(database)).items) == stored
    assert await database.read(lambda tx: events.payloads(tx, RUN, 2, 4)) == [row.payload for row in stored[1:4]]
    assert await database.read(lambda tx: events.payloads(tx, OTHER, 1, 9)) == []


async def test_rows_are_read_as_they_are_with_the_checksum_of_their_bytes(database: Database) -> None:
    stored = [
        EventRow(1, 0, EventKind.STATE_CHANGE, None, None, EPOCH_US, b"\x00\xff binary"),
        EventRow(2, 1, EventKind.LOG, 40, None, 2**62, bytes(range(256)) * 4096),
        EventRow(3, 1, EventKind.RESULT, None, "Größe 😀", EPOCH_US, b"r"),
    ]
    await append(database, *stored, *log_events(4, 9))
    await append(database, *log_events(1, 20), run_id=OTHER)

    async def read_stored(**how) -> Page:
        how = {"after_sequence": 0, "upto": 100, "limit": 100, "max_bytes": PLENTY} | how
        return await database.read(lambda tx: events.read_stored(tx, RUN, **how))

    page = await read_stored()
    assert [
        StoredEvent(row.sequence, row.attempt, row.kind.value, row.level, row.key, row.time_us, row.payload,
                    zlib.crc32(row.payload))
        for row in stored
    ] == list(page.items[:3])  # fmt: skip
    assert all(row.is_bytes for row in page.items)
    assert (numbers(page.items), page.more) == ([1, 2, 3, 4, 5, 6, 7, 8, 9], False)
    page = await read_stored(after_sequence=3, upto=7)
    assert (numbers(page.items), page.more) == ([4, 5, 6, 7], False)
    page = await read_stored(after_sequence=3, limit=2)
    assert (numbers(page.items), page.more) == ([4, 5], True)
    page = await read_stored(after_sequence=1, max_bytes=10)
    assert (numbers(page.items), page.more) == ([2], True), "one comes whatever its size"
    assert await database.read(lambda tx: events.extent(tx, RUN)) == (1, 9)


async def test_many_runs_are_appended_at_once(database: Database) -> None:
    batches = [(RUN, log_events(1, 3)), (OTHER, log_events(1, 2)), (RUN, log_events(4, 5)), (OTHER, [])]
    await database.write(lambda tx: events.append_events(tx, batches))
    assert numbers((await read(database)).items) == [1, 2, 3, 4, 5]
    assert numbers((await read(database, OTHER)).items) == [1, 2]
    await database.write(lambda tx: events.append_events(tx, []))


@pytest.mark.parametrize("count", [9, 10, 99, 100, 101, 257])
async def test_hundreds_of_one_run_come_back_as_they_were(database: Database, count: int) -> None:
    kinds = [EventKind.LOG, EventKind.RESULT, EventKind.CHECKPOINT]
    stored = [
        EventRow(
            number,
            3,
            kind := kinds[number % 3],
            number % 50 if kind is EventKind.LOG else None,
            f"key {number}" if kind is EventKind.RESULT else None,
            EPOCH_US - number,
            b"\x00%d" % number,
        )
        for number in range(7, 7 + count)
    ]
    await database.write(lambda tx: events.append_events(tx, [(RUN, stored), (OTHER, log_events(1, count))]))
    assert list((await read(database, limit=1000)).items) == stored
    assert list((await read(database, OTHER, limit=1000)).items) == log_events(1, count)
    found = await database.read(
        lambda tx: events.read_stored(tx, RUN, after_sequence=0, upto=1000, limit=1000, max_bytes=PLENTY)
    )
    assert [row.checksum for row in found.items] == [zlib.crc32(row.payload) for row in stored]


async def test_a_number_that_is_there_fails_the_whole_command(database: Database) -> None:
    await append(database, *log_events(1, 3))
    with pytest.raises(Exception, match=r"(?i)unique"):
        await database.write(lambda tx: events.append_events(tx, [(OTHER, log_events(1, 9)), (RUN, log_events(3, 5))]))
    assert numbers((await read(database)).items) == [1, 2, 3]
    assert numbers((await read(database, OTHER)).items) == []
    await append(database, *log_events(4, 4))
    assert numbers((await read(database)).items) == [1, 2, 3, 4]


@pytest.mark.parametrize("key", ["a\x00b", "\x00", "\ud800"])
async def test_a_text_that_a_database_refuses_becomes_null_and_the_payload_stays_whole(
    database: Database, key: str
) -> None:
    refused = EventRow(2, 1, EventKind.RESULT, None, key, EPOCH_US, b"payload with \x00 in it")
    await append(database, a_log_event(1), refused, a_log_event(3))
    found = (await read(database)).items
    assert numbers(found) == [1, 2, 3]
    assert (found[1].key, found[1].payload) == (None, b"payload with \x00 in it")


async def test_a_page_begins_after_a_position_and_ends_at_another(database: Database) -> None:
    await append(database, *log_events(1, 10))
    assert numbers((await read(database, after_sequence=7)).items) == [8, 9, 10]
    assert numbers((await read(database, after_sequence=3, upto=5)).items) == [4, 5]
    assert numbers((await read(database, after_sequence=10)).items) == []
    first = await read(database, limit=4)
    assert (numbers(first.items), first.more) == ([1, 2, 3, 4], True)
    last = await read(database, limit=4, after_sequence=6)
    assert (numbers(last.items), last.more) == ([7, 8, 9, 10], False)


async def test_the_newest_come_first_when_asked(database: Database) -> None:
    await append(database, *log_events(1, 10))
    tail = await read(database, descending=True, limit=3)
    assert (numbers(tail.items), tail.more) == ([10, 9, 8], True)
    before = await read(database, descending=True, limit=3, upto=7, after_sequence=4)
    assert (numbers(before.items), before.more) == ([7, 6, 5], False)


@pytest.mark.parametrize("descending", [False, True])
async def test_a_page_is_cut_by_bytes_but_never_empty(database: Database, descending: bool) -> None:
    await append(database, *log_events(1, 10, payload=b"x" * 100))

    async def page(max_bytes: int, limit: int = 100) -> tuple[int, bool]:
        found = await read(database, max_bytes=max_bytes, limit=limit, descending=descending)
        assert all(row.payload == b"x" * 100 for row in found.items)
        order = list(range(10, 0, -1)) if descending else list(range(1, 11))
        assert numbers(found.items) == order[: len(found.items)]
        return len(found.items), found.more

    assert await page(1) == (1, True)
    assert await page(100) == (1, True)
    assert await page(399) == (3, True)
    assert await page(400) == (4, True)
    assert await page(999) == (9, True)
    assert await page(1000) == (10, False)
    assert await page(1000, limit=10) == (10, False)
    assert await page(1000, limit=9) == (9, True)
    assert await page(1, limit=1) == (1, True)


async def test_one_large_event_comes_whatever_its_size(database: Database) -> None:
    await append(database, a_log_event(1, payload=b"x" * 1_000_000), a_log_event(2))
    found = await read(database, max_bytes=10)
    assert (numbers(found.items), found.more) == ([1], True)
    last = await read(database, max_bytes=3, after_sequence=1)
    assert (numbers(last.items), last.more) == ([2], False)


MIXED = [
    EventRow(1, 0, EventKind.STATE_CHANGE, None, None, 1, b"1"),
    EventRow(2, 1, EventKind.ATTEMPT_STARTED, None, None, 1, b"2"),
    EventRow(3, 1, EventKind.LOG, 10, None, 1, b"3"),
    EventRow(4, 1, EventKind.LOG, 20, None, 1, b"4"),
    EventRow(5, 1, EventKind.RESULT, None, "a", 1, b"5"),
    EventRow(6, 1, EventKind.LOG, 30, None, 1, b"6"),
    EventRow(7, 1, EventKind.CHECKPOINT, None, None, 1, b"7"),
    EventRow(8, 1, EventKind.ATTEMPT_ENDED, None, None, 1, b"8"),
    EventRow(9, 2, EventKind.ATTEMPT_STARTED, None, None, 1, b"9"),
    EventRow(10, 2, EventKind.LOG, 40, None, 1, b"10"),
    EventRow(11, 2, EventKind.RESULT, None, "b", 1, b"11"),
]
LIFECYCLE = frozenset({EventKind.STATE_CHANGE, EventKind.ATTEMPT_STARTED, EventKind.ATTEMPT_ENDED})
LOG, RESULT = frozenset({EventKind.LOG}), frozenset({EventKind.RESULT})


@pytest.mark.parametrize(
    ("selected", "expected"),
    [
        (EventFilter(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
        (EventFilter(kinds=LIFECYCLE), [1, 2, 8, 9]),
        (EventFilter(kinds=LOG), [3, 4, 6, 10]),
        (EventFilter(kinds=RESULT), [5, 11]),
        (EventFilter(kinds=frozenset({EventKind.CHECKPOINT})), [7]),
        (EventFilter(kinds=LOG | RESULT), [3, 4, 5, 6, 10, 11]),
        (EventFilter(kinds=LOG, minimum_level=20), [4, 6, 10]),
        (EventFilter(kinds=LOG, minimum_level=30), [6, 10]),
        (EventFilter(kinds=LOG, minimum_level=31), [10]),
        (EventFilter(minimum_level=20), [1, 2, 4, 5, 6, 7, 8, 9, 10, 11]),
        (EventFilter(minimum_level=40), [1, 2, 5, 7, 8, 9, 10, 11]),
        (EventFilter(kinds=LIFECYCLE, minimum_level=40), [1, 2, 8, 9]),
        (EventFilter(kinds=RESULT, result_key="a"), [5]),
        (EventFilter(result_key="a"), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        (EventFilter(kinds=LOG, result_key="a"), [3, 4, 6, 10]),
        (EventFilter(kinds=LOG | RESULT, minimum_level=30, result_key="b"), [6, 10, 11]),
        (EventFilter(attempt=2), [9, 10, 11]),
        (EventFilter(attempt=1, kinds=RESULT), [5]),
        (EventFilter(text="not looked at here"), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
    ],
)
async def test_filters_select_by_columns(database: Database, selected: EventFilter, expected: list[int]) -> None:
    await append(database, *MIXED)
    assert numbers((await read(database, filter=selected)).items) == expected
    tail = await read(database, filter=selected, descending=True, limit=1)
    assert numbers(tail.items) == expected[-1:]
    newest = await database.read(lambda tx: events.newest_event(tx, RUN, selected))
    assert newest == MIXED[expected[-1] - 1]


async def test_nothing_is_newest_in_an_empty_log(database: Database) -> None:
    assert await database.read(lambda tx: events.newest_event(tx, RUN, EventFilter())) is None
    assert await database.read(lambda tx: events.first_sequence(tx, RUN)) is None
    assert await database.read(lambda tx: events.extent(tx, RUN)) is None


async def test_events_are_removed_in_steps_oldest_first(database: Database) -> None:
    await append(database, *log_events(1, 10))
    await append(database, *log_events(1, 2), run_id=OTHER)
    assert await database.write(lambda tx: events.delete_events(tx, RUN, 4)) == 4
    assert numbers((await read(database)).items) == [5, 6, 7, 8, 9, 10]
    assert await database.read(lambda tx: events.first_sequence(tx, RUN)) == 5
    assert await database.write(lambda tx: events.delete_events(tx, RUN, 100)) == 6
    assert await database.write(lambda tx: events.delete_events(tx, RUN, 100)) == 0
    assert numbers((await read(database, OTHER)).items) == [1, 2]


async def test_a_large_append_survives_a_reopening(open_database, database: Database) -> None:
    run = await a_stored_run(database)
    await append(database, *log_events(2, 20_001), run_id=run.id)
    await database.close()
    again = await open_database()
    page = await read(again, run.id, limit=30_000)
    assert numbers(page.items) == list(range(2, 20_002))


async def test_a_log_is_read_on_as_bytes_alone_within_its_bounds(database: Database) -> None:
    stored = [EventRow(n, 1, EventKind.LOG, 20, None, EPOCH_US, b"x" * n) for n in range(1, 21)]
    await append(database, *stored)
    await append(database, *log_events(1, 30), run_id=OTHER)

    async def read_on(after: int, upto: int, limit: int = 100, max_bytes: int = PLENTY) -> tuple[list[int], int]:
        part = await database.read(
            lambda tx: events.read_log(tx, RUN, after_sequence=after, upto=upto, limit=limit, max_bytes=max_bytes)
        )
        return [len(payload) for payload in part.payloads], part.last_sequence

    assert await read_on(0, 20) == (list(range(1, 21)), 20)
    assert await read_on(4, 7) == ([5, 6, 7], 7)
    assert await read_on(4, 20, limit=2) == ([5, 6], 6)
    assert await read_on(0, 20, max_bytes=1 + 2 + 3) == ([1, 2, 3], 3)
    assert await read_on(0, 20, max_bytes=1 + 2 + 3 + 3) == ([1, 2, 3], 3)
    assert await read_on(9, 20, max_bytes=1) == ([10], 10), "one comes whatever its size"
    assert await read_on(20, 20) == ([], 20)
    assert await read_on(20, 25) == ([], 25), "nothing is there, so nothing is left"
