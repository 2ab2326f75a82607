"""Columns of Python values as a pandas or a polars frame, every number as it was.

The type of a column follows from what is in it. Integers stay integers, however large: int64, else uint64, else
objects. Integers and floats together are float64 only if each integer has an exact float. Whatever else is mixed, and
lists, are objects; a polars list where all of its items are of one type.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, cast

from athanor.client import _extras
from athanor.client.paths import MISSING

if TYPE_CHECKING:
    import pandas
    import polars


class Kind(Enum):
    """What a column holds, beside missing values."""

    BOOLEAN = auto()
    INT64 = auto()
    UINT64 = auto()
    FLOAT64 = auto()
    TEXT = auto()
    TIME = auto()  # to the microsecond, UTC
    DURATION = auto()  # to the microsecond
    OBJECT = auto()


@dataclass(frozen=True)
class Column:
    """A column of a frame."""

    name: str
    values: Sequence[Any]  # None: missing
    kind: Kind


def column(name: str, values: Iterable[Any], kind: Kind | None = None) -> Column:
    """Return a column, its kind found from its values unless given. MISSING and None are both missing values."""
    kept = [None if value is MISSING else value for value in values]
    return Column(name, kept, kind or kind_of(kept))


def kind_of(values: Iterable[Any]) -> Kind:
    """Return the narrowest kind that holds every value exactly."""
    present = [value for value in values if value is not None]
    types = set(map(type, present))
    if types == {bool}:
        return Kind.BOOLEAN
    if types == {str}:
        return Kind.TEXT
    if types == {int}:
        low, high = min(present), max(present)
        if low >= -(2**63) and high < 2**63:
            return Kind.INT64
        return Kind.UINT64 if low >= 0 and high < 2**64 else Kind.OBJECT
    if float in types and types <= {int, float} and all(map(_has_float, present)):
        return Kind.FLOAT64
    return Kind.OBJECT


def to_pandas(columns: Iterable[Column]) -> "pandas.DataFrame":
    """Return the columns as a pandas frame. Raises MissingExtraError when pandas is not installed."""
    library = _extras.load("pandas")
    return library.DataFrame({column.name: _pandas_series(library, column) for column in columns})


def to_polars(columns: Iterable[Column]) -> "polars.DataFrame":
    """Return the columns as a polars frame. Raises MissingExtraError when polars is not installed."""
    library = _extras.load("polars")
    return library.DataFrame([_polars_series(library, column) for column in columns])


def _has_float(number: float) -> bool:
    try:
        return float(number) == number
    except OverflowError:
        return False


def _pandas_series(pandas: Any, column: Column) -> Any:
    values = list(column.values)
    match column.kind:
        case Kind.INT64:
            return _pandas_masked(pandas, values, "int64", pandas.arrays.IntegerArray)
        case Kind.UINT64:
            return _pandas_masked(pandas, values, "uint64", pandas.arrays.IntegerArray)
        case Kind.BOOLEAN:
            return _pandas_masked(pandas, values, "bool", pandas.arrays.BooleanArray)
        case Kind.FLOAT64:
            return pandas.Series([math.nan if value is None else float(value) for value in values], dtype="float64")
        case Kind.TIME:
            return pandas.Series(values, dtype="datetime64[us, UTC]")
        case Kind.DURATION:
            return pandas.Series(values, dtype="timedelta64[us]")
        case Kind.TEXT:
            return pandas.Series(values, dtype=None if values else object)  # as this pandas keeps text
        case Kind.OBJECT:
            return pandas.Series(values, dtype=object)


def _pandas_masked(pandas: Any, values: list[Any], dtype: str, array: Any) -> Any:
    """A plain numpy column, or one that can miss values: by way of its parts, because inference goes through floats."""
    numpy = _extras.load("numpy")
    data = numpy.array([value or 0 for value in values], dtype=dtype)
    if None not in values:
        return pandas.Series(data)
    return pandas.Series(array(data, numpy.array([value is None for value in values], dtype="bool")))


def _polars_series(polars: Any, column: Column) -> Any:
    values = list(column.values)
    match column.kind:
        case Kind.TIME:
            naive = [value and value.replace(tzinfo=None) for value in values]
            return polars.Series(column.name, naive, dtype=polars.Datetime("us")).dt.replace_time_zone("UTC")
        case Kind.DURATION:
            return polars.Series(column.name, values, dtype=polars.Duration("us"))
        case Kind.FLOAT64:
            return polars.Series(column.name, _floats(values), dtype=polars.Float64)
        case Kind.OBJECT:
            return _polars_objects(polars, column.name, values)
        case kind:
            return polars.Series(column.name, values, dtype=_polars_type(polars, kind))


def _polars_objects(polars: Any, name: str, values: list[Any]) -> Any:
    present = [value for value in values if value is not None]
    if not present:
        return polars.Series(name, values, dtype=polars.Null)
    if all(isinstance(value, list) for value in present):
        lists = cast("list[list[Any] | None]", values)
        kind = kind_of(item for one in present for item in one)
        if kind is not Kind.OBJECT:
            exact = [one and _floats(one) for one in lists] if kind is Kind.FLOAT64 else lists
            return polars.Series(name, exact, dtype=polars.List(_polars_type(polars, kind)))
    return polars.Series(name, values, dtype=polars.Object)


def _polars_type(polars: Any, kind: Kind) -> Any:
    return {
        Kind.BOOLEAN: polars.Boolean,
        Kind.INT64: polars.Int64,
        Kind.UINT64: polars.UInt64,
        Kind.FLOAT64: polars.Float64,
        Kind.TEXT: polars.String,
    }[kind]


def _floats(values: Iterable[Any]) -> list[float | None]:
    return [None if value is None else float(value) for value in values]
