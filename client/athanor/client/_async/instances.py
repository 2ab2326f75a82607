"""`client.instances`: experiments with a name and a configuration."""

import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import grpc.aio
from google.protobuf.field_mask_pb2 import FieldMask

from athanor.client import _decode, _json
from athanor.client._async.calls import Caller
from athanor.client._async.listing import Listing, Page
from athanor.client._async.watch import Interruption, WatchCall
from athanor.client._async.watch_all import ChangeWatch, instances_item
from athanor.client.changes import InstancesItem
from athanor.client.resources import Instance
from athanor.v1 import instance_pb2
from athanor.v1 import instance_service_pb2 as pb

if TYPE_CHECKING:
    from athanor.v1.instance_service_pb2_grpc import InstanceServiceAsyncStub

_CONFIGURATION = "instance.configuration_json"


class Instances:
    """Create, read, change, delete and watch instances."""

    def __init__(self, caller: Caller, stub: "InstanceServiceAsyncStub", *, connect_for: float) -> None:
        self._caller = caller
        self._stub = stub
        self._connect_for = connect_for

    async def create(
        self,
        experiment: str,
        configuration: Any = None,
        *,
        name: str | None = None,
        description: str = "",
        labels: Mapping[str, str] | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Instance:
        """Create an instance of `experiment`; what `configuration` leaves out takes the schema's default.

        `name` is for people and need not be unique; without one it is the experiment's. `request_id` makes repeating
        the call harmless, also by another process; one is drawn when it is not given.
        Raises NotFoundError for an unknown experiment, ConfigurationInvalidError with every violation.
        """
        request = pb.CreateInstanceRequest(
            instance=instance_pb2.Instance(
                experiment=experiment,
                name=experiment if name is None else name,
                description=description,
                configuration_json=_json.encode({} if configuration is None else configuration, _CONFIGURATION),
                labels=labels or {},
            ),
            request_id=request_id or uuid.uuid4().hex,
        )
        response = await self._caller.call(self._stub.CreateInstance, request, timeout=timeout)
        return _decode.instance(response.instance)

    async def get(self, id: str, *, timeout: float | None = None) -> Instance:
        """Return one instance. Raises NotFoundError when there is none."""
        response = await self._caller.call(self._stub.GetInstance, pb.GetInstanceRequest(id=id), timeout=timeout)
        return _decode.instance(response.instance)

    def list(
        self,
        *,
        experiment: str = "",
        labels: Mapping[str, str] | None = None,
        limit: int | None = None,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Listing[Instance]:
        """Iterate over instances, newest first: at most `limit`, of one experiment, that carry all these labels."""

        async def fetch(token: str) -> Page[Instance]:
            request = pb.ListInstancesRequest(
                experiment=experiment, labels=labels or {}, page_size=page_size, page_token=token
            )
            response = await self._caller.call(self._stub.ListInstances, request, timeout=timeout)
            return Page(tuple(map(_decode.instance, response.instances)), response.next_page_token)

        return Listing(fetch, limit=limit)

    async def update(
        self,
        id: str,
        *,
        name: str | None = None,
        description: str | None = None,
        configuration: Any = None,
        labels: Mapping[str, str] | None = None,
        etag: str = "",
        timeout: float | None = None,
    ) -> Instance:
        """Change what is given and return the instance; runs that exist keep what they started with.

        With `etag` the change is made only to what was read: ConflictError when the instance has changed since.
        """
        instance = instance_pb2.Instance(id=id, etag=etag, labels=labels or {})
        paths = list[str]()
        if name is not None:
            instance.name = name
            paths.append("name")
        if description is not None:
            instance.description = description
            paths.append("description")
        if configuration is not None:
            instance.configuration_json = _json.encode(configuration, _CONFIGURATION)
            paths.append("configuration_json")
        if labels is not None:
            paths.append("labels")
        request = pb.UpdateInstanceRequest(instance=instance, update_mask=FieldMask(paths=paths))
        # With an etag a repetition of what was carried out would look like somebody else's change.
        response = await self._caller.call(self._stub.UpdateInstance, request, timeout=timeout, repeatable=not etag)
        return _decode.instance(response.instance)

    async def delete(
        self, id: str, *, etag: str = "", allow_missing: bool = False, timeout: float | None = None
    ) -> None:
        """Delete an instance with its runs and their logs.

        Raises RunLiveError while one of its runs is live, NotFoundError when there is none (unless `allow_missing`),
        ConflictError when it no longer has that `etag`.
        """
        request = pb.DeleteInstanceRequest(id=id, etag=etag, allow_missing=allow_missing)
        await self._caller.call(self._stub.DeleteInstance, request, timeout=timeout, repeatable=allow_missing)

    def watch_all(
        self,
        *,
        experiment: str = "",
        labels: Mapping[str, str] | None = None,
        give_up_after: float | None = None,
        on_interruption: Callable[[Interruption], None] | None = None,
    ) -> ChangeWatch[InstancesItem]:
        """Watch all instances that fit the filters: as they stand, then each that changes.

        Its items are in `athanor.client.changes`. One whose labels are changed so that it no longer fits is given once
        more. A lost orchestrator is waited for, for as long as it takes, or for `give_up_after` seconds
        (UnavailableError); `on_interruption` is told of each time. One that has never answered is given up after the
        client's `retry_for`.
        """
        request = pb.WatchInstancesRequest(experiment=experiment, labels=labels or {})

        def open_call() -> WatchCall:
            try:
                call: Any = self._stub.WatchInstances(request)
                return call
            except grpc.aio.UsageError as error:
                raise RuntimeError("this client has been closed") from error

        return ChangeWatch(
            open_call,
            instances_item,
            target=self._caller.target,
            connect_for=self._connect_for,
            give_up_after=give_up_after,
            on_interruption=on_interruption,
        )
