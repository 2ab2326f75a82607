"""Instances: created, read, updated, deleted."""

import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from athanor_orchestrator.domain.errors import EtagMismatch, NotFound, RunLive
from athanor_orchestrator.domain.ids import new_id
from athanor_orchestrator.domain.records import Instance
from athanor_orchestrator.engine import deletion, idempotency
from athanor_orchestrator.engine.catalogue import Catalogue
from athanor_orchestrator.engine.idempotency import Call
from athanor_orchestrator.engine.listing import gather, size_of
from athanor_orchestrator.storage import instances
from athanor_orchestrator.storage.database import Database
from athanor_orchestrator.storage.pages import Page
from athanor_orchestrator.storage.transaction import Transaction

CONFIGURATION_FIELD = "instance.configuration_json"

UPDATABLE = ("name", "description", "configuration_json", "labels")


@dataclass(frozen=True, slots=True)
class Draft:
    """What a person says about an instance."""

    experiment: str
    name: str
    description: str
    configuration_json: str
    labels: Mapping[str, str]


class Instances:
    """The commands and queries about instances."""

    def __init__(self, database: Database, catalogue: Catalogue) -> None:
        self._database = database
        self._catalogue = catalogue

    async def create(self, draft: Draft, call: Call | None, answer: Callable[[Instance], bytes]) -> bytes:
        """Store an instance and return `answer` of it, or what an earlier call of the same id was answered.

        Raises NotFound for an unknown experiment, InvalidFields, ConfigurationInvalid, RequestIdReused.
        """
        before = await self._database.read(lambda tx: idempotency.answered(tx, call))
        if before is not None:
            return before

        configuration = await self._catalogue.accept(draft.experiment, draft.configuration_json, CONFIGURATION_FIELD)
        etag = _new_etag()

        def command(tx: Transaction) -> bytes:
            known = idempotency.answered(tx, call)
            if known is not None:
                return known
            instance = Instance(
                id=new_id(tx.now_us),
                experiment=draft.experiment,
                name=draft.name,
                description=draft.description,
                configuration_json=configuration,
                labels=draft.labels,
                etag=etag,
                create_time_us=tx.now_us,
                update_time_us=tx.now_us,
            )
            instances.insert_instance(tx, instance)
            tx.wake("instances")
            return idempotency.remember(tx, call, answer(instance))

        return await self._database.write(command)

    async def get(self, instance_id: str) -> Instance:
        """Return one instance. Raises NotFound."""
        return await self._database.read(lambda tx: require(tx, instance_id))

    async def page(
        self, *, experiment: str, labels: Mapping[str, str], before_id: str | None, limit: int
    ) -> Page[Instance]:
        """Return one page, newest first."""

        def query(tx: Transaction) -> Page[Instance]:
            def fetch(before: str | None, count: int) -> Page[Instance]:
                return instances.list_instances(tx, experiment=experiment, labels=labels, before_id=before, limit=count)

            return gather(fetch, before_id, key=lambda instance: instance.id, size=size, limit=limit)

        return await self._database.read(query)

    async def update(self, instance_id: str, draft: Draft, fields: Collection[str], etag: str) -> Instance:
        """Write the `fields` (of UPDATABLE) of an instance as `draft` has them; with an etag, only if it still matches.

        Raises NotFound, EtagMismatch, InvalidFields, ConfigurationInvalid.
        """
        changes: dict[str, object] = {field: getattr(draft, field) for field in fields}
        if "configuration_json" in fields:
            experiment = (await self.get(instance_id)).experiment
            changes["configuration_json"] = await self._catalogue.accept(
                experiment, draft.configuration_json, CONFIGURATION_FIELD
            )
        new_etag = _new_etag()

        def command(tx: Transaction) -> Instance:
            instance = _require_locked(tx, instance_id, etag)
            changed = replace(instance, **changes, etag=new_etag, update_time_us=tx.now_us)
            instances.update_instance(tx, changed)
            tx.wake("instances")
            return changed

        return await self._database.write(command)

    async def delete(self, instance_id: str, etag: str, allow_missing: bool) -> None:
        """Take an instance and its runs out of every answer; with an etag, only if it still matches.

        Raises NotFound (unless `allow_missing`), EtagMismatch, RunLive.
        """

        def command(tx: Transaction) -> None:
            try:
                _require_locked(tx, instance_id, etag)
            except NotFound:
                if allow_missing:
                    return
                raise
            live = instances.live_run_of(tx, instance_id)
            if live is not None:
                raise RunLive(*live)
            gone = instances.hide_instance(tx, instance_id) or []
            for topic in ("instances", "runs", deletion.TOPIC, *(f"run:{run_id}" for run_id in gone)):
                tx.wake(topic)

        await self._database.write(command)


def require(tx: Transaction, instance_id: str) -> Instance:
    """Return an instance; raise NotFound when there is none."""
    instance = instances.get_instance(tx, instance_id)
    if instance is None:
        raise NotFound("instance", instance_id)
    return instance


def _require_locked(tx: Transaction, instance_id: str, etag: str) -> Instance:
    instance = instances.lock_instance(tx, instance_id)
    if instance is None:
        raise NotFound("instance", instance_id)
    if etag and etag != instance.etag:
        raise EtagMismatch(instance.etag)
    return instance


def size(instance: Instance) -> int:
    """Return about how many bytes an instance takes in a message."""
    texts = instance.name, instance.description, instance.configuration_json
    return size_of(*texts, *instance.labels, *instance.labels.values())


def _new_etag() -> str:
    return secrets.token_hex(8)
