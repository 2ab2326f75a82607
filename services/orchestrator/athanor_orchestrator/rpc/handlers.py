"""Mounts a servicer on its service: requests are parsed and checked here, once for every method.

A servicer is a plain class with one method for each rpc, `async def Name(self, request)`, or an async generator for a
stream. What it returns is a message, or the bytes of one: what is stored as bytes is sent as it is.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from athanor_orchestrator.domain.errors import InvalidFields, Violation
from athanor_orchestrator.rpc.validate import check_message


def mount(service: ServiceDescriptor, servicer: object) -> grpc.GenericRpcHandler:
    """Return the handler of a service, all of whose methods take one request."""
    handlers = {method.name: _handler(method, getattr(servicer, method.name)) for method in service.methods}
    return grpc.method_handlers_generic_handler(service.full_name, handlers)


def serialize(answer: Message | bytes) -> bytes:
    """Return the wire form of an answer."""
    return answer if isinstance(answer, bytes) else answer.SerializeToString()


def _handler(method: MethodDescriptor, behaviour: Callable[[Any], Any]) -> "grpc.RpcMethodHandler[Any, Any]":
    if method.server_streaming:
        return grpc.unary_stream_rpc_method_handler(_stream(method, behaviour), response_serializer=serialize)
    return grpc.unary_unary_rpc_method_handler(_unary(method, behaviour), response_serializer=serialize)


def _unary(method: MethodDescriptor, behaviour: Callable[[Any], Any]) -> Any:
    async def call(request: bytes, _context: object) -> Message | bytes:
        return await behaviour(_parse(method, request))

    return call


def _stream(method: MethodDescriptor, behaviour: Callable[[Any], Any]) -> Any:
    async def call(request: bytes, _context: object) -> AsyncIterator[Message | bytes]:
        answers = behaviour(_parse(method, request))
        try:
            async for answer in answers:
                yield answer
        finally:
            await answers.aclose()

    return call


def _parse(method: MethodDescriptor, request: bytes) -> Message:
    """Parse a request here and not in grpc, which would answer a malformed one with a fault of its own."""
    message = GetMessageClass(method.input_type)()
    try:
        message.ParseFromString(request)
    except DecodeError:
        name = method.input_type.full_name
        raise InvalidFields(Violation("", f"the request is no {name}, or a text in it is not UTF-8")) from None
    check_message(message)
    return message
