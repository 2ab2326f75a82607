"""Pages that several readers want at once are read once, and nobody's fate is another's."""

import asyncio

from athanor_orchestrator.domain.errors import StorageUnavailable
from athanor_orchestrator.engine.log_pages import MOMENT, PAGES, LogPages

from tests.support.virtual_time import virtual_time


class Reads:
    """Takes a moment for each."""

    def __init__(self, takes: float = 0.5) -> None:
        self.takes = takes
        self.count = 0
        self.error: Exception | None = None

    async def __call__(self) -> int:
        self.count += 1
        number = self.count
        await asyncio.sleep(self.takes)
        if self.error is not None:
            raise self.error
        return number


@virtual_time
async def test_what_many_want_at_once_is_read_once():
    pages, reads = LogPages[int](), Reads()
    assert await asyncio.gather(*(pages.get("a", 5, reads) for _ in range(100))) == [1] * 100
    assert await pages.get("a", 5, reads) == 1
    assert await asyncio.gather(pages.get("a", 6, reads), pages.get("b", 5, reads)) == [2, 3]


@virtual_time
async def test_a_reader_that_goes_away_takes_nothing_from_the_others():
    pages, reads = LogPages[int](), Reads()
    first, second = (asyncio.create_task(pages.get("a", 5, reads)) for _ in range(2))
    await asyncio.sleep(0.2)
    first.cancel()
    assert await second == 1
    assert first.cancelled()


@virtual_time
async def test_a_read_that_fails_fails_for_those_who_waited_and_is_made_again():
    pages, reads = LogPages[int](), Reads()
    reads.error = StorageUnavailable("away")
    found = await asyncio.gather(*(pages.get("a", 5, reads) for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in found] == [StorageUnavailable] * 3
    reads.error = None
    assert await pages.get("a", 5, reads) == 2


@virtual_time
async def test_a_read_that_fails_when_all_have_left_is_no_fault_of_anybody(caplog):
    pages, reads = LogPages[int](), Reads()
    reads.error = StorageUnavailable("away")
    reader = asyncio.create_task(pages.get("a", 5, reads))
    await asyncio.sleep(0.2)
    reader.cancel()
    await asyncio.sleep(1)
    assert not pages._reads
    assert not caplog.records


@virtual_time
async def test_a_page_is_given_for_a_moment_only():
    pages, reads = LogPages[int](), Reads(0)
    assert await pages.get("a", 5, reads) == 1
    await asyncio.sleep(MOMENT)
    assert await pages.get("a", 5, reads) == 1
    await asyncio.sleep(0.1)
    assert await pages.get("a", 5, reads) == 2


@virtual_time
async def test_only_so_many_are_kept_the_oldest_go():
    pages, reads = LogPages[int](), Reads()
    reads.takes = 0
    for position in range(PAGES + 1):
        await pages.get("a", position, reads)
    assert len(pages._reads) == PAGES
    assert await pages.get("a", PAGES, reads) == PAGES + 1
    assert await pages.get("a", 0, reads) == PAGES + 2


@virtual_time
async def test_those_who_wait_for_a_page_get_it_though_it_is_not_kept():
    pages, reads = LogPages[int](), Reads()
    waiting = [asyncio.create_task(pages.get("a", position, reads)) for position in range(2 * PAGES)]
    assert await asyncio.gather(*waiting) == list(range(1, 2 * PAGES + 1))


@virtual_time
async def test_a_page_that_is_read_ahead_is_there_when_it_is_asked_for():
    pages, reads = LogPages[int](), Reads()
    pages.ahead("a", 5, reads)
    await asyncio.sleep(0.5)
    begun = asyncio.get_running_loop().time()
    assert await pages.get("a", 5, reads) == 1
    assert asyncio.get_running_loop().time() == begun
    assert reads.count == 1


@virtual_time
async def test_a_page_that_was_read_ahead_in_vain_is_nobodys_fault():
    pages, reads = LogPages[int](), Reads()
    reads.error = StorageUnavailable("away")
    pages.ahead("a", 5, reads)
    await asyncio.sleep(0.6)  # an exception that nobody takes would be a warning, and that an error
    reads.error = None
    assert await pages.get("a", 5, reads) == 2
