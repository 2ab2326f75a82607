"""Ids as people give them."""

import pytest
import typer
from athanor.cli import ids
from athanor.client import AsyncListing, NotFoundError, Page, RunRecord, RunState

OLD = "019a0000-0000-7000-8000-000000000001"
NEW = "019a0001-0000-7000-8000-000000000002"
NEWER = "019a0001-0000-7000-8000-000000000003"


class Runs:
    def __init__(self, *pages: list[str]) -> None:
        self.pages = pages
        self.fetched = 0

    def list(self, page_size: int = 1, limit: int | None = None) -> AsyncListing[RunRecord]:
        async def fetch(token: str) -> Page[RunRecord]:
            number = int(token or 0)
            self.fetched += 1
            items = tuple(RunRecord(id, "i", "e", RunState.PENDING, seed=int(id[-1])) for id in self.pages[number])
            return Page(items, str(number + 1) if number + 1 < len(self.pages) else "")

        return AsyncListing(fetch, limit=limit)


class Client:
    def __init__(self, *pages: list[str]) -> None:
        self.runs = Runs(*pages)


async def test_a_whole_id_is_taken_as_it_is():
    client = Client()
    assert await ids.run(client, OLD.upper()) == OLD
    assert client.runs.fetched == 0


@pytest.mark.parametrize("text", ["last", " LAST", "0198c5", "0", "0198C5F1-0000-7", OLD])
def test_what_can_be_meant_for_a_run(text):
    assert ids.like_a_run(text)


@pytest.mark.parametrize("text", ["hello", "add", "face", "digits2", "lasting", "", "-"])
def test_what_may_be_the_name_of_an_experiment(text):
    assert not ids.like_a_run(text)


async def test_a_unique_beginning_is_enough():
    assert await ids.run(Client([NEW], [OLD]), "019a0000") == OLD


async def test_only_what_is_needed_is_fetched():
    client = Client([NEW], [OLD], ["0100"])
    assert await ids.run(client, "019a0001") == NEW
    assert client.runs.fetched == 2  # the second page shows that all further ids are smaller


@pytest.mark.parametrize("text", ["last", " LAST "])
async def test_a_word_means_the_newest_run(text):
    client = Client([NEWER, NEW], [OLD])
    assert await ids.run(client, text) == NEWER
    assert client.runs.fetched == 1


async def test_where_there_is_no_run_there_is_no_newest():
    with pytest.raises(NotFoundError, match="there is no run yet; `athanor run EXPERIMENT` starts one"):
        await ids.run(Client([]), "last")


async def test_a_beginning_that_several_share_is_refused_with_their_names():
    with pytest.raises(typer.BadParameter) as caught:
        await ids.run(Client([NEWER, NEW, OLD]), "019a0001")
    text = f"2 runs begin with '019a0001', give more of the id:\n  {NEWER}  e seed 3 PENDING\n  {NEW}  e seed 2 PENDING"
    assert str(caught.value) == text


async def test_of_many_that_share_a_beginning_some_are_named():
    with pytest.raises(typer.BadParameter) as caught:
        await ids.run(Client([f"019a{9 - n}" for n in range(9)]), "019a")
    assert str(caught.value).splitlines()[-1] == "  and 4 more"


async def test_of_very_many_that_share_a_beginning_no_more_are_read_than_it_takes():
    client = Client(*([f"019a-{9 - page}-{999 - n:03}" for n in range(1000)] for page in range(5)))
    with pytest.raises(typer.BadParameter) as caught:
        await ids.run(client, "019a")
    lines = str(caught.value).splitlines()
    assert lines[0] == "more than 1000 runs begin with '019a', give more of the id:"
    assert [line.split()[0] for line in lines[1:-1]] == [f"019a-9-{999 - n}" for n in range(5)], "the newest"
    assert lines[-1] == "  and many more"
    assert client.runs.fetched == 2


async def test_a_beginning_of_nothing_is_not_found():
    with pytest.raises(NotFoundError, match="no run whose id begins with 'abc'"):
        await ids.run(Client([NEW]), "abc")


async def test_an_empty_id_is_refused():
    with pytest.raises(typer.BadParameter, match="is empty"):
        await ids.run(Client([NEW]), " ")


def test_ids_are_shortened_as_far_as_they_stay_apart():
    assert ids.shortened([OLD, NEW]) == {OLD: OLD[:13], NEW: NEW[:13]}
    assert ids.shortened([NEWER, NEW]) == {NEWER: NEWER, NEW: NEW}
    assert ids.shortened([]) == {}
