"""Consecutive events, column by column: what comes by the thousand is stored without a step for each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from athanor_orchestrator.domain.records import EventRow


@dataclass(frozen=True, slots=True)
class EventColumns:
    """Events of one attempt, numbered without gaps from `first_sequence`. All columns have the same length."""

    first_sequence: int
    attempt: int
    kinds: Sequence[int]  # numbers of EventKind
    levels: Sequence[int | None]  # of log entries
    keys: Sequence[str | None]  # of results
    times_us: Sequence[int]
    payloads: Sequence[bytes]  # the serialized RunEvents

    def __len__(self) -> int:
        return len(self.payloads)

    @property
    def last_sequence(self) -> int:
        """Sequence of the last one; `first_sequence` - 1 when there is none."""
        return self.first_sequence + len(self.payloads) - 1

    def behind(self, count: int) -> "EventColumns":
        """Leave out the first `count`."""
        if count <= 0:
            return self
        return EventColumns(
            self.first_sequence + count,
            self.attempt,
            self.kinds[count:],
            self.levels[count:],
            self.keys[count:],
            self.times_us[count:],
            self.payloads[count:],
        )


def in_columns(rows: Iterable[EventRow]) -> list[EventColumns]:
    """Turn rows into columns: one for each stretch that is consecutive and of one attempt."""
    stretches: list[list[EventRow]] = []
    for row in rows:
        last = stretches[-1][-1] if stretches else None
        if last is not None and (row.sequence, row.attempt) == (last.sequence + 1, last.attempt):
            stretches[-1].append(row)
        else:
            stretches.append([row])
    return [
        EventColumns(
            stretch[0].sequence,
            stretch[0].attempt,
            [row.kind.value for row in stretch],
            [row.level for row in stretch],
            [row.key for row in stretch],
            [row.time_us for row in stretch],
            [row.payload for row in stretch],
        )
        for stretch in stretches
    ]
