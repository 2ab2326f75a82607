"""The ledger that the experiment `ledger` writes itself, and the same account as its run's log has it."""

import json
from collections.abc import Iterable
from pathlib import Path

from athanor.client.events import Event, LogEntry, Result
from athanor.v1 import run_event_pb2


class Ledger:
    """The file, read further from where it was last read: it is asked often and grows long."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._position = 0
        self._lines = 0

    def __len__(self) -> int:
        """Lines so far."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._position)
                new = file.read()
            self._position += len(new)
            self._lines += new.count(b"\n")
        return self._lines

    def lines(self) -> list[bytes]:
        return self.path.read_bytes().splitlines()


def recorded_lines(events: Iterable[run_event_pb2.RunEvent | Event]) -> list[bytes]:
    """What the experiment recorded, in order: messages of its own log entries and values of results."""
    return [text.encode() for event in events if (text := _text(event)) is not None]


def _text(event: run_event_pb2.RunEvent | Event) -> str | None:
    match event:
        case LogEntry(source=""):
            return event.message
        case Result():
            return event.value
        case run_event_pb2.RunEvent() if event.HasField("log") and not event.log.source:
            return event.log.message
        case run_event_pb2.RunEvent() if event.HasField("result"):
            return json.loads(event.result.value_json)
        case _:
            return None
