"""Verifying a run: its log is read page by page, each in a short transaction, and folded into a certificate.

A verification goes on as long as the log is long; nothing waits for it. Only one page is read at a time, whoever asked
for it, so that other calls find readers and the processor free.
"""

import asyncio
from functools import partial

from athanor_orchestrator.domain.certificate import Certificate
from athanor_orchestrator.domain.errors import NotFound
from athanor_orchestrator.engine import runs
from athanor_orchestrator.engine.audit import Audit, Claims
from athanor_orchestrator.storage import attempts, events, results
from athanor_orchestrator.storage import runs as stored_runs
from athanor_orchestrator.storage.database import Database
from athanor_orchestrator.storage.transaction import Transaction

PAGE_EVENTS = 2000
PAGE_BYTES = 1024 * 1024


class Verification:
    """Verifies runs, page by page."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn = asyncio.Semaphore(1)

    async def verify(self, run_id: str) -> Certificate:
        """Check a run's log from its beginning to where it ends now; what is recorded meanwhile is not looked at.

        Raises NotFound, also when the run is deleted meanwhile, and StorageUnavailable.
        """
        audit = Audit(await self._database.read(lambda tx: claims(tx, run_id)))
        while audit.position < audit.last_sequence:
            async with self._turn:
                await self._database.read(partial(_advance, run_id=run_id, audit=audit))
        return audit.conclude()


def claims(tx: Transaction, run_id: str) -> Claims:
    """Return what is kept of a run beside its log. Raises NotFound."""
    return Claims(
        run=runs.require(tx, run_id),
        attempts=tuple(attempts.accounts_of(tx, run_id)),
        stored=events.extent(tx, run_id),
        last_result=results.last_sequence(tx, run_id),
    )


def _advance(tx: Transaction, run_id: str, audit: Audit) -> None:
    """Take the next page into the audit; asked again, as a query may be, it goes on from there. Raises NotFound."""
    # Deleting hides a run before it removes a single event: what is not hidden in this snapshot has to be whole.
    if not stored_runs.exists(tx, run_id):
        raise NotFound("run", run_id)
    page = events.read_stored(
        tx,
        run_id,
        after_sequence=audit.position,
        upto=audit.last_sequence,
        limit=PAGE_EVENTS,
        max_bytes=PAGE_BYTES,
    )
    position = page.items[-1].sequence if page.more else audit.last_sequence
    rows = results.of_stored_events(tx, run_id, audit.position + 1, position)
    audit.take(page.items, {row.sequence: row for row in rows}, position=position)
