# Derived from _async/instances.py by tools/derive_sync.py: change that one.

"""`client.instances`: experiments with a name and a configuration."""

import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from google.protobuf.field_mask_pb2 import FieldMask

from athanor.client import _decode, _encode, _json
from athanor.client._bound import ExperimentRef, InstanceRef, Part, filter_id, id_of
from athanor.client._outage import Interruption
from athanor.client._page import Page
from athanor.client._sync.calls import Caller
from athanor.client._sync.instance import Instance
from athanor.client._sync.listing import Listing
from athanor.client._sync.transport import WatchCall
from athanor.client._sync.watch_all import ChangeWatch, instances_item
from athanor.client.changes import InstancesItem
from athanor.client.resources import ExperimentRecord, InstanceRecord
from athanor.v1 import instance_pb2
from athanor.v1 import instance_service_pb2 as pb

if TYPE_CHECKING:
    from athanor.client._sync.client import Client
    from athanor.v1.instance_service_pb2_grpc import InstanceServiceStub

_CONFIGURATION = "instance.configuration_json"


class Instances(Part):
    """Create, read, change, delete and watch instances. Where an id is asked for, the instance itself will do."""

    def __init__(self, client: "Client", caller: Caller, stub: "InstanceServiceStub", *, connect_for: float) -> None:
        self._client = client
        self._caller = caller
        self._stub = stub
        self._connect_for = connect_for

    def create(
        self,
        experiment: ExperimentRef,
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

        Example:
            rates = [0.1, 0.01, 0.001]
            instances = [client.instances.create("train", {"lr": rate}, name=f"lr {rate}") for rate in rates]
            runs = [instance.start(labels={"sweep": "lr"}) for instance in instances]
        """
        request = pb.CreateInstanceRequest(
            instance=instance_pb2.Instance(
                experiment=id_of(experiment, ExperimentRecord),
                name=id_of(experiment, ExperimentRecord) if name is None else _encode.text(name, "name"),
                description=_encode.text(description, "description"),
                configuration_json=_json.encode({} if configuration is None else configuration, _CONFIGURATION),
                labels=_encode.labels(labels),
            ),
            request_id=request_id or uuid.uuid4().hex,
        )
        response = self._caller.call(self._stub.CreateInstance, request, timeout=timeout)
        return Instance.bind(_decode.instance(response.instance), self._client)

    def get(self, id: InstanceRef, *, timeout: float | None = None) -> Instance:
        """Return one instance. Raises NotFoundError when there is none."""
        response = self._caller.call(
            self._stub.GetInstance, pb.GetInstanceRequest(id=id_of(id, InstanceRecord)), timeout=timeout
        )
        return Instance.bind(_decode.instance(response.instance), self._client)

    def list(
        self,
        *,
        experiment: ExperimentRef | None = None,
        labels: Mapping[str, str] | None = None,
        limit: int | None = None,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Listing[Instance]:
        """Iterate over instances, newest first: at most `limit`, of one experiment, that carry all these labels."""

        def fetch(token: str) -> Page[Instance]:
            request = pb.ListInstancesRequest(
                experiment=filter_id(experiment, ExperimentRecord),
                labels=_encode.labels(labels),
                page_size=page_size,
                page_token=token,
            )
            response = self._caller.call(self._stub.ListInstances, request, timeout=timeout)
            items = (Instance.bind(_decode.instance(item), self._client) for item in response.instances)
            return Page(tuple(items), response.next_page_token)

        return Listing(fetch, limit=limit)

    def update(
        self,
        id: InstanceRef,
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
        instance = instance_pb2.Instance(id=id_of(id, InstanceRecord), etag=etag, labels=_encode.labels(labels))
        paths = list[str]()
        if name is not None:
            instance.name = _encode.text(name, "name")
            paths.append("name")
        if description is not None:
            instance.description = _encode.text(description, "description")
            paths.append("description")
        if configuration is not None:
            instance.configuration_json = _json.encode(configuration, _CONFIGURATION)
            paths.append("configuration_json")
        if labels is not None:
            paths.append("labels")
        request = pb.UpdateInstanceRequest(instance=instance, update_mask=FieldMask(paths=paths))
        # With an etag a repetition of what was carried out would look like somebody else's change.
        response = self._caller.call(self._stub.UpdateInstance, request, timeout=timeout, repeatable=not etag)
        return Instance.bind(_decode.instance(response.instance), self._client)

    def delete(
        self, id: InstanceRef, *, etag: str = "", allow_missing: bool = False, timeout: float | None = None
    ) -> None:
        """Delete an instance with its runs and their logs.

        Raises RunLiveError while one of its runs is live, NotFoundError when there is none (unless `allow_missing`),
        ConflictError when it no longer has that `etag`.
        """
        request = pb.DeleteInstanceRequest(id=id_of(id, InstanceRecord), etag=etag, allow_missing=allow_missing)
        self._caller.call(self._stub.DeleteInstance, request, timeout=timeout, repeatable=allow_missing)

    def watch_all(
        self,
        *,
        experiment: ExperimentRef | None = None,
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
        request = pb.WatchInstancesRequest(
            experiment=filter_id(experiment, ExperimentRecord), labels=_encode.labels(labels)
        )

        def open_call() -> WatchCall:
            call: Any = self._stub.WatchInstances(request)
            return call

        return ChangeWatch(
            open_call,
            instances_item,
            target=self._caller.target,
            connect_for=self._connect_for,
            give_up_after=give_up_after,
            on_interruption=on_interruption,
        )
