"""How leases and their runs stand, for whoever stores events under them: on the path of every event."""

from collections.abc import Collection

from athanor_orchestrator.domain.records import LeaseEnd, RunState, Standing
from athanor_orchestrator.storage.transaction import Transaction

# Without meaning where there is no run.
_STATES: dict[int | None, RunState] = {**{state.value: state for state in RunState}, None: RunState.PENDING}
_ENDS: dict[str | None, LeaseEnd | None] = {**{end.value: end for end in LeaseEnd}, None: None}


def lock_standings(tx: Transaction, lease_ids: Collection[str]) -> dict[str, Standing]:
    """Lock the runs of leases, in the order of their ids, and return how those leases that are known stand then, by id.

    Live or over. A hidden run is as one that is not there: its lease is not the current one.
    """
    return {
        row[0]: Standing(*row[:8], _ENDS[row[8]], row[9], _STATES[row[10]], *row[11:])
        for row in tx.dialect.lock_standings(tx.connection, lease_ids)
    }
