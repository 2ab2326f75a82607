"""Turns what a servicer raises into a status, for calls and streams of every service."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn

import grpc
from grpc import aio

from athanor_orchestrator.rpc.errors import DETAILS_KEY, to_status

_CODES = {code.value[0]: code for code in grpc.StatusCode}

Handler = Any  # grpc.RpcMethodHandler: its attributes depend on its kind
Context = Any  # aio.ServicerContext of messages that are not known here


class ErrorInterceptor(aio.ServerInterceptor):
    """Wraps every handler, so that servicers just raise."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler: Handler = await continuation(handler_call_details)
        if handler is None:  # no such method: grpc answers UNIMPLEMENTED
            return None
        coders = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.response_streaming:
            if handler.request_streaming:
                return grpc.stream_stream_rpc_method_handler(_stream(handler.stream_stream), **coders)
            return grpc.unary_stream_rpc_method_handler(_stream(handler.unary_stream), **coders)
        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(_unary(handler.stream_unary), **coders)
        return grpc.unary_unary_rpc_method_handler(_unary(handler.unary_unary), **coders)


def _unary(behaviour: Callable[[Any, Context], Awaitable[Any]]) -> Any:
    async def call(request: Any, context: Context) -> Any:
        try:
            return await behaviour(request, context)
        except aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001
            await _abort(context, error)

    return call


def _stream(behaviour: Callable[[Any, Context], Any]) -> Any:
    async def call(request: Any, context: Context) -> AsyncIterator[Any]:
        try:
            answers = behaviour(request, context)
            if not hasattr(answers, "__aiter__"):  # a coroutine that writes to the context itself
                await answers
                return
            try:
                async for answer in answers:
                    yield answer
            finally:
                # Now, in this task, and not when the collector finds it: a watch gives its place back at once.
                await answers.aclose()
        except aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001
            await _abort(context, error)

    return call


async def _abort(context: Context, error: Exception) -> NoReturn:
    status = to_status(error)
    trailer = ((DETAILS_KEY, status.SerializeToString()),) if status.details else ()
    await context.abort(_CODES[status.code], status.message, trailer)
    raise AssertionError("abort raises")
