"""Pages of a run's log and of its results. Following a log while it grows is `subscription`'s."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from athanor_orchestrator.domain.records import EventFilter, EventRow, ResultRow
from athanor_orchestrator.engine import codec, runs
from athanor_orchestrator.engine.listing import PAGE_BYTES, size_of
from athanor_orchestrator.storage import events, results
from athanor_orchestrator.storage.database import Database
from athanor_orchestrator.storage.pages import Page
from athanor_orchestrator.storage.transaction import Transaction

SEARCHED_BYTES = 16 * PAGE_BYTES  # that one call looks through for a text; then the page ends, and the next goes on
_SEARCHED_ROWS = 1000


@dataclass(frozen=True, slots=True)
class EventPage:
    """One page of a log."""

    payloads: Sequence[bytes]  # each a serialized RunEvent, the very bytes that were recorded
    position: int | None  # the next page goes on behind this sequence; None on the last page


class RunLog:
    """The queries about what a run has recorded."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def events(
        self,
        run_id: str,
        filter: EventFilter,
        *,
        after_sequence: int,
        descending: bool,
        position: int | None,
        limit: int,
    ) -> EventPage:
        """Return one page of a log, oldest first or newest first, behind `position`. Raises NotFound.

        A search for text may end a page early, even an empty one, with a position to go on from.
        """
        found: list[bytes] = []
        room, searched = PAGE_BYTES, 0
        while True:
            part = await self._part(run_id, filter, after_sequence, descending, position, limit - len(found), room)
            for row in part.items:
                if room <= 0 or len(found) >= limit:
                    return EventPage(found, position)
                position = row.sequence
                searched += len(row.payload)
                if codec.has_text(row, filter.text):
                    found.append(row.payload)
                    room -= len(row.payload)
            if not part.more:
                return EventPage(found, None)
            if len(found) >= limit or room <= 0 or searched >= SEARCHED_BYTES or not filter.text:
                return EventPage(found, position)

    async def _part(
        self,
        run_id: str,
        filter: EventFilter,
        after_sequence: int,
        descending: bool,
        position: int | None,
        limit: int,
        max_bytes: int,
    ) -> Page[EventRow]:
        if position is None:
            after, upto = after_sequence, None
        elif descending:
            after, upto = after_sequence, position - 1
        else:
            after, upto = max(after_sequence, position), None

        def query(tx: Transaction) -> Page[EventRow]:
            runs.require(tx, run_id)
            return events.read_events(
                tx,
                run_id,
                after_sequence=after,
                upto=upto,
                filter=filter,
                descending=descending,
                # What a text is looked for in is read by large parts, whatever the page has room for.
                limit=_SEARCHED_ROWS if filter.text else limit,
                max_bytes=PAGE_BYTES if filter.text else max_bytes,
            )

        return await self._database.read(query)

    async def results(
        self, run_id: str, *, key: str, include_superseded: bool, after_sequence: int, limit: int
    ) -> Page[ResultRow]:
        """Return one page of results in the order they were recorded. Raises NotFound."""

        def query(tx: Transaction) -> Page[ResultRow]:
            runs.require(tx, run_id)
            page = results.list_results(
                tx,
                run_id,
                key=key,
                include_superseded=include_superseded,
                after_sequence=after_sequence,
                limit=limit,
                max_bytes=PAGE_BYTES,
            )
            # What the database refused was not counted when the page was cut.
            whole: list[ResultRow] = []
            room = PAGE_BYTES
            for row in page.items:
                whole.append(_whole(tx, run_id, row))
                room -= size_of(whole[-1].value_json)
                if room < 0:
                    return Page(whole, page.more or len(whole) < len(page.items))
            return Page(whole, page.more)

        return await self._database.read(query)


def _whole(tx: Transaction, run_id: str, row: ResultRow) -> ResultRow:
    """Return the row with what the database refused as text; the event has it."""
    if row.key is not None and row.value_json is not None:
        return row
    (payload,) = events.payloads(tx, run_id, row.sequence, row.sequence)
    said = codec.decode(payload).result
    return row if said is None else replace(row, key=said.key, value_json=said.value_json)
