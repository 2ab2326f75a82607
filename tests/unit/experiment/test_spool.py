"""The spool: what was appended is what is read, whatever happened to the tail."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from athanor.experiment import wire
from athanor.experiment.spool import (
    Claim,
    SpoolDamagedError,
    SpoolError,
    SpoolFlusher,
    SpoolFullError,
    SpoolReader,
    SpoolWriter,
    remove_acknowledged,
    room,
    scan,
    segment,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

FIRST = 2
GOLDEN = Path(__file__).parent / "golden" / "00000000000000000002.seg"


def event(sequence: int, text: str = "") -> bytes:
    return wire.run_event(sequence, 1, 1_700_000_000_000_000_000 + sequence, wire.LOG, wire.log_entry(20, text))


def chain_over(events: list[bytes]) -> bytes:
    chain = bytes(32)
    for data in events:
        chain = sha256(chain + data).digest()
    return chain


def write(folder: Path, texts: list[str], **options: Any) -> list[bytes]:
    """Write one event after the other, and let go of the spool."""
    events = [event(FIRST + index, text) for index, text in enumerate(texts)]
    with closing(SpoolWriter.open(folder, FIRST, **options)) as writer:
        for index, data in enumerate(events):
            writer.append_output([data], [(index + 1, 2 * index)], claim=Claim.RECORD)
    return events


def read_all(folder: Path, max_bytes: int = 1 << 20) -> list[bytes]:
    with closing(SpoolReader(folder)) as reader:
        return [data for batch in iter(lambda: reader.read(max_bytes), []) for data in batch]


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def writer(spool: Path) -> Iterator[SpoolWriter]:
    with closing(SpoolWriter.open(spool, FIRST, segment_bytes=400)) as writer:
        yield writer


# What is written is what is read.


@given(
    st.lists(st.text(max_size=300), max_size=40),
    st.integers(1, 3000),
    st.integers(1, 2000),
    st.lists(st.integers(1, 5), min_size=1, max_size=40),
)
@settings(max_examples=60, deadline=None)
def test_every_event_is_read_once_and_in_order(
    texts: list[str], segment_bytes: int, max_bytes: int, batches: list[int]
) -> None:
    events = [event(FIRST + index, text) for index, text in enumerate(texts)]
    with TemporaryDirectory() as name:
        folder = Path(name)
        with closing(SpoolWriter.open(folder, FIRST, segment_bytes=segment_bytes)) as writer:
            rest = list(events)
            for size in batches * 40:
                writer.append(rest[:size])
                rest = rest[size:]
                if not rest:
                    break
            end = writer.position
        with closing(SpoolReader(folder)) as reader:
            got = [data for batch in iter(lambda: reader.read(max_bytes), []) for data in batch]

            assert got == events
            assert reader.tail() == end
            assert reader.position == replace(end, chain=segment.NO_DIGEST)  # nobody needs it there
        assert end.digest == chain_over(events)
        assert end.event_count == len(events)
        assert end.record_bytes == sum(map(len, events)) + 24 * len(events)
        assert scan(folder)[:2] == ((FIRST, FIRST + len(events) - 1) if events else (0, 0))


@pytest.mark.parametrize("first", [1, 0x7E, 0x80, 0x3FFE, 0x1F_FFFE, (1 << 35) - 2])
def test_sequences_of_any_length_and_events_of_any_length_are_read(tmp_path: Path, first: int) -> None:
    sizes = [1, 400, 511, 512, 600, 20_000] * 30
    events = [event(first + index, "x" * size) for index, size in enumerate(sizes)]
    with closing(SpoolWriter.open(tmp_path, first)) as writer:
        writer.append(events)
    with closing(SpoolReader(tmp_path)) as reader:
        assert reader.read(1 << 30) == events


def test_a_read_takes_no_more_than_it_may_but_always_one(spool: Path) -> None:
    events = write(spool, ["x" * 1000, "y", "z"])
    reader = SpoolReader(spool)

    assert reader.read(10) == events[:1]
    assert reader.read(len(events[1])) == events[1:2]
    assert reader.read(1 << 20) == events[2:]
    assert reader.read(1 << 20) == []
    reader.close()


def test_a_reader_follows_a_writer(writer: SpoolWriter, spool: Path) -> None:
    reader = SpoolReader(spool)
    for sequence in range(FIRST, FIRST + 50):
        assert reader.read(1 << 20) == []
        writer.append([event(sequence, "x" * (sequence % 7) * 30)])
        assert reader.read(1 << 20) == [event(sequence, "x" * (sequence % 7) * 30)]
    assert len(segment.first_sequences(spool)) > 5
    reader.close()


def test_a_reader_may_come_before_the_writer(spool: Path) -> None:
    reader = SpoolReader(spool)

    assert reader.read(100) == []
    events = write(spool, ["a", "b"])
    assert reader.read(100) == events
    reader.close()


@given(st.integers(1, 60), st.integers(100, 2000))
@settings(max_examples=40, deadline=None)
def test_a_reader_rewinds_to_any_event(target: int, segment_bytes: int) -> None:
    with TemporaryDirectory() as name:
        events = write(Path(name), ["x" * (index % 11) * 9 for index in range(60)], segment_bytes=segment_bytes)
        with closing(SpoolReader(Path(name))) as reader:
            while reader.read(500):
                pass

            reader.rewind(FIRST + target)

            assert reader.last_sequence == FIRST + target - 1
            assert reader.position.event_count == target
            assert [data for batch in iter(lambda: reader.read(500), []) for data in batch] == events[target:]


def test_a_reader_does_not_rewind_to_what_is_not_there(spool: Path) -> None:
    write(spool, ["x" * 50] * 20, segment_bytes=300)
    remove_acknowledged(spool, FIRST + 10)
    reader = SpoolReader(spool)

    with pytest.raises(SpoolError, match="no longer in the spool"):
        reader.rewind(FIRST)
    with pytest.raises(SpoolError, match="it ends at 21"):
        reader.rewind(FIRST + 21)
    reader.rewind(FIRST + 20)
    assert reader.read(1000) == []
    reader.close()


def test_acknowledgements_are_counted_in_bytes_of_records(spool: Path) -> None:
    events = write(spool, ["x" * 50] * 20, segment_bytes=500)
    reader = SpoolReader(spool)
    assert reader.record_bytes(FIRST) == 0
    first = reader.read(300)
    second = reader.read(300)
    sizes = [len(data) + 24 for data in events]

    assert reader.record_bytes(FIRST + len(first) - 2) == 0  # in whole reads only
    assert reader.record_bytes(FIRST + len(first) - 1) == sum(sizes[: len(first)])
    assert reader.record_bytes(FIRST + len(first) + len(second) - 1) == sum(sizes[: len(first) + len(second)])
    reader.close()


# The tail may be anything.


@given(st.lists(st.text(max_size=40), min_size=1, max_size=12), st.data(), st.sampled_from(["cut", "zeros", "flip"]))
@settings(max_examples=150, deadline=None)
def test_of_a_damaged_tail_exactly_the_whole_prefix_is_read_and_a_resumed_writer_goes_on_there(
    texts: list[str], data: st.DataObject, damage: str
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        events = write(folder, texts)
        path = segment.path_of(folder, FIRST)
        content = path.read_bytes()
        at = data.draw(st.integers(segment.HEAD_BYTES, len(content) - 1), label="at")
        if damage == "cut":
            path.write_bytes(content[:at])
        elif damage == "zeros":
            path.write_bytes(content[:at].ljust(len(content) + 100, b"\0"))
        else:
            bit = 1 << data.draw(st.integers(0, 7), label="bit")
            path.write_bytes(content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :])
        whole, offset = 0, segment.HEAD_BYTES
        for written in events:
            offset += 24 + len(written)
            if damage == "zeros" and at < offset and not any(content[at:offset]):
                continue  # the zeros are what was there
            if offset > at:
                break
            whole += 1

        assert read_all(folder) == events[:whole]
        assert scan(folder)[:2] == ((FIRST, FIRST + whole - 1) if whole else (0, 0))

        with closing(SpoolWriter.resume(folder, FIRST)) as writer:
            assert writer.next_sequence == FIRST + whole
            assert writer.position.digest == chain_over(events[:whole])
            assert (writer.position.stdout_offset, writer.position.stderr_offset) == (whole, max(0, 2 * (whole - 1)))
            more = event(FIRST + whole, "more")
            writer.append([more])

        assert read_all(folder) == [*events[:whole], more]


@given(st.integers(0, segment.HEAD_BYTES - 1))
@example(0)
@settings(max_examples=30, deadline=None)
def test_a_segment_whose_head_is_torn_is_not_there(size: int) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        events = write(folder, ["x" * 60] * 6, segment_bytes=300)
        newest = segment.first_sequences(folder)[-1]
        path = segment.path_of(folder, newest)
        path.write_bytes(path.read_bytes()[:size])

        assert read_all(folder) == events[: newest - FIRST]
        with closing(SpoolWriter.resume(folder, FIRST)) as writer:
            assert writer.next_sequence == newest
            writer.append([event(newest, "again")])
        assert read_all(folder) == [*events[: newest - FIRST], event(newest, "again")]


@pytest.mark.parametrize(
    "behind",
    [
        segment.pack_record(event(FIRST + 2), 9, 9),  # whole, and a number too far: from before the file was reused
        segment.pack_record(event(FIRST), 9, 9),  # whole, and there already
        segment.pack_record(b"", 9, 9),  # its CRC fits, and it is of nothing
        bytes(24),
        b"\xff" * 24,
    ],
)
def test_what_does_not_follow_is_no_event_though_its_crc_fits(spool: Path, behind: bytes) -> None:
    events = write(spool, ["a"])
    path = segment.path_of(spool, FIRST)
    path.write_bytes(path.read_bytes() + behind + segment.pack_record(event(FIRST + 1), 9, 9))

    assert read_all(spool) == events
    assert scan(spool)[:2] == (FIRST, FIRST)
    with closing(SpoolWriter.resume(spool, FIRST)) as writer:
        assert (writer.next_sequence, writer.position.stdout_offset) == (FIRST + 1, 1)
    assert path.stat().st_size == segment.HEAD_BYTES + 24 + len(events[0])


def test_an_older_segment_that_lost_its_tail_ends_the_spool_there(spool: Path) -> None:
    events = write(spool, ["x" * 60] * 12, segment_bytes=300)
    first, second, *_ = segment.first_sequences(spool)
    os.truncate(segment.path_of(spool, first), 200)

    assert scan(spool).last_sequence < second - 1
    with closing(SpoolWriter.resume(spool, FIRST)) as writer:
        whole = writer.next_sequence - FIRST
    assert read_all(spool) == events[:whole]
    assert segment.first_sequences(spool) == [FIRST]


@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_damage_in_a_segment_that_is_closed_is_told_and_not_waited_for(spool: Path, damage: str) -> None:
    events = write(spool, ["x" * 160] * 12, segment_bytes=300)
    _, second, *_ = segment.first_sequences(spool)
    path = segment.path_of(spool, second)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content if damage == "flip" else content[:-10])

    with closing(SpoolReader(spool)) as reader:
        read = [reader.read(1)[0] for _ in range(second - FIRST)]
        with pytest.raises(SpoolDamagedError, match="behind event"):
            reader.read(1 << 20)
    assert read == events[: len(read)]


# Taking over.


def test_a_resumed_writer_continues_count_digest_and_bytes_across_segments(spool: Path) -> None:
    events = write(spool, ["x" * 60] * 12, segment_bytes=300)
    with closing(SpoolWriter.resume(spool, FIRST, segment_bytes=300)) as writer:
        more = [event(writer.next_sequence + index, "y" * 80) for index in range(10)]
        for data in more:
            writer.append([data])
        end = writer.position

    assert end.event_count == 22
    assert end.digest == chain_over(events + more)
    assert end.record_bytes == sum(len(data) + 24 for data in events + more)
    assert read_all(spool) == events + more


def test_a_spool_that_lost_shipped_events_goes_on_above_them_without_a_digest(spool: Path) -> None:
    write(spool, ["x"] * 3)
    with closing(SpoolWriter.resume(spool, FIRST, next_sequence=FIRST + 10)) as writer:
        assert writer.next_sequence == FIRST + 10
        assert writer.position.event_count == 10
        assert writer.position.digest == b""
        writer.append([event(FIRST + 10)])
        assert (writer.position.event_count, writer.position.digest) == (11, b"")
        assert writer.position.stdout_offset == 3

    assert read_all(spool) == [event(FIRST + 10)]
    assert scan(spool)[:2] == (FIRST + 10, FIRST + 10)
    with closing(SpoolWriter.resume(spool, FIRST)) as writer:
        assert (writer.position.event_count, writer.position.digest) == (11, b"")


@pytest.mark.parametrize("at", [20, -1], ids=["first head", "last event"])
def test_a_spool_without_what_had_been_recorded_is_left_as_it_is(spool: Path, at: int) -> None:
    events = write(spool, ["x" * 60] * 12, segment_bytes=300)
    path = segment.path_of(spool, segment.first_sequences(spool)[0 if at >= 0 else -1])
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    before = {path.name: path.read_bytes() for path in spool.iterdir()}

    for _ in range(2):  # the lock is given back
        with pytest.raises(SpoolDamagedError, match=f"event {FIRST + 11} had been recorded"):
            SpoolWriter.resume(spool, FIRST, recorded_sequence=FIRST + len(events) - 1)
    assert {path.name: path.read_bytes() for path in spool.iterdir()} == before


@pytest.mark.parametrize(("next_sequence", "count", "digest"), [(0, 0, bytes(32)), (FIRST + 4, 4, b"")])
def test_a_spool_that_was_never_begun_is_begun(spool: Path, next_sequence: int, count: int, digest: bytes) -> None:
    with closing(SpoolWriter.resume(spool, FIRST, next_sequence=next_sequence)) as writer:
        assert writer.next_sequence == FIRST + count
        assert (writer.position.event_count, writer.position.digest) == (count, digest)
        writer.append([event(FIRST + count)])

    assert read_all(spool) == [event(FIRST + count)]


def test_two_cannot_hold_one_spool(writer: SpoolWriter, spool: Path) -> None:
    with pytest.raises(SpoolError, match="in use by another process"):
        SpoolWriter.resume(spool, FIRST)
    writer.close()
    with pytest.raises(SpoolError, match="not empty"):
        SpoolWriter.open(spool, FIRST)
    SpoolWriter.resume(spool, FIRST).close()


# Room.


def test_a_full_spool_waits_for_acknowledgements_and_only_those_free_it(spool: Path) -> None:
    acknowledged = 0
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        nonlocal acknowledged
        slept.append(seconds)
        if len(slept) == 3:
            acknowledged = writer.position.record_bytes - size

    size = len(event(FIRST)) + 24
    with closing(
        SpoolWriter.open(spool, FIRST, limit_bytes=2 * size, acknowledged=lambda: acknowledged, sleep=sleep)
    ) as writer:
        writer.append([event(FIRST)])
        assert writer.has_room(size)
        writer.append([event(FIRST + 1)])
        assert slept == []
        assert not writer.has_room(size)

        with pytest.raises(SpoolFullError):
            writer.append([event(FIRST + 2)], claim=Claim.LOG)
        assert slept == []
        margin = event(FIRST + 2, "x" * (room.MARGIN_BYTES - 2 * size))
        writer.append([margin])  # what is no log entry has a margin
        assert slept == []

        writer.append([event(FIRST + 3, "x" * 3 * size)])

        assert len(slept) == 3
        writer.append([event(FIRST + 4, "x" * (room.MARGIN_BYTES - 8 * size))])
        writer.append([event(FIRST + 5, "x" * 20 * size)], claim=Claim.END)  # the end of an attempt does not wait
        assert len(slept) == 3


def test_an_event_beyond_the_limit_waits_until_it_is_alone(spool: Path) -> None:
    with closing(SpoolWriter.open(spool, FIRST, limit_bytes=10, sleep=lambda _: pytest.fail("waited"))) as writer:
        writer.append([event(FIRST, "x" * 100)], claim=Claim.LOG)

    assert len(read_all(spool)) == 1


def full_disk(monkeypatch: pytest.MonkeyPatch, outcomes: list[int | None]) -> Callable[[], None]:
    """Let each write do what the list says: an error, or so many bytes; then as usual."""
    write = os.write

    def failing(file: int, data: bytes) -> int:
        if not outcomes:
            return write(file, data)
        outcome = outcomes.pop(0)
        if outcome is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data[:outcome])

    return lambda: monkeypatch.setattr(os, "write", failing)


@pytest.mark.parametrize("outcomes", [[None], [0], [7], [30, None, 11, None]])
def test_on_a_full_disk_it_cuts_back_waits_and_writes_again(
    spool: Path, monkeypatch: pytest.MonkeyPatch, outcomes: list[int | None]
) -> None:
    slept: list[float] = []
    failures = len(outcomes)
    with closing(SpoolWriter.open(spool, FIRST, sleep=slept.append)) as writer:
        writer.append([event(FIRST)])
        full_disk(monkeypatch, outcomes)()

        writer.append([event(FIRST + 1), event(FIRST + 2)])

    assert len(slept) == failures
    assert read_all(spool) == [event(FIRST), event(FIRST + 1), event(FIRST + 2)]


def test_the_end_of_an_attempt_takes_the_room_that_was_kept_for_it(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(SpoolWriter.open(spool, FIRST, sleep=lambda _: pytest.fail("waited"))) as writer:
        assert (spool / "reserve").stat().st_blocks > 0
        full_disk(monkeypatch, [None])()

        writer.append([event(FIRST)], claim=Claim.END)

        assert not (spool / "reserve").exists()
    assert read_all(spool) == [event(FIRST)]


def test_a_new_segment_on_a_full_disk_waits_too(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    with closing(SpoolWriter.open(spool, FIRST, segment_bytes=1, sleep=slept.append)) as writer:
        writer.append([event(FIRST)])
        full_disk(monkeypatch, [50, None])()
        descriptors = len(os.listdir("/proc/self/fd"))

        writer.append([event(FIRST + 1)])

        assert len(os.listdir("/proc/self/fd")) == descriptors  # each try had left one open, and its file on the disk
    assert len(slept) == 2
    assert read_all(spool) == [event(FIRST), event(FIRST + 1)]


@pytest.mark.parametrize(("count", "firsts"), [(1, [FIRST]), (20, [FIRST, FIRST + 20])])
def test_who_takes_a_settled_spool_over_need_not_read_much_for_the_digest(
    spool: Path, monkeypatch: pytest.MonkeyPatch, count: int, firsts: list[int]
) -> None:
    events = [event(FIRST + index) for index in range(count)]
    flushed: list[int] = []
    flush = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda file: (flushed.append(os.fstat(file).st_size), flush(file))[1])
    with closing(SpoolWriter.open(spool, FIRST, segment_bytes=64 * 100)) as writer:
        writer.append(events)
        writer.settle()
        assert segment.first_sequences(spool) == firsts
        assert flushed == [segment.path_of(spool, FIRST).stat().st_size]
        writer.settle()
        assert segment.first_sequences(spool) == firsts
        assert writer.next_sequence == FIRST + count

    read: list[Path] = []
    read_end = segment.read_end
    monkeypatch.setattr(
        segment,
        "read_end",
        lambda folder, head: (read.append(segment.path_of(folder, head.last_sequence + 1)), read_end(folder, head))[1],
    )
    with closing(SpoolWriter.resume(spool, FIRST, recorded_sequence=FIRST + count - 1)) as writer:
        assert writer.position.digest == chain_over(events)
        writer.append([event(FIRST + count)])
    assert read == [segment.path_of(spool, firsts[-1])]
    assert read_all(spool) == [*events, event(FIRST + count)]


def test_a_full_disk_is_not_waited_for_to_settle(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = [event(FIRST + index) for index in range(9)]
    with closing(SpoolWriter.open(spool, FIRST, segment_bytes=6400, sleep=never)) as writer:
        writer.append(events)
        monkeypatch.setattr("athanor.experiment.spool.writer._create", makes_a_part)
        writer.settle()
        assert segment.first_sequences(spool) == [FIRST]
        assert writer.next_sequence == FIRST + 9
        writer.append([event(FIRST + 9)])
    assert read_all(spool) == [*events, event(FIRST + 9)]


def never(seconds: float) -> None:
    raise AssertionError("waited")


def makes_a_part(path: Path, content: bytes) -> int:
    """Do what a full disk does."""
    path.write_bytes(content[:5])
    return -1


def test_on_a_full_disk_a_segment_of_which_all_is_acknowledged_is_closed_so_that_it_can_go(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the spool itself that fills the disk, and a newest segment is never deleted: the run waited for ever."""
    acknowledged = 0

    def sleep(_: float) -> None:
        nonlocal acknowledged
        acknowledged = 1 << 20

    with closing(SpoolWriter.open(spool, FIRST, acknowledged=lambda: acknowledged, sleep=sleep)) as writer:
        writer.append([event(FIRST)])
        full_disk(monkeypatch, [None, None, None])()  # the event twice, then the head of the new segment

        writer.append([event(FIRST + 1)])

        assert segment.first_sequences(spool) == [FIRST, FIRST + 1]
        assert (spool / "reserve").stat().st_blocks > 0  # taken for the head, and set aside again
    assert read_all(spool) == [event(FIRST), event(FIRST + 1)]


def test_a_disk_that_fails_otherwise_is_told_and_nothing_of_the_call_stays(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(SpoolWriter.open(spool, FIRST)) as writer:
        writer.append([event(FIRST)])
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
            with pytest.raises(OSError, match="I/O error"):
                writer.append([event(FIRST + 1)])

        assert writer.next_sequence == FIRST + 1
        writer.append([event(FIRST + 1, "again")])
    assert read_all(spool) == [event(FIRST), event(FIRST + 1, "again")]


def test_an_exception_out_of_the_middle_of_an_append_neither_doubles_nor_loses_a_number(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal handler raises right behind the write: the event is in the file, and the writer does not know of it."""
    original = os.write

    def interrupted(file: int, data: bytes) -> int:
        original(file, data)
        raise KeyboardInterrupt

    with closing(SpoolWriter.open(spool, FIRST)) as writer:
        writer.append([event(FIRST)])
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", interrupted)
            with pytest.raises(KeyboardInterrupt):
                writer.append([event(FIRST + 1)])

        assert writer.next_sequence == FIRST + 2
        writer.append([event(FIRST + 2)])
        assert writer.position.digest == chain_over([event(FIRST + index) for index in range(3)])
    assert read_all(spool) == [event(FIRST + index) for index in range(3)]


# Upkeep.


def test_acknowledged_segments_go_and_the_newest_stays(writer: SpoolWriter, spool: Path) -> None:
    for sequence in range(FIRST, FIRST + 30):
        writer.append([event(sequence, "x" * 60)])
    firsts = segment.first_sequences(spool)

    assert remove_acknowledged(spool, firsts[2] - 2) == 1
    assert remove_acknowledged(spool, firsts[2] - 1) == 1
    assert segment.first_sequences(spool) == firsts[2:]
    assert remove_acknowledged(spool, 1 << 40) == len(firsts) - 3
    assert segment.first_sequences(spool) == firsts[-1:]
    assert scan(spool).first_sequence in {0, firsts[-1]}


def test_a_reader_goes_on_while_segments_go(writer: SpoolWriter, spool: Path) -> None:
    reader = SpoolReader(spool)
    read: list[bytes] = []
    for sequence in range(FIRST, FIRST + 60):
        writer.append([event(sequence, "x" * 60)])
        if sequence % 5 == 0:
            read += reader.read(1 << 20)
            remove_acknowledged(spool, reader.last_sequence)
    read += reader.read(1 << 20)

    assert read == [event(sequence, "x" * 60) for sequence in range(FIRST, FIRST + 60)]
    reader.close()


def test_a_segment_is_begun_only_when_the_one_before_is_on_the_disk(
    writer: SpoolWriter, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    flush, open_file = os.fdatasync, os.open
    monkeypatch.setattr(os, "fdatasync", lambda file: (done.append("flush"), flush(file))[1])

    def opened(path: Any, flags: int, *mode: int) -> int:
        if flags & os.O_CREAT:
            done.append("create")
        return open_file(path, flags, *mode)

    monkeypatch.setattr(os, "open", opened)
    for sequence in range(FIRST, FIRST + 12):
        writer.append([event(sequence, "x" * 60)])

    assert done == ["flush", "create"] * (len(segment.first_sequences(spool)) - 1) != []


def test_a_flusher_flushes_what_is_new(writer: SpoolWriter, spool: Path) -> None:
    flusher = SpoolFlusher(spool)

    assert [flusher.flush(), flusher.flush()] == [True, False]  # the head
    writer.append([event(FIRST)])
    assert [flusher.flush(), flusher.flush()] == [True, False]
    for sequence in range(FIRST + 1, FIRST + 20):
        writer.append([event(sequence, "x" * 100)])
    assert [flusher.flush(), flusher.flush()] == [True, False]
    flusher.close()
    assert not SpoolFlusher(spool.parent / "nothing").flush()


# The format.


def test_the_bytes_are_those_of_the_golden_segment(spool: Path) -> None:
    """A spool outlives the release that wrote it. If this fails the format has a new version."""
    write(spool, ["one", "zwei \U0001f600", ""])

    assert segment.path_of(spool, FIRST).read_bytes() == GOLDEN.read_bytes()


def test_the_golden_segment_is_read(spool: Path) -> None:
    assert read_all(GOLDEN.parent) == [event(FIRST, "one"), event(FIRST + 1, "zwei \U0001f600"), event(FIRST + 2)]


def test_every_segment_carries_what_came_before_it(spool: Path) -> None:
    events = write(spool, ["x" * 70] * 12, segment_bytes=300)
    for first in segment.first_sequences(spool)[1:]:
        head = segment.read_head(spool, first)
        before = events[: first - FIRST]

        assert head is not None
        assert (head.last_sequence, head.event_count) == (first - 1, len(before))
        assert head.digest == chain_over(before)
        assert head.record_bytes == sum(len(data) + 24 for data in before)
        assert (head.stdout_offset, head.stderr_offset) == (len(before), 2 * (len(before) - 1))
