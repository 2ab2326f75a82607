"""The services that every gRPC server should have: health and reflection."""

from collections.abc import Iterable
from typing import Any, cast

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection, reflection_pb2
from grpc_reflection.v1alpha._async import ReflectionServicer

HEALTH = "grpc.health.v1.Health"
REFLECTION = ("grpc.reflection.v1.ServerReflection", reflection.SERVICE_NAME)

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Health:
    """Health of the server ("") and of each of its services."""

    def __init__(self, services: Iterable[str]) -> None:
        self._servicer = HealthServicer()
        self._services = ("", *services)

    def mount(self, server: aio.Server) -> None:
        """Serve grpc.health.v1."""
        cast(Any, health_pb2_grpc).add_HealthServicer_to_server(self._servicer, server)

    async def say(self, serving: bool) -> None:
        """Tell whoever asks, and whoever watches, whether everything answers; nothing after `stop`."""
        for service in self._services:
            await self._servicer.set(service, _SERVING if serving else _NOT_SERVING)

    async def stop(self) -> None:
        """Look elsewhere; final, also for what would still call `say`."""
        await self.say(False)
        await self._servicer.enter_graceful_shutdown()


def _described() -> None:
    """Make reflection's own v1, of which the package has no description, known to whom asks for all that is listed."""
    old, new = "grpc.reflection.v1alpha", "grpc.reflection.v1"
    described = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(described)
    described.name, described.package = "grpc/reflection/v1/reflection.proto", new
    for message in described.message_type:
        for field in message.field:
            if field.HasField("type_name"):
                field.type_name = field.type_name.replace(old, new)
    for method in described.service[0].method:
        method.input_type = method.input_type.replace(old, new)
        method.output_type = method.output_type.replace(old, new)
    descriptor_pool.Default().AddSerializedFile(described.SerializeToString())


def mount_reflection(server: aio.Server, services: Iterable[str]) -> None:
    """Serve reflection under both of its names: the messages are the same, and newer tools ask for v1 alone."""
    _described()
    servicer: Any = ReflectionServicer((*services, *REFLECTION))
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=cast(Any, reflection_pb2).ServerReflectionRequest.FromString,
        response_serializer=cast(Any, reflection_pb2).ServerReflectionResponse.SerializeToString,
    )
    methods = {"ServerReflectionInfo": handler}
    for name in REFLECTION:
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, methods),))
