"""Writing events and results to a file, while a run goes on too, at constant memory.

    with open_writer("results.parquet", what="results") as writer:
        writer.write(client.runs.results(run.id))

| format | by suffix | what is in it |
| --- | --- | --- |
| `jsonl` | `.jsonl`, `.ndjson` | a document a line, as `--json` prints it, every number as it was recorded |
| `csv` | `.csv` | a table; a value is JSON text, a value that is a number is in `number` too |
| `parquet` | `.parquet`, `.pq` | the same table with types, in row groups; needs the extra `parquet` |

A name that ends in `.gz` behind that, `events.jsonl.gz`, is compressed with gzip; Parquet is compressed anyway.

A run that goes on is exported as far as it has come. Results taken from a watch are never marked as superseded:
a later attempt may still do that, and a listing of results tells it.

Columns of results: sequence, attempt, time, key, value, number, superseded. Columns of events: sequence, attempt, time,
kind, level, message, source, metadata, key, value, number, data. Parquet has `integer` behind `number`.
"""

import errno
import gzip
import io
import os
import stat
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from athanor.client import _extras, _sinks
from athanor.client._partial import Partial
from athanor.client.events import Event, Result

What: TypeAlias = Literal["events", "results"]

STANDARD_OUTPUT = "-"


class Format(StrEnum):
    """How a file is written."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


_SUFFIXES = {
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".csv": Format.CSV,
    ".parquet": Format.PARQUET,
    ".pq": Format.PARQUET,
}


def format_of(path: str | os.PathLike[str], format: str | None = None) -> Format:
    """Return the format asked for, or else what the suffix says; JSON Lines on standard output.

    Raises ValueError when there is no such format, when the suffix says nothing, and for Parquet on standard output or
    under a name that ends in `.gz`.
    """
    known = ", ".join(one.value for one in Format)
    if format is not None:
        if format not in [*Format]:
            raise ValueError(f"there is no format {format!r}: choose one of {known}")
        chosen = Format(format)
    elif os.fspath(path) == STANDARD_OUTPUT:
        chosen = Format.JSONL
    else:
        suffix = _uncompressed(Path(path)).suffix.lower()
        if suffix not in _SUFFIXES:
            raise ValueError(f"the name {os.fspath(path)!r} does not say in which format: choose one of {known}")
        chosen = _SUFFIXES[suffix]
    if chosen is Format.PARQUET and os.fspath(path) == STANDARD_OUTPUT:
        raise ValueError("parquet cannot go to standard output: name a file, or choose jsonl or csv")
    if chosen is Format.PARQUET and _is_compressed(Path(path)):
        raise ValueError("parquet is compressed by itself: leave out .gz")
    return chosen


def open_writer(path: str | os.PathLike[str], format: str | None = None, what: What = "results") -> "Writer":
    """Open `path` for events or for results; `-` is standard output.

    The format is that of the suffix unless `format` says otherwise. Raises ValueError as `format_of` does, OSError when
    the file cannot be written, the BlockingIOError among them while another export to it is under way, and
    MissingExtraError for Parquet without pyarrow: all at once, before anything is fetched.
    """
    if what not in _sinks.COLUMNS:
        raise ValueError(f"there is no export of {what!r}: choose events or results")
    return Writer(path, format_of(path, format), what)


class Writer:
    """An open export.

    Until it ends a file has another name, `NAME.partial.SUFFIX` beside the one asked for, and takes its name only when
    it is whole; what had that name before is replaced then. When an export is interrupted, or fails, what was written
    by then is kept, readable, under the partial name, and a note on the exception says so. The next one writes over it,
    from its first event on: one that fails before leaves it as it is.
    What exists and is no regular file (a pipe, a device) is written to directly.
    """

    def __init__(self, path: str | os.PathLike[str], format: Format, what: What) -> None:
        self._what: What = what
        self._count = 0
        self._last_sequence = 0
        self._target: Path | None = None
        self._partial: Partial | None = None
        self._format = format
        self._file: Any = sys.stdout  # of what is written; standard output stays open
        self._sink: _sinks.Sink | None = None  # since the first write
        self._closing = ExitStack()
        self._at_once = os.fspath(path) == STANDARD_OUTPUT
        if format is Format.PARQUET:
            _extras.load("pyarrow")
        if not self._at_once:
            # A link stays what it is: the file that it leads to is replaced.
            self._target = Path(os.path.realpath(path))
            if partial := _partial(self._target):
                self._partial = Partial(partial, self._target, os.fspath(path))
                file = self._partial.writable()
            else:
                file = open(self._target, "wb")  # noqa: SIM115 - the stack closes it
            self._file = self._closing.enter_context(file)

    @property
    def count(self) -> int:
        """How many have been written."""
        return self._count

    @property
    def last_sequence(self) -> int:
        """How far it has come: the place in the log of the last one written; 0: none yet."""
        return self._last_sequence

    def write(self, items: Iterable[Event]) -> None:
        """Write each of them as it comes: a listing, a page of one, an EventBatch.

        Raises TypeError for an event in an export of results that is no result.
        """
        for item in items:
            if self._what == "results" and not isinstance(item, Result):
                raise TypeError(f"an export of results takes results, not {type(item).__name__}")
            (self._sink or self._begin()).write(item)
            self._count += 1
            self._last_sequence = item.sequence
            if self._at_once:  # somebody may be reading along
                self._file.flush()

    def close(self) -> None:
        """End the export: the file is whole and takes its name."""
        try:
            self._finish(self._sink or self._begin())
        except BaseException:
            self._leave()
            raise
        if self._partial is not None:
            self._partial.complete()

    def abandon(self) -> Path | None:
        """End the export unfinished. Return where what was written by then is kept; None: nowhere, or nothing was."""
        try:
            if self._sink is None:
                self._closing.close()
                return None
            self._finish(self._sink)
            return self._partial.path if self._partial is not None else None
        finally:
            self._leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        try:
            kept = self.abandon()
        except Exception as second:  # noqa: BLE001 - the first error is what matters: this one comes of it, mostly
            error.add_note(f"the export is broken off, and what was written may not be readable: {second}")
            return
        if kept is not None:
            error.add_note(f"the {self._count} {self._what} that were exported before that are in {kept}")

    def _begin(self) -> _sinks.Sink:
        """Write from here on: what an earlier export left is gone."""
        if self._partial is not None:
            self._file.truncate(0)
        if not self._at_once and self._format is not Format.PARQUET:
            self._file = self._closing.enter_context(_text(self._file, self._target))
        self._sink = _sink(self._file, self._format, self._what)
        return self._sink

    def _finish(self, sink: _sinks.Sink) -> None:
        with self._closing:
            sink.close()
            self._file.flush()

    def _leave(self) -> None:
        if self._partial is not None:
            self._partial.leave()


def _partial(target: Path) -> Path | None:
    """The name to write under; None for what has to be written to directly."""
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        if not target.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "there is no such folder", str(target.parent)) from None
        mode = stat.S_IFREG
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(f"{target} is a folder: name a file in it")
    if not stat.S_ISREG(mode):
        return None
    name = _uncompressed(target)
    return target.with_name(f"{name.stem}.partial{name.suffix}{'.gz' if _is_compressed(target) else ''}")


def _text(file: Any, target: Path | None) -> Any:
    # The writers end lines as their formats have it.
    if target is not None and _is_compressed(target):
        return gzip.open(file, "wt", compresslevel=6, encoding="utf-8", newline="")
    return io.TextIOWrapper(file, encoding="utf-8", newline="")


def _is_compressed(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


def _uncompressed(path: Path) -> Path:
    return path.with_suffix("") if _is_compressed(path) else path


def _sink(file: Any, format: Format, what: What) -> _sinks.Sink:
    match format:
        case Format.JSONL:
            return _sinks.JsonLines(file, what)
        case Format.CSV:
            return _sinks.Csv(file, what)
        case Format.PARQUET:
            return _sinks.Parquet(file, what)
