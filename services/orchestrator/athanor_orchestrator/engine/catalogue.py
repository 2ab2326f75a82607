"""The experiments that runners have reported, and what a configuration of one of them must be."""

import asyncio
from collections.abc import Sequence

from athanor_orchestrator.domain.errors import NotFound
from athanor_orchestrator.domain.records import DiscoveryError, Experiment
from athanor_orchestrator.engine import configuration
from athanor_orchestrator.engine.configuration import Checked
from athanor_orchestrator.engine.listing import PAGE_BYTES, gather, size_of
from athanor_orchestrator.storage import experiments
from athanor_orchestrator.storage.database import Database
from athanor_orchestrator.storage.pages import Page
from athanor_orchestrator.storage.transaction import Transaction


class Catalogue:
    """Reads definitions; runners alone write them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, name: str) -> Experiment:
        """Return the newest definition of an experiment. Raises NotFound when no runner has ever reported it."""
        return await self._database.read(lambda tx: require(tx, name))

    async def page(self, after_name: str, limit: int) -> tuple[Page[Experiment], Sequence[DiscoveryError]]:
        """Return one page in the order of names; with the first one also what connected runners could not load."""

        def query(tx: Transaction) -> tuple[Page[Experiment], Sequence[DiscoveryError]]:
            page = gather(
                lambda after, count: experiments.list_experiments(tx, after, count),
                after_name,
                key=lambda experiment: experiment.name,
                size=_size,
                limit=limit,
            )
            return page, _cut(experiments.list_discovery_errors(tx)) if not after_name else ()

        return await self._database.read(query)

    async def check(self, name: str, configuration_json: str) -> Checked:
        """Check a configuration without storing it. Raises NotFound for an unknown experiment."""
        experiment = await self.get(name)
        return await asyncio.to_thread(configuration.check, configuration_json, experiment)

    async def accept(self, name: str, configuration_json: str, field: str) -> str:
        """Return a configuration as it is stored, defaults filled in; `field` names it in the request.

        Raises NotFound for an unknown experiment, InvalidFields and ConfigurationInvalid.
        """
        experiment = await self.get(name)
        return await asyncio.to_thread(configuration.accept, configuration_json, experiment, field)


def require(tx: Transaction, name: str) -> Experiment:
    """Return an experiment's newest definition; raise NotFound when there is none."""
    experiment = experiments.get_experiment(tx, name)
    if experiment is None:
        raise NotFound("experiment", name)
    return experiment


def require_definition(tx: Transaction, name: str) -> Experiment:
    """As `require`, without what connected runners have of it."""
    experiment = experiments.get_definition(tx, name)
    if experiment is None:
        raise NotFound("experiment", name)
    return experiment


def _size(experiment: Experiment) -> int:
    return size_of(
        experiment.title,
        experiment.description,
        experiment.configuration_schema_json,
        experiment.default_configuration_json,
    ) + 300 * len(experiment.other_versions)


def _cut(errors: Sequence[DiscoveryError]) -> Sequence[DiscoveryError]:
    """Return as many as fit into a page; tracebacks may be long, and every one of them has its module's name."""
    room = PAGE_BYTES
    for count, error in enumerate(errors):
        room -= size_of(error.module, error.error)
        if count and room < 0:
            return errors[:count]
    return errors
