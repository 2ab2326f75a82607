"""Watching many: all runs, or all instances, that fit a filter. State, not history.

Everything as it stands, page by page; Synced; then each that changes, as it stands when it is looked at, and each that
is deleted. Several changes of one are shown as one, when they came quicker than the reader took them.

A watcher holds a page or two and a place in the journal of changes (`storage.changes`), whatever the number of runs and
however slowly it reads. The place is taken in the same snapshot as the first page, so what changes while the pages are
read comes behind Synced. Wake-ups only say when to look: one that is lost costs `poll` seconds, nothing else. What is
in the journal is seen in the order of commits, by the orchestrators of one database alike.

A run that has ended can only be deleted or lose its last process. So whatever else happens to a run behind the place
at which a watch began happened to one that was live then, or was made later: that is all that `active_only` needs.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from athanor_orchestrator.domain.errors import WatchOutrun
from athanor_orchestrator.domain.records import Change, ChangeKind, Instance, Resource, ResourceFilter, Run
from athanor_orchestrator.domain.run_state import LIVE
from athanor_orchestrator.engine import instances as instance_calls
from athanor_orchestrator.engine import runs as run_calls
from athanor_orchestrator.engine.listing import gather
from athanor_orchestrator.engine.timings import Timings
from athanor_orchestrator.engine.wakeups import Wakeups
from athanor_orchestrator.storage import changes, instances, runs
from athanor_orchestrator.storage.changes import Part
from athanor_orchestrator.storage.database import Database
from athanor_orchestrator.storage.pages import Page
from athanor_orchestrator.storage.transaction import Transaction

T = TypeVar("T", Run, Instance)

_PAGE = 250  # resources that are held at once, fewer when they are large
_CHANGES = 500  # entries of the journal that are read at once


@dataclass(frozen=True, slots=True)
class Standing(Generic[T]):
    """A run, or an instance, as it stands."""

    resource: T


@dataclass(frozen=True, slots=True)
class Gone:
    """One that was deleted. The reader may not have been told of it before."""

    id: str


@dataclass(frozen=True, slots=True)
class Synced:
    """All that stood when the watch began has been shown."""


class Watching:
    """Serves those who watch runs or instances as a whole."""

    def __init__(self, database: Database, wakeups: Wakeups, timings: Timings | None = None) -> None:
        self._database = database
        self._wakeups = wakeups
        self._timings = timings or Timings()

    def runs(
        self, filter: ResourceFilter, *, active_only: bool = False, full: bool = False
    ) -> AsyncGenerator[Sequence[Standing[Run] | Gone | Synced], None]:
        """Yield the runs of the filter, Synced, then those that change state, attempts, cancellation or reachability.

        What is yielded is a few at a time, none twice in one of them. `active_only` leaves out those that had ended
        before. Only `full` ones carry configuration and attempts. Raises WatchOutrun when the reader was too slow to go
        on from where it is, and StorageUnavailable.
        """
        return self._follow(_Runs(filter, active_only, full))

    def instances(self, filter: ResourceFilter) -> AsyncGenerator[Sequence[Standing[Instance] | Gone | Synced], None]:
        """Yield the instances of the filter, Synced, then those that change, the state of their newest run included.

        One whose labels no longer fit is yielded once more. Yields and raises as `runs` does.
        """
        return self._follow(_Instances(filter))

    async def _follow(self, watched: "_Watched[T]") -> AsyncGenerator[Sequence[Standing[T] | Gone | Synced], None]:
        with self._wakeups.subscribe(changes.TOPICS[watched.resource]) as wakeup:
            place, page = await self._database.read(lambda tx: (changes.end_of_journal(tx), watched.page(tx, None)))
            while True:
                yield [Standing(resource) for resource in page.items]
                if not page.more:
                    break
                page = await self._database.read(partial(watched.page, before_id=page.items[-1].id))
            yield [Synced()]

            clock = asyncio.get_running_loop()
            while True:
                looked = clock.time()
                part = await self._database.read(partial(changes.read_changes, place=place, limit=_CHANGES))
                if part is None:
                    raise WatchOutrun
                place, more = part.place, part.more
                gone, changed = judge(part, watched)
                if gone:
                    yield [Gone(id) for id in gone]
                for start in range(0, len(changed), watched.at_once):
                    ids = changed[start : start + watched.at_once]
                    found = await self._database.read(partial(watched.named, ids=ids))
                    yield [Standing(resource) for resource in found]
                if not more:
                    await wakeup.wait(self._timings.poll)
                    # The first is shown at once. Those behind it gather, else a busy system is read without a pause.
                    await asyncio.sleep(max(looked + self._timings.changes_shown - clock.time(), 0))


def judge(part: Part, watched: "_Watched[T]") -> tuple[list[str], list[str]]:
    """Return the ids of those that were deleted, and of those to look at; each once, in the order of their changes."""
    concerned = [change for change in part.changes if watched.concerns(change)]
    gone = dict.fromkeys(change.id for change in concerned if change.kind is ChangeKind.DELETED)
    return list(gone), list(dict.fromkeys(change.id for change in concerned if change.id not in gone))


def fits(change: Change, filter: ResourceFilter) -> bool:
    """Tell whether the resource of a change is one of the filter."""
    return (
        filter.experiment in ("", change.experiment)
        and filter.instance_id in ("", change.instance_id)
        and filter.labels.items() <= change.labels.items()
    )


class _Watched(ABC, Generic[T]):
    """What is watched: how it is read, and which changes concern it."""

    resource: Resource
    at_once = 25  # resources that are read without a look at their size

    def __init__(self, filter: ResourceFilter) -> None:
        self.filter = filter

    @abstractmethod
    def page(self, tx: Transaction, before_id: str | None) -> Page[T]:
        """Return one page of those that stand, newest first."""

    @abstractmethod
    def named(self, tx: Transaction, ids: Sequence[str]) -> list[T]:
        """Return those that there are of `at_once` ids at most."""

    def concerns(self, change: Change) -> bool:
        """Tell whether a change is one to tell of."""
        return change.resource is self.resource and fits(change, self.filter)


class _Runs(_Watched[Run]):
    resource = Resource.RUN

    def __init__(self, filter: ResourceFilter, active_only: bool, full: bool) -> None:
        super().__init__(filter)
        self._active_only = active_only
        self._full = full
        if not full:
            self.at_once = 100  # without their configurations they are small

    def page(self, tx: Transaction, before_id: str | None) -> Page[Run]:
        def fetch(before: str | None, count: int) -> Page[Run]:
            return runs.list_runs(
                tx,
                instance_id=self.filter.instance_id,
                experiment=self.filter.experiment,
                states=LIVE if self._active_only else (),
                labels=self.filter.labels,
                before_id=before,
                limit=count,
                full=self._full,
            )

        return gather(fetch, before_id, key=lambda run: run.id, size=run_calls.size, limit=_PAGE, at_once=self.at_once)

    def named(self, tx: Transaction, ids: Sequence[str]) -> list[Run]:
        return runs.named_runs(tx, ids, full=self._full)

    def concerns(self, change: Change) -> bool:
        return super().concerns(change) and not (self._active_only and change.kind is ChangeKind.AFTERMATH)


class _Instances(_Watched[Instance]):
    resource = Resource.INSTANCE

    def page(self, tx: Transaction, before_id: str | None) -> Page[Instance]:
        def fetch(before: str | None, count: int) -> Page[Instance]:
            return instances.list_instances(
                tx, experiment=self.filter.experiment, labels=self.filter.labels, before_id=before, limit=count
            )

        return gather(fetch, before_id, key=lambda instance: instance.id, size=instance_calls.size, limit=_PAGE)

    def named(self, tx: Transaction, ids: Sequence[str]) -> list[Instance]:
        return instances.named_instances(tx, ids)
