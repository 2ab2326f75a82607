"""What makes a record a bound object: one that knows its client, and is brought up to date in place.

A record never changes. A bound object is the same record at any one moment, and another one after `refresh`: all of its
fields change at once, so that another thread sees those of before or those of after.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, Generic, Self, TypeAlias, TypeVar

from athanor.client.resources import ExperimentRecord, InstanceRecord, RunnerRecord, RunRecord

Client = TypeVar("Client")

RunRef: TypeAlias = str | RunRecord
InstanceRef: TypeAlias = str | InstanceRecord
ExperimentRef: TypeAlias = str | ExperimentRecord
RunnerRef: TypeAlias = str | RunnerRecord

_KINDS: Mapping[type[Any], str] = {
    RunRecord: "a run",
    InstanceRecord: "an instance",
    ExperimentRecord: "an experiment",
    RunnerRecord: "a runner",
}
_KEYS: Mapping[type[Any], str] = {ExperimentRecord: "name"}

# Where a bound object keeps its client, beside its fields.
_CLIENT = "_bound_to"


def id_of(what: Any, kind: type[Any]) -> str:
    """Return the id of what is given as its id or as itself; an experiment's is its name. `kind` is its record's class.

    Raises TypeError for anything else, and for something of another kind.
    """
    if isinstance(what, str):
        return what
    if isinstance(what, kind):
        return getattr(what, _KEYS.get(kind, "id"))
    for other, name in _KINDS.items():
        if isinstance(what, other):
            raise TypeError(f"{name} is given where {_KINDS[kind]} is asked for: {what!r}")
    # Of a caller who does not check types, mostly None.
    raise TypeError(f"{_KINDS[kind]}, or its {_KEYS.get(kind, 'id')}, is asked for, not {what!r}")


def filter_id(what: Any, kind: type[Any]) -> str:
    """Return the id to filter by, empty for any: None and the empty text ask for no filter."""
    return "" if what is None else id_of(what, kind)


class Part:
    """A part of a client: `client.runs` and so on."""

    _client: Any

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._client!r}>"


class Bound(Generic[Client]):
    """The part of a bound object that is not its record; the first base of a class whose second is the record's.

    Equal are those with the same fields, whether bound or not. The hash is that of the id, which never changes: so it
    stays in the sets and dictionaries in which it is. Copies go on with the same client. What was pickled comes back as
    it was, but without a client: it can be read, and asked no more.
    """

    _record: ClassVar[type[Any]]  # the class of the record
    _key: ClassVar[str] = "id"  # the field that says which it is
    _shown: ClassVar[tuple[str, ...]] = ()  # further fields of its repr

    @classmethod
    def bind(cls, record: Any, client: Client) -> Self:
        """Make one of a record."""
        bound = object.__new__(cls)
        _fill(bound, {**_values(record), _CLIENT: client})
        return bound

    @property
    def _client(self) -> Client:
        client = self.__dict__.get(_CLIENT)
        if client is None:
            raise RuntimeError(
                f"this {type(self).__name__} has no client, because it was unpickled, or made by hand: "
                f"get it again from a client, by its {self._key}"
            )
        return client

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, self._record):
            return NotImplemented
        return _values(self) == _values(other)

    def __hash__(self) -> int:
        return hash((self._record, getattr(self, self._key)))

    def __repr__(self) -> str:
        shown = "".join(f", {name}={_short(getattr(self, name))}" for name in self._shown)
        return f"{type(self).__name__}({getattr(self, self._key)!r}{shown})"

    def __getstate__(self) -> dict[str, Any]:
        return _values(self)

    def __copy__(self) -> Self:
        copy = object.__new__(type(self))
        _fill(copy, {**_values(self), _CLIENT: self.__dict__.get(_CLIENT)})
        return copy

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.__copy__()  # nothing in it ever changes


def renew(bound: Bound[Any], record: Any) -> None:
    """Bring `bound` up to date: it has the fields of `record` from now on, and nothing made of the old ones."""
    _fill(bound, {**_values(record), _CLIENT: bound.__dict__.get(_CLIENT)})


def _values(record: Any) -> dict[str, Any]:
    """The fields of a record, by name."""
    have: Mapping[str, Any] = record.__dict__
    return {field.name: have[field.name] for field in fields(record)}


def _fill(bound: Any, values: dict[str, Any]) -> None:
    # Past the guard of the frozen record, and all at once.
    object.__setattr__(bound, "__dict__", values)


def _short(value: Any) -> str:
    return str(value) if isinstance(value, str) and type(value) is not str else repr(value)  # a name of a set: bare
