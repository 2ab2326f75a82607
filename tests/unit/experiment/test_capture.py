"""Captured output becomes log entries: every line once, wherever the reading stops."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from athanor.experiment import text
from athanor.experiment.capture import CHUNK_BYTES, OutputCapture, split, tail
from athanor.experiment.spool import SpoolReader, SpoolWriter
from athanor.v1 import run_event_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

LONG = text.MAX_LINE_BYTES


def lines_of(data: bytes, *, final: bool = True) -> list[bytes]:
    return [line.text for line in split(data, final=final).lines]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b"one\ntwo\n", [b"one", b"two"]),
        (b"one\n\ntwo", [b"one", b"", b"two"]),
        (b"dos\r\nlines\r\n", [b"dos", b"lines"]),
        (b" 1%\r 50%\r100%\ndone\n", [b"100%", b"done"]),
        (b"\r 1%\r100%\r", [b"100%"]),
        (b"\r\r\n", [b""]),
        (b"nul \0 here\n", [b"nul \\x00 here"]),
        (b"latin \xfc\n", [b"latin \\xfc"]),
        ("ü\n".encode(), ["ü".encode()]),
    ],
)
def test_lines(data: bytes, expected: list[bytes]) -> None:
    assert lines_of(data) == expected


def test_an_unfinished_line_waits_for_its_end() -> None:
    assert split(b"whole\npart", final=False) == ([(b"whole", 6)], 6)
    assert split(b"whole\npart", final=True) == ([(b"whole", 6), (b"part", 10)], 10)


def test_a_long_line_is_cut_between_characters() -> None:
    data = "ü".encode() * LONG + b"\n"
    got = split(data, final=False)

    assert b"".join(line.text for line in got.lines) == data[:-1]
    assert all(len(line.text) <= LONG and line.text.decode() for line in got.lines)
    assert got.lines[-1].end == len(data)


def test_a_long_line_without_end_is_not_waited_for() -> None:
    data = b"x" * (2 * LONG + 5)
    got = split(data, final=False)

    assert [len(line.text) for line in got.lines] == [LONG, LONG]
    assert got.end == 2 * LONG


def test_a_progress_bar_without_end_is_dropped_up_to_what_it_shows_last() -> None:
    data = b"".join(b"%6d%%\r" % count for count in range(20_000))
    got = split(data, final=False)

    assert got == ([], len(data) - 8)
    assert data[got.end :] == b" 19999%\r"


@given(
    st.lists(st.sampled_from([b"a", b"\n", b"\r", b"\0", "ü".encode(), b"\xff", b"x" * 100]), max_size=60),
    st.integers(0, 60),
)
def test_going_on_from_any_line_gives_the_same_lines(parts: list[bytes], index: int) -> None:
    data = b"".join(parts)
    whole = split(data, final=True).lines
    for line in whole[index : index + 1]:
        assert lines_of(data[: line.end], final=True)[: index + 1] == [shown.text for shown in whole[: index + 1]]
        assert lines_of(data[line.end :]) == [shown.text for shown in whole[index + 1 :]]


def logs(folder: Path) -> Iterator[run_event_pb2.RunEvent]:
    with closing(SpoolReader(folder / "spool")) as reader:
        for data in reader.read(1 << 30):
            yield run_event_pb2.RunEvent.FromString(data)


def drain(folder: Path, *, final: bool = True) -> None:
    with (
        closing(SpoolWriter.resume(folder / "spool", 2)) as writer,
        closing(OutputCapture(folder, writer.position)) as capture,
    ):
        while capture.record(writer, 1, 1_700_000_000_000_000_000, final=final):
            pass


def test_both_files_become_events_with_their_source(tmp_path: Path) -> None:
    (tmp_path / "stdout").write_bytes(b"out 1\nout 2\n")
    (tmp_path / "stderr").write_bytes(b"err 1\nlast words")

    drain(tmp_path)

    events = list(logs(tmp_path))
    assert [(event.sequence, event.attempt, event.log.source, event.log.message) for event in events] == [
        (2, 1, "stdout", "out 1"),
        (3, 1, "stdout", "out 2"),
        (4, 1, "stderr", "err 1"),
        (5, 1, "stderr", "last words"),
    ]
    assert {event.log.level for event in events} == {run_event_pb2.LOG_LEVEL_INFO}


@given(st.lists(st.binary(max_size=30), max_size=30), st.integers(0, 2000))
@settings(max_examples=60, deadline=None)
def test_a_kill_at_any_byte_of_the_spool_neither_doubles_a_line_nor_loses_one(written: list[bytes], cut: int) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "stdout").write_bytes(b"\n".join(written))
        (folder / "stderr").write_bytes(b"\n".join(reversed(written)))
        drain(folder)
        expected = [event.log for event in logs(folder)]
        path = folder / "spool" / f"{2:020d}.seg"
        path.write_bytes(path.read_bytes()[: 128 + cut])

        drain(folder)

        assert [event.log for event in logs(folder)] == expected


def test_large_output_is_taken_in_chunks(tmp_path: Path) -> None:
    (tmp_path / "stdout").write_bytes(b"x" * 99 + b"\n" + b"y" * 99 + b"\n" * (CHUNK_BYTES // 50))
    with (
        closing(SpoolWriter.open(tmp_path / "spool", 2)) as writer,
        closing(OutputCapture(tmp_path)) as capture,
    ):
        sizes = list(iter(lambda: capture.record(writer, 1, 0, final=True), 0))

        assert capture.pending() == 0
        assert max(sizes) <= CHUNK_BYTES
        assert sum(sizes) == (tmp_path / "stdout").stat().st_size


def test_no_file_is_no_output(tmp_path: Path) -> None:
    with (
        closing(SpoolWriter.open(tmp_path / "spool", 2)) as writer,
        closing(OutputCapture(tmp_path)) as capture,
    ):
        assert (capture.pending(), capture.record(writer, 1, 0, final=True)) == (0, 0)


def test_the_tail_of_a_file_begins_with_a_line(tmp_path: Path) -> None:
    path = tmp_path / "stderr"
    assert tail(path) == ""
    path.write_bytes(b"first line\nsecond \xff line\n 1%\r 2%\n")

    assert tail(path) == "first line\nsecond \\xff line\n 2%"
    assert tail(path, 24) == "second \\xff line\n 2%"


@given(st.text(st.characters()))
def test_text_is_repaired_and_what_needs_none_is_left_alone(value: str) -> None:
    data = text.encode(value)

    assert b"\0" not in data
    if "\0" not in value and value.encode(errors="ignore").decode() == value:
        assert data.decode() == value


def test_repairs_are_visible() -> None:
    assert text.encode("a\0b\udc80c\ud800") == b"a\\x00b\\udc80c\\ud800"
