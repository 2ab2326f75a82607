"""What a run has found, by key.

results = client.runs.results(run.id)         bound to a run by the client, or made from any `Result` records
results["accuracy"]                           [0.71, 0.78, 0.81]: every value of a key, in the order recorded
results.last("accuracy")                      0.81
results.to_pandas()                           a row for each result
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from athanor.client import _frames, _text, paths
from athanor.client._frames import Kind
from athanor.client.events import Result

if TYPE_CHECKING:
    import pandas
    import polars


class Results(Mapping[str, list[Any]]):
    """Results of one run: a mapping from each key, in order of its first value, to all of its values in order.

    Values are Python objects, exactly as recorded: integers of any size, nested lists and dicts. Results that a later
    attempt has superseded are left out, unless `include_superseded`.
    """

    def __init__(self, records: Iterable[Result], *, include_superseded: bool = False) -> None:
        self._with_superseded = include_superseded
        self._records = tuple(record for record in records if include_superseded or not record.superseded)
        self._by_key: dict[str, list[Result]] = {}
        for record in self._records:
            self._by_key.setdefault(record.key, []).append(record)

    @property
    def records(self) -> tuple[Result, ...]:
        """The records themselves: each with its place in the log, its attempt, its time and the exact JSON text."""
        return self._records

    def last(self, key: str) -> Any:
        """Return the newest value of a key. Raises KeyError when there is none."""
        return self._by_key[key][-1].value

    def to_pandas(self) -> "pandas.DataFrame":
        """Return a pandas frame with a row for each result, in order.

        Columns: `key`, `sequence`, `attempt`, `time` (UTC) and `value`. A nested value is spread over columns of its
        own, `value.loss`, `value.usage.tokens`, and `value` is missing there; lists are not taken apart. With
        superseded results there is a column `superseded`.

        Numbers are exact: a column of integers is int64 or uint64, or Int64 or UInt64 where some are missing; integers
        that fit neither, or no float beside floats, are Python objects. Raises MissingExtraError without pandas.
        """
        return _frames.to_pandas(self._columns())

    def to_polars(self) -> "polars.DataFrame":
        """Return a polars frame with a row for each result, in order; columns as in `to_pandas`.

        A list whose items are of one type is a polars list; what is mixed, or does not fit 64 bits, is of type Object.
        Raises MissingExtraError without polars.
        """
        return _frames.to_polars(self._columns())

    def _columns(self) -> Iterator[_frames.Column]:
        yield _frames.column("key", [record.key for record in self._records], Kind.TEXT)
        yield _frames.column("sequence", [record.sequence for record in self._records], Kind.INT64)
        yield _frames.column("attempt", [record.attempt for record in self._records], Kind.INT64)
        yield _frames.column("time", [record.time for record in self._records], Kind.TIME)
        if self._with_superseded:
            yield _frames.column("superseded", [record.superseded for record in self._records], Kind.BOOLEAN)
        rows = [paths.leaves(record.value, into_lists=False) for record in self._records]
        for path in dict.fromkeys([(), *(path for row in rows for path in row)]):
            name = paths.dotted(("value", *path))
            yield _frames.column(name, [row.get(path, paths.MISSING) for row in rows])

    def __getitem__(self, key: str) -> list[Any]:
        return [record.value for record in self._by_key[key]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_key)

    def __len__(self) -> int:
        return len(self._by_key)

    def __contains__(self, key: object) -> bool:
        return key in self._by_key

    def __repr__(self) -> str:
        return _text.results_text(self)

    def _repr_html_(self) -> str:
        from athanor.client import notebook

        return notebook.results_html(self)
