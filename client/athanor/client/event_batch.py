"""Events of a run's log, many at a time, kept as the bytes in which they came."""

from collections.abc import Iterator, Sequence
from itertools import islice
from operator import attrgetter, lt
from typing import TypeAlias, overload

from athanor.client import _decode, _framing
from athanor.client.errors import ProtocolError
from athanor.client.events import Event, ProgressUpdated, RunUpdated
from athanor.v1 import run_event_pb2, run_service_pb2

_sequence = attrgetter("sequence")


class EventBatch(Sequence[Event]):
    """Some events of one run, in ascending order; without a gap between them unless a filter was asked for.

    It makes an event when it is asked for one, and nothing before: who passes logs on, or only counts, needs none. How
    many there are, and which, it knows without a look at them, because the orchestrator says so; whether that is true
    is seen when it is opened, by the first event that is asked for or by `check`: ProtocolError when it is not.

    It is never empty in what a watch gives.
    """

    __slots__ = ("_count", "_data", "_first", "_last", "_messages")

    def __init__(self, data: bytes) -> None:
        """`data` is a serialized `RunEventBatch` of the contract. Raises ProtocolError when it is none."""
        self._data = data
        self._messages: list[run_event_pb2.RunEvent] | None = None
        extent = _framing.extent(data)
        if extent is not None:
            self._first, self._last, self._count = extent
            return
        # From an orchestrator of before, which does not say it, or from one that puts it elsewhere.
        self._messages = _framing.parse(run_service_pb2.RunEventBatch, data).events[:]
        found = list(map(_sequence, self._messages))
        self._first, self._last, self._count = (found[0], found[-1], len(found)) if found else (0, -1, 0)
        self._compare(found)

    @property
    def data(self) -> bytes:
        """All of them as they came: a serialized `athanor.v1.RunEventBatch`, which every language can read."""
        return self._data

    @property
    def first_sequence(self) -> int:
        """Sequence of the first event."""
        return self._first

    @property
    def last_sequence(self) -> int:
        """Sequence of the last event: a watch that begins after it misses nothing and repeats nothing."""
        return self._last

    @property
    def contiguous(self) -> bool:
        """Whether none is left out between the first and the last."""
        return self._last - self._first + 1 == self._count

    @property
    def sequences(self) -> Sequence[int]:
        """Sequence of each event. A range, which costs nothing, when they are contiguous."""
        if self.contiguous:
            return range(self._first, self._last + 1)
        return list(map(_sequence, self._opened()))

    def check(self) -> None:
        """Open it now. Raises ProtocolError when its events are not those that it is said to have."""
        self._opened()

    def behind(self, sequence: int) -> "EventBatch":
        """Return those events whose sequence is greater."""
        if sequence < self._first:
            return self
        kept = [message for message in self._opened() if message.sequence > sequence]
        return EventBatch(run_service_pb2.RunEventBatch(events=kept).SerializeToString())

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Event]:
        return map(_decode.event, self._opened())

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        if isinstance(index, slice):
            return list(map(_decode.event, self._opened()[index]))
        return _decode.event(self._opened()[index])

    def __repr__(self) -> str:
        return f"EventBatch({self._count} events, {self._first} to {self._last})"

    def _opened(self) -> list[run_event_pb2.RunEvent]:
        if self._messages is None:
            messages = _framing.parse(run_service_pb2.RunEventBatch, self._data).events[:]
            self._compare(list(map(_sequence, messages)))
            self._messages = messages
        return self._messages

    def _compare(self, found: list[int]) -> None:
        # Nothing is done in Python for each of them.
        ends = (found[0], found[-1]) == (self._first, self._last) if found else not self._count
        if not ends or len(found) != self._count or not all(map(lt, found, islice(found, 1, None))):
            raise ProtocolError(f"a batch of {self._count} events, {self._first} to {self._last}, has others in it")


BatchItem: TypeAlias = RunUpdated | EventBatch | ProgressUpdated
