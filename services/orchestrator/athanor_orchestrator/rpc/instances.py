"""athanor.v1.InstanceService."""

from collections.abc import AsyncGenerator

from athanor.v1 import instance_pb2
from athanor.v1 import instance_service_pb2 as pb

from athanor_orchestrator.domain.records import Instance, ResourceFilter
from athanor_orchestrator.engine.instances import UPDATABLE, Draft, Instances
from athanor_orchestrator.rpc import convert, idempotency, paging
from athanor_orchestrator.rpc.validate import DESCRIPTION_CHARACTERS, Faults
from athanor_orchestrator.rpc.watch import Watches


class InstanceServicer:
    """Keeps instances."""

    def __init__(self, instances: Instances, watches: Watches) -> None:
        self._instances = instances
        self._watches = watches

    async def CreateInstance(self, request: pb.CreateInstanceRequest) -> bytes:
        faults = Faults()
        faults.name("instance.experiment", request.instance.experiment)
        draft = _draft(faults, request.instance, UPDATABLE)
        call = idempotency.call(faults, request, request.request_id)
        faults.settle()
        return await self._instances.create(draft, call, _created)

    async def GetInstance(self, request: pb.GetInstanceRequest) -> pb.GetInstanceResponse:
        faults = Faults()
        faults.id("id", request.id)
        faults.settle()
        return pb.GetInstanceResponse(instance=convert.instance(await self._instances.get(request.id)))

    async def ListInstances(self, request: pb.ListInstancesRequest) -> pb.ListInstancesResponse:
        faults = Faults()
        faults.name("experiment", request.experiment, optional=True)
        faults.labels("labels", request.labels)
        limit = paging.size(faults, request.page_size)
        faults.settle()
        start = paging.position(request, request.page_token, "")
        page = await self._instances.page(
            experiment=request.experiment, labels=dict(request.labels), before_id=start or None, limit=limit
        )
        return pb.ListInstancesResponse(
            instances=[convert.instance(instance) for instance in page.items],
            next_page_token=paging.token(request, page.items[-1].id if page.more else None),
        )

    async def UpdateInstance(self, request: pb.UpdateInstanceRequest) -> pb.UpdateInstanceResponse:
        fields = tuple(request.update_mask.paths)
        faults = Faults()
        faults.id("instance.id", request.instance.id)
        faults.mask("update_mask", fields, UPDATABLE)
        draft = _draft(faults, request.instance, fields)
        faults.settle()
        instance = await self._instances.update(request.instance.id, draft, fields, request.instance.etag)
        return pb.UpdateInstanceResponse(instance=convert.instance(instance))

    async def DeleteInstance(self, request: pb.DeleteInstanceRequest) -> pb.DeleteInstanceResponse:
        faults = Faults()
        faults.id("id", request.id)
        faults.settle()
        await self._instances.delete(request.id, request.etag, request.allow_missing)
        return pb.DeleteInstanceResponse()

    async def WatchInstances(
        self, request: pb.WatchInstancesRequest
    ) -> AsyncGenerator[pb.WatchInstancesResponse, None]:
        faults = Faults()
        faults.name("experiment", request.experiment, optional=True)
        faults.labels("labels", request.labels)
        faults.settle()
        items = self._watches.instances(ResourceFilter(request.experiment, dict(request.labels)))
        try:
            async for item in items:
                yield item
        finally:
            await items.aclose()


def _draft(faults: Faults, message: instance_pb2.Instance, fields: tuple[str, ...]) -> Draft:
    """Read what a person says about an instance; only `fields` are judged, because the others are not taken."""
    if "name" in fields:
        faults.name("instance.name", message.name)
    if "description" in fields:
        faults.length("instance.description", message.description, DESCRIPTION_CHARACTERS)
    if "labels" in fields:
        faults.labels("instance.labels", message.labels)
    return Draft(
        experiment=message.experiment,
        name=message.name,
        description=message.description,
        configuration_json=message.configuration_json,
        labels=dict(message.labels),
    )


def _created(instance: Instance) -> bytes:
    return pb.CreateInstanceResponse(instance=convert.instance(instance)).SerializeToString()
