"""Where exported events and results go: JSON Lines, CSV, Parquet, each at constant memory."""

import csv
import math
from collections.abc import Callable
from typing import IO, Any, Protocol, TextIO

from athanor.client import _documents, _extras, _json
from athanor.client.events import Event, LogEntry, Result

# Columns of a table, in order, with their types in Parquet. A name is never changed, and a new one goes to the end:
# programs read them.
RESULTS = {
    "sequence": "int64",
    "attempt": "int32",
    "time": "timestamp",
    "key": "string",
    "value": "string",  # JSON text, exactly as recorded
    "number": "float64",  # of a value that is a number
    "superseded": "bool",
}
EVENTS = {
    "sequence": "int64",
    "attempt": "int32",
    "time": "timestamp",
    "kind": "string",
    "level": "string",  # of log entries, as the next three
    "message": "string",
    "source": "string",
    "metadata": "string",  # JSON text; empty: none
    "key": "string",  # of results, as the next two
    "value": "string",
    "number": "float64",
    "data": "string",  # JSON text: all that an event of another kind has
}
COLUMNS = {"results": RESULTS, "events": EVENTS}

# A row group is written when it has one of these: what is held in memory is never much more.
GROUP_ROWS = 50_000
GROUP_CHARACTERS = 8 << 20


class Sink(Protocol):
    """A format."""

    def write(self, item: Event) -> None:
        """Take one more."""
        ...

    def close(self) -> None:
        """Write what is left; the file is closed by who opened it."""
        ...


class JsonLines:
    """One JSON document a line, as `--json` prints it."""

    def __init__(self, file: TextIO, what: str) -> None:
        self._file = file
        self._json: Callable[[Any], str] = _documents.result_json if what == "results" else _documents.event_json

    def write(self, item: Event) -> None:
        self._file.write(self._json(item) + "\n")

    def close(self) -> None:
        pass


class Csv:
    """A table as RFC 4180 has it: a header, and lines that end in CRLF. What is missing is empty, numbers are exact."""

    def __init__(self, file: TextIO, what: str) -> None:
        self._columns = tuple(COLUMNS[what])
        self._writer = csv.writer(file)
        self._writer.writerow(self._columns)

    def write(self, item: Event) -> None:
        row = cells(item)
        self._writer.writerow([_csv_cell(row.get(name)) for name in self._columns])

    def close(self) -> None:
        pass


class Parquet:
    """Row groups of bounded size.

    A table has one more column there, `integer`: of a value that is a whole number of 64 bits. `number` is missing for
    an integer that no float64 has exactly; `value` always has the text.
    """

    def __init__(self, file: IO[bytes], what: str) -> None:
        self._arrow = _extras.load("pyarrow")
        self._schema = self._arrow.schema([(name, _arrow_type(self._arrow, kind)) for name, kind in _typed(what)])
        self._columns = tuple(COLUMNS[what])
        self._writer = _extras.load("pyarrow.parquet").ParquetWriter(file, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []
        self._characters = 0

    def write(self, item: Event) -> None:
        row = cells(item)
        row["number"], row["integer"] = _numbers(row.get("number", ""))
        self._rows.append(row)
        self._characters += sum(len(cell) for cell in row.values() if isinstance(cell, str))
        if len(self._rows) >= GROUP_ROWS or self._characters >= GROUP_CHARACTERS:
            self._write_group()

    def close(self) -> None:
        try:
            if self._rows:
                self._write_group()
        finally:
            self._writer.close()

    def _write_group(self) -> None:
        table = self._arrow.Table.from_pylist(self._rows, schema=self._schema)
        # Kept until here: who interrupts that, which takes long, finds them in what is kept. From here on nothing is
        # written twice.
        self._rows, self._characters = [], 0
        self._writer.write_table(table)


def cells(item: Event) -> dict[str, Any]:
    """What an event or a result has in the columns above; a column that is not in it is missing.

    Times are datetimes; a `number` is still the text as which it was recorded.
    """
    row: dict[str, Any] = {"sequence": item.sequence, "attempt": item.attempt, "time": item.time}
    row["kind"] = _documents.kind(item)
    match item:
        case Result():
            value = _documents.raw(item.value_json)
            row |= {"key": item.key, "value": value, "superseded": item.superseded}
            if value.lstrip()[:1] in "-0123456789":
                row["number"] = value.strip()
        case LogEntry():
            row |= {"level": item.level.label, "message": item.message, "source": item.source}
            if item.metadata_json:
                row["metadata"] = _documents.raw(item.metadata_json)
        case _:
            row["data"] = _documents.body_json(item)
    return row


def _csv_cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case bool() | int():
            return _documents.text(value)
        case _:
            return _documents.time(value)


def _numbers(text: str) -> tuple[float | None, int | None]:
    """A JSON number as a float and as an integer of 64 bits, each None where that is not exactly the number."""
    value = _json.parse(text) if text else None
    if isinstance(value, float):
        return (value if math.isfinite(value) else None), None
    if value is None:
        return None, None
    try:
        number = float(value) if float(value) == value else None
    except OverflowError:
        number = None
    return number, value if -(2**63) <= value < 2**63 else None


def _typed(what: str) -> list[tuple[str, str]]:
    columns = list(COLUMNS[what].items())
    place = columns.index(("number", "float64")) + 1
    return [*columns[:place], ("integer", "int64"), *columns[place:]]


def _arrow_type(arrow: Any, name: str) -> Any:
    if name == "timestamp":
        return arrow.timestamp("us", tz="UTC")
    return arrow.bool_() if name == "bool" else getattr(arrow, name)()
