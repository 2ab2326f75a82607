"""Whether the database takes what is written, asked with something that leaves no trace."""

import os

from sqlalchemy import delete, false, update

from athanor_orchestrator.domain.ids import new_id
from athanor_orchestrator.storage.requests import put_request
from athanor_orchestrator.storage.schema import requests, run_events, runs
from athanor_orchestrator.storage.transaction import Transaction


def probe(tx: Transaction, size: int) -> None:
    """Write `size` bytes and remove them; the commit flushes both. Fails where writing runs or events would.

    The bytes are random, so that they take the room that they say. A table that somebody holds locked is noticed,
    because a statement asks for its lock also when no row fits.
    """
    probe_id = new_id()
    put_request(tx, probe_id, b"probe", os.urandom(size))
    tx.connection.execute(delete(requests).where(requests.c.request_id == probe_id))
    tx.connection.execute(update(runs).where(false()).values(state=runs.c.state))
    tx.connection.execute(delete(run_events).where(false()))
