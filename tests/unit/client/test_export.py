"""Events and results in files."""

import csv
import errno
import fcntl
import gzip
import io
import json
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from athanor.client import (
    AttemptStarted,
    CodeVersion,
    Event,
    LogEntry,
    LogLevel,
    MissingExtraError,
    RunState,
    StateChanged,
    _documents,
    _sinks,
)
from athanor.client.export import Format, What, Writer, format_of, open_writer
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from tests.support.found import AT, result, result_text
from tests.support.jsonvalues import documents, names

FORMATS = ("jsonl", "csv", "parquet")
LARGE = 2**53 + 1
RESULTS = [
    result("loss", 0.5, 1),
    result("loss", LARGE, 2, superseded=True),
    result("eval", {"a": [1, "x"]}, 3),
    result_text("exact", "1.000000000000000000001", 4),
]
EVENTS: list[Event] = [
    StateChanged(1, 0, AT, RunState.RUNNING, "taken"),
    AttemptStarted(2, 1, AT, "runner", CodeVersion("abc"), '{"n": 3}'),
    LogEntry(3, 1, AT, LogLevel.INFO, 'two\r\nlines, "quoted"', '{"i": 1}', "stdout"),
    result("loss", 0.5, 4),
]


def written(path: Path, items: Sequence[Event], what: What = "results", format: str | None = None) -> Path:
    with open_writer(path, format, what) as writer:
        writer.write(items)
        assert writer.count == len(items)
    return path


def break_off(path: Path, items: Sequence[Event], error: BaseException) -> None:
    with open_writer(path) as writer:
        writer.write(items)
        raise error


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of any of the formats, each as it comes."""
    match path.suffix:
        case ".jsonl":
            return [json.loads(line) for line in path.read_text().splitlines()]
        case ".csv":
            with path.open(newline="", encoding="utf-8") as file:
                return list(csv.DictReader(file))
        case _:
            return parquet.read_table(path).to_pylist()


@pytest.mark.parametrize(
    ("path", "format", "found"),
    [
        ("a.jsonl", None, Format.JSONL),
        ("a.ndjson", None, Format.JSONL),
        ("a.CSV", None, Format.CSV),
        ("a.b.parquet", None, Format.PARQUET),
        ("a.pq", None, Format.PARQUET),
        ("a.txt", "csv", Format.CSV),
        ("a.csv", "jsonl", Format.JSONL),
        ("a.jsonl.gz", None, Format.JSONL),
        ("a.b.CSV.GZ", None, Format.CSV),
        ("a.gz", "csv", Format.CSV),
        ("-", None, Format.JSONL),
        ("-", "csv", Format.CSV),
    ],
)
def test_the_format_is_that_of_the_name_unless_another_is_asked_for(path: str, format: str | None, found: Format):
    assert format_of(path, format) is found


@pytest.mark.parametrize(
    ("path", "format", "error"),
    [
        ("a.txt", None, "the name 'a.txt' does not say in which format: choose one of jsonl, csv, parquet"),
        ("a", None, "the name 'a' does not say in which format: choose one of jsonl, csv, parquet"),
        ("a.gz", None, "the name 'a.gz' does not say in which format: choose one of jsonl, csv, parquet"),
        ("a.parquet.gz", None, "parquet is compressed by itself: leave out .gz"),
        ("a.csv", "xml", "there is no format 'xml': choose one of jsonl, csv, parquet"),
        ("-", "parquet", "parquet cannot go to standard output: name a file, or choose jsonl or csv"),
    ],
)
def test_what_the_format_cannot_be(path: str, format: str | None, error: str):
    with pytest.raises(ValueError) as caught:
        format_of(path, format)
    assert str(caught.value) == error


def test_results_as_json_lines(tmp_path: Path):
    path = written(tmp_path / "a.jsonl", RESULTS)
    assert path.read_text().splitlines() == [_documents.result_json(item) for item in RESULTS]
    assert [row["value"] for row in read(path)] == [0.5, LARGE, {"a": [1, "x"]}, 1.0]


def test_events_as_json_lines(tmp_path: Path):
    path = written(tmp_path / "a.jsonl", EVENTS, "events")
    assert path.read_text().splitlines() == [_documents.event_json(item) for item in EVENTS]


def test_results_as_a_table(tmp_path: Path):
    path = written(tmp_path / "a.csv", RESULTS)
    assert path.read_bytes().decode().split("\r\n") == [
        "sequence,attempt,time,key,value,number,superseded",
        "1,1,2026-01-02T03:04:06.678901Z,loss,0.5,0.5,false",
        f"2,1,2026-01-02T03:04:07.678901Z,loss,{LARGE},{LARGE},true",
        '3,1,2026-01-02T03:04:08.678901Z,eval,"{""a"": [1, ""x""]}",,false',
        "4,1,2026-01-02T03:04:09.678901Z,exact,1.000000000000000000001,1.000000000000000000001,false",
        "",
    ]


def test_events_as_a_table(tmp_path: Path):
    rows = read(written(tmp_path / "a.csv", EVENTS, "events"))
    assert list(rows[0]) == [
        "sequence",
        "attempt",
        "time",
        "kind",
        "level",
        "message",
        "source",
        "metadata",
        "key",
        "value",
        "number",
        "data",
    ]
    assert [row["kind"] for row in rows] == ["state_change", "attempt_started", "log", "result"]
    assert json.loads(rows[0]["data"]) == {"state": "RUNNING", "reason": "taken"}
    assert json.loads(rows[1]["data"])["configuration"] == {"n": 3}
    assert (rows[2]["level"], rows[2]["message"]) == ("info", 'two\r\nlines, "quoted"')
    assert (rows[2]["metadata"], rows[2]["source"], rows[2]["data"]) == ('{"i": 1}', "stdout", "")
    assert (rows[3]["key"], rows[3]["value"], rows[3]["number"]) == ("loss", "0.5", "0.5")


def test_results_as_parquet(tmp_path: Path):
    path = written(tmp_path / "a.parquet", RESULTS)
    table = parquet.read_table(path)
    assert table.schema.names == ["sequence", "attempt", "time", "key", "value", "number", "integer", "superseded"]
    assert [str(kind) for kind in table.schema.types] == [
        *("int64", "int32", "timestamp[us, tz=UTC]", "string", "string", "double", "int64", "bool"),
    ]
    rows = read(path)
    assert [row["value"] for row in rows] == [item.value_json for item in RESULTS]
    assert [row["number"] for row in rows] == [0.5, None, None, 1.0]
    assert [row["integer"] for row in rows] == [None, LARGE, None, None]
    assert [row["time"] for row in rows] == [item.time for item in RESULTS]
    assert [row["superseded"] for row in rows] == [False, True, False, False]


def test_events_as_parquet(tmp_path: Path):
    path = written(tmp_path / "a.parquet", EVENTS, "events")
    rows = read(path)
    assert list(rows[0]) == (
        [
            "sequence",
            "attempt",
            "time",
            "kind",
            "level",
            "message",
            "source",
            "metadata",
            "key",
            "value",
            "number",
            "integer",
            "data",
        ]
    )
    assert [row["message"] for row in rows] == [None, None, 'two\r\nlines, "quoted"', None]
    assert [row["number"] for row in rows] == [None, None, None, 0.5]


@pytest.mark.parametrize(
    ("text", "number", "integer"),
    [
        ("3", 3.0, 3),
        ("-0", 0.0, 0),
        ("3.0", 3.0, None),
        (str(LARGE), None, LARGE),
        (str(2**63), float(2**63), None),
        (str(2**63 + 1), None, None),
        ("1e999", None, None),
        ("1" + "0" * 400, None, None),
        ("1" + "0" * 5000, None, None),
        ('"3"', None, None),
        ("true", None, None),
        ("null", None, None),
        ("[3]", None, None),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_typed_number_is_exactly_the_number_or_is_missing(text: str, number: Any, integer: Any):
    file = io.BytesIO()
    sink = _sinks.Parquet(file, "results")
    sink.write(result_text("k", text))
    sink.close()
    (row,) = parquet.read_table(io.BytesIO(file.getvalue())).to_pylist()
    assert (row["value"], row["number"], row["integer"]) == (text, number, integer)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("what", ["results", "events"])
def test_an_export_of_nothing_is_a_whole_file(format: str, what: What, tmp_path: Path):
    assert read(written(tmp_path / f"a.{format}", [], what)) == []


@given(st.lists(st.tuples(names, documents), max_size=5))
def test_json_lines_can_be_read_again(found: list[tuple[str, Any]]):
    file = io.StringIO()
    items = [result(key, value, index) for index, (key, value) in enumerate(found, 1)]
    for item in items:
        _sinks.JsonLines(file, "results").write(item)
    lines = file.getvalue().split("\n")
    assert lines.pop() == ""
    assert [(row["key"], row["value"]) for row in map(json.loads, lines)] == found


@given(st.lists(st.tuples(names, documents, names), max_size=5))
def test_tables_can_be_read_again(found: list[tuple[str, Any, str]]):
    file, whole = io.StringIO(newline=""), io.BytesIO()
    sinks = [_sinks.Csv(file, "events"), _sinks.Parquet(whole, "events")]
    for index, (key, value, message) in enumerate(found):
        for sink in sinks:
            sink.write(result(key, value, 2 * index + 1))
            sink.write(LogEntry(2 * index + 2, 1, AT, LogLevel.INFO, message))
    for sink in sinks:
        sink.close()
    file.seek(0)
    for rows in (list(csv.DictReader(file)), parquet.read_table(io.BytesIO(whole.getvalue())).to_pylist()):
        read_back = [(row["key"], json.loads(row["value"])) for row in rows[::2]]
        assert read_back == [(key, value) for key, value, _ in found]
        assert [row["message"] for row in rows[1::2]] == [message for _, _, message in found]


def test_parquet_is_written_in_groups_of_bounded_size(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_sinks, "GROUP_ROWS", 10)
    monkeypatch.setattr(_sinks, "GROUP_CHARACTERS", 1000)
    file = io.BytesIO()
    sink = _sinks.Parquet(file, "results")
    for index in range(1, 26):
        sink.write(result("k", index, index))
    sink.write(result("k", "x" * 1000, 26))  # together with five short ones
    sink.write(result("k", 27, 27))
    sink.close()
    metadata = parquet.read_metadata(io.BytesIO(file.getvalue()))
    assert [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)] == [10, 10, 6, 1]


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_has_its_name_when_it_is_whole(format: str, tmp_path: Path):
    path = tmp_path / f"a.{format}"
    path.write_text("what was there before")
    with open_writer(path) as writer:
        writer.write(RESULTS)
        assert path.read_text() == "what was there before"
        assert sorted(os.listdir(tmp_path)) == sorted([f"a.{format}", f"a.partial.{format}"])
    assert os.listdir(tmp_path) == [f"a.{format}"]
    assert len(read(path)) == len(RESULTS)


@pytest.mark.parametrize("format", FORMATS)
def test_what_an_interrupted_export_has_written_is_kept_under_another_name(format: str, tmp_path: Path):
    path = tmp_path / f"a.{format}"
    with pytest.raises(KeyboardInterrupt) as caught:
        break_off(path, RESULTS[:3], KeyboardInterrupt())
    partial = tmp_path / f"a.partial.{format}"
    assert caught.value.__notes__ == [f"the 3 results that were exported before that are in {partial}"]
    assert os.listdir(tmp_path) == [partial.name]
    assert len(read(partial)) == 3


@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_what_is_compressed_is_the_same(format: str, tmp_path: Path):
    plain, compressed = tmp_path / f"a.{format}", tmp_path / f"b.{format}.gz"
    written(plain, RESULTS)
    with open_writer(compressed) as writer:
        writer.write(RESULTS)
        assert sorted(os.listdir(tmp_path)) == [plain.name, f"b.partial.{format}.gz"]
    assert gzip.decompress(compressed.read_bytes()) == plain.read_bytes()


def test_what_an_interrupted_export_has_compressed_can_be_read(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt):
        break_off(tmp_path / "a.csv.gz", RESULTS[:2], KeyboardInterrupt())
    assert os.listdir(tmp_path) == ["a.partial.csv.gz"]
    assert gzip.decompress((tmp_path / "a.partial.csv.gz").read_bytes()).count(b"\r\n") == 3


def test_how_far_an_export_has_come(tmp_path: Path):
    with open_writer(tmp_path / "a.csv") as writer:
        assert (writer.count, writer.last_sequence) == (0, 0)
        writer.write([RESULTS[0], RESULTS[3]])
        assert (writer.count, writer.last_sequence) == (2, 4)


def test_an_interruption_while_a_group_is_made_loses_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_sinks, "GROUP_ROWS", 2)
    file = io.BytesIO()
    sink = _sinks.Parquet(file, "results")
    whole = sink._arrow

    class Interrupted:
        class Table:
            @staticmethod
            def from_pylist(*_: Any, **__: Any) -> None:
                raise KeyboardInterrupt

    sink.write(RESULTS[0])
    sink._arrow = Interrupted
    with pytest.raises(KeyboardInterrupt):
        sink.write(RESULTS[1])
    sink._arrow = whole
    sink.close()
    assert parquet.read_table(io.BytesIO(file.getvalue()))["sequence"].to_pylist() == [1, 2]


def test_the_next_export_writes_over_what_an_interrupted_one_left(tmp_path: Path):
    with pytest.raises(RuntimeError):
        break_off(tmp_path / "a.csv", RESULTS, RuntimeError())
    written(tmp_path / "a.csv", RESULTS[:1])
    assert os.listdir(tmp_path) == ["a.csv"]
    assert len(read(tmp_path / "a.csv")) == 1


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet", "jsonl.gz"])
def test_an_export_that_writes_nothing_leaves_what_an_interrupted_one_left(suffix: str, tmp_path: Path):
    path, partial = tmp_path / f"a.{suffix}", tmp_path / f"a.partial.{suffix}"
    with pytest.raises(RuntimeError):
        break_off(path, RESULTS, RuntimeError())
    left = partial.read_bytes()
    with pytest.raises(RuntimeError) as caught:
        break_off(path, [], RuntimeError())
    assert partial.read_bytes() == left
    assert not hasattr(caught.value, "__notes__")
    written(path, RESULTS[:1])
    assert os.listdir(tmp_path) == [path.name]
    assert len(path.read_bytes()) < len(left)


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet", "csv.gz"])
def test_an_export_that_fails_before_its_first_event_leaves_no_file(suffix: str, tmp_path: Path):
    path = tmp_path / f"a.{suffix}"
    with pytest.raises(RuntimeError):
        break_off(path, [], RuntimeError())
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("format", FORMATS)
def test_of_two_exports_to_one_name_at_once_the_second_is_refused(format: str, tmp_path: Path):
    path = tmp_path / f"a.{format}"
    with open_writer(path) as first:
        with pytest.raises(BlockingIOError) as refused:
            open_writer(path)  # also while the first has nothing yet
        assert (refused.value.strerror, refused.value.filename) == ("another export to it is under way", str(path))
        first.write(RESULTS[:2])
        with pytest.raises(BlockingIOError):
            written(path, RESULTS)
        first.write(RESULTS[2:])
    assert os.listdir(tmp_path) == [path.name]
    assert len(read(path)) == len(RESULTS)
    assert len(read(written(path, RESULTS[:1]))) == 1, "it is free again"


def test_after_an_export_that_failed_the_name_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "a.csv"
    for items in ([], RESULTS[:1]):
        with pytest.raises(RuntimeError):
            break_off(path, items, RuntimeError())
    with monkeypatch.context() as patch:
        patch.setattr(_sinks, "Csv", lambda *_: FullDisk())
        with pytest.raises(OSError, match="No space left"):
            written(path, RESULTS)
    assert len(read(written(path, RESULTS))) == len(RESULTS)


def test_what_an_export_completes_while_the_next_one_opens_is_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "a.jsonl"
    first = open_writer(path)
    first.write(RESULTS)
    lock = fcntl.flock

    def after_the_end_of_the_first(descriptor: int, operation: int) -> None:
        monkeypatch.undo()
        first.close()  # its partial file, which is open here by now, is the whole one from now on
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", after_the_end_of_the_first)
    with open_writer(path) as second:
        second.write(RESULTS[:1])
        assert len(read(path)) == len(RESULTS)
    assert len(read(path)) == 1


def test_where_files_cannot_be_locked_they_are_written_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def without_locks(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", without_locks)
    assert len(read(written(tmp_path / "a.csv", RESULTS))) == len(RESULTS)


class FullDisk:
    """A sink whose disk is full from the beginning."""

    def write(self, item: Event) -> None:
        raise OSError(28, "No space left on device")

    def close(self) -> None:
        raise OSError(28, "still none")


def test_a_full_disk_is_what_is_told_and_no_whole_file_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_sinks, "Csv", lambda *_: FullDisk())
    with pytest.raises(OSError, match="No space left on device") as caught, open_writer(tmp_path / "a.csv") as writer:
        writer.write(RESULTS[:1])
    (note,) = caught.value.__notes__
    assert note.startswith("the export is broken off, and what was written may not be readable")
    assert os.listdir(tmp_path) == [], "nor an empty one"


def test_a_file_that_could_not_be_finished_does_not_take_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_sinks, "Csv", lambda *_: FullDisk())
    with pytest.raises(OSError, match="still none"), open_writer(tmp_path / "a.csv"):
        pass
    assert os.listdir(tmp_path) == [], "nor an empty one"


def test_a_link_stays_a_link(tmp_path: Path):
    (tmp_path / "there").mkdir()
    (tmp_path / "a.csv").symlink_to(tmp_path / "there" / "b.csv")
    written(tmp_path / "a.csv", RESULTS)
    assert (tmp_path / "a.csv").is_symlink()
    assert os.listdir(tmp_path / "there") == ["b.csv"]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400])
def test_a_file_that_is_replaced_keeps_its_permissions(mode: int, tmp_path: Path):
    path, partial = tmp_path / "a.csv", tmp_path / "a.partial.csv"
    partial.write_text("left by an export of before")
    path.touch()
    path.chmod(mode)
    with open_writer(path) as writer:
        assert stat.S_IMODE(partial.stat().st_mode) == mode | stat.S_IWUSR, "already before there is something in it"
        writer.write(RESULTS)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_pipe_is_written_to_directly(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDWR | os.O_NONBLOCK)
    try:
        written(tmp_path / "pipe", RESULTS[:1], format="jsonl")
        assert os.read(reader, 1000).decode() == _documents.result_json(RESULTS[0]) + "\n"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert os.listdir(tmp_path) == ["pipe"]


def test_what_cannot_be_written_is_refused_before_anything_is_fetched(tmp_path: Path):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(IsADirectoryError, match=r"folder\.csv is a folder: name a file in it"):
        open_writer(tmp_path / "folder.csv")
    with pytest.raises(FileNotFoundError, match=r"there is no such folder: '.*/nowhere'$"):
        open_writer(tmp_path / "nowhere" / "a.csv")
    with pytest.raises(ValueError, match="there is no export of 'logs': choose events or results"):
        open_writer(tmp_path / "a.csv", what="logs")
    (tmp_path / "a.partial.csv").mkdir()
    with pytest.raises(IsADirectoryError, match=r"a\.partial\.csv"):
        open_writer(tmp_path / "a.csv")
    assert sorted(os.listdir(tmp_path)) == ["a.partial.csv", "folder.csv"]


def test_parquet_without_its_library_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        MissingExtraError, match=r"pyarrow is not installed: pip install pyarrow \(Athanor's extra 'parquet'\)"
    ):
        open_writer(tmp_path / "a.parquet")
    assert os.listdir(tmp_path) == []


def test_an_export_of_results_takes_nothing_else(tmp_path: Path):
    with pytest.raises(TypeError, match="takes results, not LogEntry"), open_writer(tmp_path / "a.csv") as writer:
        writer.write(EVENTS[2:3])


@pytest.mark.parametrize(("format", "heading"), [("jsonl", 0), ("csv", 1)])
def test_standard_output_has_each_line_at_once_and_stays_open(
    format: str, heading: int, monkeypatch: pytest.MonkeyPatch
):
    pipe = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(pipe, encoding="utf-8", newline=""))
    with open_writer("-", format) as writer:
        for count, item in enumerate(RESULTS, 1):
            writer.write([item])
            assert pipe.getvalue().count(b"\n") == heading + count
    assert not sys.stdout.closed


def test_standard_output_that_is_abandoned_leaves_no_file():
    writer = Writer("-", Format.JSONL, "results")
    assert writer.abandon() is None
