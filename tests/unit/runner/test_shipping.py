"""What goes into a delivery: windows, shares, going back; over real spools on disk."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from athanor.experiment import wire
from athanor.experiment.control import ControlPage
from athanor.experiment.spool import SpoolReader, SpoolWriter, remove_acknowledged
from athanor_runner.report import Terms, _delivery
from athanor_runner.shipping import Batch, Feed, Feeds, Window, fill
from hypothesis import given, settings
from hypothesis import strategies as st

MEBIBYTE = 1 << 20


def event(sequence: int, size: int = 100) -> bytes:
    return wire.run_event(sequence, 1, 1, wire.LOG, wire.log_entry(20, "x" * size))


class Spool:
    """A spool with a writer and a feed."""

    def __init__(self, folder: Path, *, first: int = 2, begun: bool = True) -> None:
        folder.mkdir()
        self.folder = folder
        self.next = first
        self.damage: list[str] = []
        self.control = ControlPage.create(folder / "control")
        self.writer = SpoolWriter.open(folder / "spool", first, segment_bytes=MEBIBYTE) if begun else None
        self.feed = Feed(
            folder.name,
            folder / "spool",
            committed=first - 1,
            control=self.control,
            on_progress=lambda: None,
            on_damage=self.damage.append,
        )
        self.feed.stream_opened(8 * MEBIBYTE)

    def write(self, count: int, size: int = 100) -> None:
        assert self.writer is not None
        for _ in range(count):
            self.writer.append([event(self.next, size)])
            self.next += 1


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Callable[..., Spool]]:
    made: list[Spool] = []

    def make(name: str = "a", **options: object) -> Spool:
        made.append(Spool(tmp_path / name, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.feed.close()
        if one.writer is not None:
            one.writer.close()


def ship(feed: Feed, budget: int = 2 * MEBIBYTE) -> Batch | None:
    """One delivery of one feed."""
    if not feed.ready:
        return None
    taken = fill([feed], budget)
    if not taken or taken[0].batch is None:
        return None
    feed.was_sent(taken[0].batch)
    return taken[0].batch


def numbers(batch: Batch | None) -> list[int]:
    assert batch is not None
    found = [wire.read_sequence_kind(event)[0] for event in batch.events]
    assert found == list(range(batch.first_sequence, batch.last_sequence + 1))
    return found


def test_everything_is_shipped_once_and_in_order(spool: Callable[..., Spool]) -> None:
    one = spool()
    assert ship(one.feed) is None
    one.write(3)
    assert numbers(ship(one.feed)) == [2, 3, 4]
    assert ship(one.feed) is None
    one.write(2)
    assert numbers(ship(one.feed)) == [5, 6]


def test_a_spool_that_does_not_exist_yet_is_read_once_it_does(spool: Callable[..., Spool]) -> None:
    one = spool(begun=False)
    assert ship(one.feed) is None
    assert one.damage == []
    one.writer = SpoolWriter.open(one.folder / "spool", 2)
    one.write(2)
    assert numbers(ship(one.feed)) == [2, 3]


def test_a_spool_that_begins_between_two_looks_is_not_taken_for_a_damaged_one(
    spool: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = spool(begun=False)
    real = SpoolReader.rewind

    def rewind(reader: SpoolReader, sequence: int) -> None:
        try:
            real(reader, sequence)
        finally:
            if one.writer is None:
                one.writer = SpoolWriter.open(one.folder / "spool", 2)
                one.write(1)

    monkeypatch.setattr(SpoolReader, "rewind", rewind)
    assert numbers(ship(one.feed)) == [2]


def test_a_settled_spool_that_cannot_be_read_from_where_it_has_to_be_is_damaged(spool: Callable[..., Spool]) -> None:
    one = spool()
    one.write(3, size=MEBIBYTE // 4)
    assert one.writer is not None
    one.writer.settle()
    remove_acknowledged(one.folder / "spool", 4)
    one.feed.acknowledged(1, rewind=True)  # an older copy of the database took the place of the one that had them
    assert [taken.damage for taken in fill([one.feed], MEBIBYTE)] == [
        "the spool cannot be read on: event 2 is no longer in the spool"
    ]


def test_the_process_learns_what_is_acknowledged(spool: Callable[..., Spool]) -> None:
    one = spool()
    one.write(4)
    ship(one.feed)
    assert one.control.acknowledged_bytes == 0
    one.feed.acknowledged(5, rewind=False)
    assert one.writer is not None
    assert one.control.acknowledged_bytes == one.writer.position.record_bytes


def test_a_word_that_covers_half_a_batch_frees_nothing_yet(spool: Callable[..., Spool]) -> None:
    one = spool()
    one.write(4)
    ship(one.feed)
    one.feed.acknowledged(3, rewind=False)
    assert one.feed.window.committed == 3
    assert one.control.acknowledged_bytes == 0
    assert one.feed.window.in_flight > 0


def test_a_full_window_waits_for_acknowledgements(spool: Callable[..., Spool]) -> None:
    one = spool()
    one.feed.stream_opened(3 * MEBIBYTE)
    one.write(50, 100_000)
    sent = 0
    while (batch := ship(one.feed)) is not None:
        sent += batch.size
    assert 2 * MEBIBYTE <= sent <= 3 * MEBIBYTE
    one.feed.acknowledged(one.feed.highest_sequence, rewind=False)
    assert one.feed.ready
    assert numbers(ship(one.feed))


def test_a_rewind_sends_again_from_there(spool: Callable[..., Spool]) -> None:
    one = spool()
    one.write(6)
    ship(one.feed)
    one.feed.acknowledged(4, rewind=True)
    assert one.feed.window.in_flight == 0
    assert numbers(ship(one.feed)) == [5, 6, 7]


def test_a_rewind_below_what_was_acknowledged_sends_again_from_there(spool: Callable[..., Spool]) -> None:
    """The database has fallen back to an older copy in mid-session: what it lacks is sent, not waited for."""
    one = spool()
    one.write(6)
    ship(one.feed)
    one.feed.acknowledged(7, rewind=False)
    one.feed.acknowledged(4, rewind=True)
    assert numbers(ship(one.feed)) == [5, 6, 7]


def test_what_was_being_read_when_a_rewind_came_is_known_to_be_old(spool: Callable[..., Spool]) -> None:
    one = spool()
    one.write(6)
    [taken] = fill([one.feed], 300)  # on its thread ...
    one.feed.acknowledged(1, rewind=True)  # ... while the loop hears this
    assert taken.generation != one.feed.generation
    assert numbers(ship(one.feed)) == [2, 3, 4, 5, 6, 7]


def test_a_new_stream_waits_for_the_answer_to_open_and_goes_on_there(spool: Callable[..., Spool]) -> None:
    one = spool()
    one.write(6)
    ship(one.feed)
    one.feed.stream_opened(8 * MEBIBYTE)
    assert not one.feed.ready
    one.feed.acknowledged(5, rewind=False)
    assert numbers(ship(one.feed)) == [6, 7]
    assert one.control.acknowledged_bytes > 0


def test_a_new_stream_need_not_wait_when_nothing_was_under_way(spool: Callable[..., Spool]) -> None:
    one = spool()
    one.feed.stream_opened(8 * MEBIBYTE)
    one.write(1)
    assert numbers(ship(one.feed)) == [2]


def test_the_word_of_a_new_session_counts_although_it_is_older(spool: Callable[..., Spool]) -> None:
    """The database was restored from a copy of some minutes ago, and the spool still has what is missing there."""
    one = spool()
    one.write(6)
    ship(one.feed)
    one.feed.acknowledged(7, rewind=False)
    one.feed.resume(3)
    assert numbers(ship(one.feed)) == [4, 5, 6, 7]


def test_going_back_beyond_what_the_spool_has_is_damage_and_holds_only_that_feed(spool: Callable[..., Spool]) -> None:
    one, two = spool("a"), spool("b")
    one.write(30, 100_000)
    two.write(1)
    ship(one.feed)
    one.feed.acknowledged(31, rewind=False)
    from athanor.experiment.spool import remove_acknowledged

    assert remove_acknowledged(one.folder / "spool", 31) > 0
    one.feed.resume(3)
    taken = {entry.feed: entry for entry in fill([one.feed, two.feed], MEBIBYTE)}
    assert "no longer in the spool" in taken[one.feed].damage
    assert numbers(taken[two.feed].batch) == [2]
    one.feed.damaged(taken[one.feed].damage)
    assert one.damage
    assert not one.feed.ready


def test_every_run_gets_its_share_before_any_gets_more(spool: Callable[..., Spool]) -> None:
    flood, quiet = spool("flood"), spool("quiet")
    flood.write(100, 50_000)
    quiet.write(3)
    taken = {entry.feed: entry.batch for entry in fill([flood.feed, quiet.feed], MEBIBYTE)}
    assert numbers(taken[quiet.feed]) == [2, 3, 4]
    size = taken[flood.feed].size  # and what the quiet one leaves is not wasted
    assert 0.9 * MEBIBYTE < size <= 2 * MEBIBYTE


def test_an_event_larger_than_the_share_is_shipped_and_paid_for(spool: Callable[..., Spool]) -> None:
    large, *small = [spool(f"s{number}") for number in range(8)]
    large.write(20, 900_000)
    for one in small:
        one.write(400, 20_000)
    feeds = [large.feed, *(one.feed for one in small)]
    had = dict.fromkeys(feeds, 0)
    for _ in range(6):
        taken = fill(feeds, MEBIBYTE)
        assert sum(entry.batch.size for entry in taken if entry.batch) <= 2 * MEBIBYTE
        for entry in taken:
            if entry.batch is not None:
                had[entry.feed] += entry.batch.size
                entry.feed.was_sent(entry.batch)
                entry.feed.acknowledged(entry.batch.last_sequence, rewind=False)
        feeds = feeds[1:] + feeds[:1]
    assert all(amount > 0 for amount in had.values())
    shares = sorted(had[one.feed] for one in small)
    assert shares[-1] <= 3 * shares[0]
    assert had[large.feed] <= 2_000_000  # of about 6 MiB in all


def test_what_is_read_to_its_end_is_not_looked_at_again_in_the_same_delivery(
    spool: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = spool()
    one.write(3)
    reads: list[int] = []
    real = Feed.read
    monkeypatch.setattr(Feed, "read", lambda feed, most, turn: reads.append(most) or real(feed, most, turn))

    (taken,) = fill([one.feed], MEBIBYTE)

    assert taken.batch is not None
    assert (len(taken.batch.events), len(reads)) == (3, 1)


def test_a_spool_is_not_looked_into_as_long_as_its_process_has_recorded_nothing_more(
    spool: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = spool()
    looks: list[int] = []
    real = SpoolReader.read
    monkeypatch.setattr(SpoolReader, "read", lambda reader, most: looks.append(most) or real(reader, most))

    def shipped() -> tuple[int, int]:
        looks.clear()
        batch = ship(one.feed)
        return len(batch.events) if batch is not None else 0, len(looks)

    one.write(2)
    one.control.recorded(lambda: None)(one.next - 1)
    assert shipped() == (2, 1)
    assert shipped() == (0, 0)
    one.write(1)  # killed before it could say so, or not yet
    assert shipped() == (0, 0)
    one.feed.look()
    assert shipped() == (1, 1)
    one.write(1)
    assert one.feed.ask_to_ring()  # from now on it rings, and what came before stands on its page
    assert shipped() == (0, 0)
    one.write(1)
    rung: list[int] = []
    one.control.recorded(lambda: rung.append(1))(one.next - 1)
    assert rung
    assert shipped() == (2, 1)
    one.write(1)  # by the runner, behind the process's end
    one.feed.ending = True
    assert shipped() == (1, 1)
    one.feed.acknowledged(3, rewind=True)
    assert shipped() == (one.next - 4, 1)


def test_a_closed_feed_reads_nothing(spool: Callable[..., Spool]) -> None:
    one = spool()
    one.write(3)
    one.feed.close()
    assert fill([one.feed], MEBIBYTE) == []
    assert one.feed.new_progress() is None
    assert not one.feed.ask_to_ring()


def test_a_doorbell_that_was_asked_for_is_not_asked_for_again(spool: Callable[..., Spool]) -> None:
    one = spool()
    assert one.feed.ask_to_ring()
    assert not one.feed.ask_to_ring()
    one.control.recorded(lambda: None)(2)
    assert one.feed.ask_to_ring()


def test_progress_is_taken_once_and_again_on_a_new_stream(spool: Callable[..., Spool]) -> None:
    one = spool()
    assert not one.feed.has_progress()
    one.control.write_progress(3, 10, b"three")
    assert one.feed.has_progress()
    slot = one.feed.new_progress()
    assert slot is not None
    assert (slot.current, slot.total, slot.message) == (3, 10, "three")
    assert one.feed.new_progress() is None
    one.feed.stream_opened(MEBIBYTE)
    assert one.feed.new_progress() is not None


def test_feeds_are_found_by_lease_and_told_of_a_new_stream(spool: Callable[..., Spool]) -> None:
    feeds, one = Feeds(), spool()
    feeds.stream_opened(4 * MEBIBYTE)
    feeds.add(one.feed)
    assert feeds.news.is_set()
    assert one.feed.window.limit == 4 * MEBIBYTE
    assert feeds.find("a") is one.feed
    feeds.remove(one.feed)
    feeds.remove(one.feed)
    assert list(feeds) == []


def test_a_window_keeps_room_for_the_largest_event() -> None:
    window = Window(committed=1, limit=2 * MEBIBYTE)
    window.sent(Batch((b"x" * (MEBIBYTE + 1),), 2, 10))
    assert window.room == 0
    window.acknowledged(2)
    assert window.room == 2 * MEBIBYTE
    assert window.acknowledged_bytes == 10


SIZES = (0, 1, 30, 1000, 60_000, 400_000, 1_048_400)


@given(
    sizes=st.lists(
        st.lists(st.sampled_from([0, 1, 30, 1000, 60_000, 400_000, 1_048_400]), max_size=25), min_size=1, max_size=6
    ),
    window=st.sampled_from([1, 500_000, MEBIBYTE, 3 * MEBIBYTE, 8 * MEBIBYTE]),
    answers=st.lists(st.sampled_from(["nothing", "all", "half", "rewind"]), max_size=12),
)
@settings(max_examples=30, deadline=None)
def test_whatever_the_sizes_windows_and_deliveries_are_kept_and_everything_arrives(
    sizes: list[list[int]], window: int, answers: list[str]
) -> None:
    """A window that is smaller than an event lets one event through at a time; a message keeps its limit always."""
    with TemporaryDirectory() as name, ExitStack() as opened:
        spools = [Spool(Path(name) / str(number)) for number in range(len(sizes))]
        for one, texts in zip(spools, sizes, strict=True):
            assert one.writer is not None
            opened.callback(one.feed.close)
            opened.callback(one.writer.close)
            one.feed.stream_opened(window)
            for size in texts:
                one.write(1, size)
        stored = {one.feed: 1 for one in spools}
        terms = Terms("session", 3 * MEBIBYTE, window)
        for answer in [*answers, *["all"] * 200]:
            ready = [one.feed for one in spools if one.feed.ready]
            batches = [(entry.feed, entry.batch) for entry in fill(ready, terms.budget) if entry.batch is not None]
            assert _delivery(batches, []).ByteSize() <= terms.max_delivery_bytes
            for feed, batch in batches:
                feed.was_sent(batch)
                assert feed.window.in_flight <= max(window, len(batch.events[0]) if len(batch.events) == 1 else 0)
            for one in spools:
                feed = one.feed
                to = feed.highest_sequence if answer != "half" else (stored[feed] + feed.highest_sequence) // 2
                if answer == "nothing" or not feed.highest_sequence:
                    continue
                stored[feed] = stored[feed] if answer == "rewind" else max(stored[feed], to)
                feed.acknowledged(stored[feed], rewind=answer == "rewind")
        assert [stored[one.feed] for one in spools] == [one.next - 1 for one in spools]
        assert all(one.feed.window.in_flight == 0 for one in spools)


def test_of_fifty_runs_of_which_one_floods_none_waits(spool: Callable[..., Spool]) -> None:
    """Whatever the others have to say goes with the next delivery."""
    flood, *quiet = [spool(f"s{number}") for number in range(50)]
    flood.write(60, 900_000)
    turn = 0
    for _ in range(12):
        for one in quiet:
            one.write(3, 200)
        turn = (turn + 7) % 50
        order = [flood, *quiet]
        feeds = [one.feed for one in order[turn:] + order[:turn] if one.feed.ready]
        had = {entry.feed: entry.batch for entry in fill(feeds, 2 * MEBIBYTE) if entry.batch is not None}
        for one in quiet:
            assert len(numbers(had[one.feed])) == 3
        for feed, batch in had.items():
            feed.was_sent(batch)
            feed.acknowledged(batch.last_sequence, rewind=False)
    assert flood.feed.highest_sequence > 12  # and it gets on
