"""What a watch of many gives: `client.runs.watch_all()` and `client.instances.watch_all()`.

State, not history: Begun, everything as it stands, Synced, then each that changes, as it stands by then. After an
interruption it begins again, and that is the whole of it: Begun, everything, Synced. Whoever keeps a picture drops at
Synced what it has not been given since Begun; what was deleted meanwhile is among that.

    known = {}
    async for item in client.runs.watch_all():
        match item:
            case Begun():
                seen = set()
            case RunChanged(run):
                known[run.id] = run
                seen.add(run.id)
            case RunDeleted(id):
                known.pop(id, None)
            case Synced():
                known = {id: run for id, run in known.items() if id in seen}
"""

from dataclasses import dataclass
from typing import TypeAlias

from athanor.client.resources import InstanceRecord, RunRecord


@dataclass(frozen=True)
class Begun:
    """Everything that stands is given from here on: at the beginning, and again after each interruption."""


@dataclass(frozen=True)
class Synced:
    """Everything that stood has been given; what follows is change."""


@dataclass(frozen=True)
class RunChanged:
    """A run as it stands: it was there, was created, or changed its state, attempts, cancellation or reachability."""

    run: RunRecord


@dataclass(frozen=True)
class RunDeleted:
    """A run was deleted; it may never have been given."""

    id: str


@dataclass(frozen=True)
class InstanceChanged:
    """An instance as it stands: it was there, was created, or changed. Its labels may no longer be those asked for."""

    instance: InstanceRecord


@dataclass(frozen=True)
class InstanceDeleted:
    """An instance was deleted; it may never have been given."""

    id: str


RunsItem: TypeAlias = Begun | RunChanged | RunDeleted | Synced
InstancesItem: TypeAlias = Begun | InstanceChanged | InstanceDeleted | Synced
