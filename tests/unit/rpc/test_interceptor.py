"""Errors become statuses in every kind of handler, whichever way it is written."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from athanor_orchestrator.domain.errors import NotFound
from athanor_orchestrator.rpc.interceptor import ErrorInterceptor
from grpc import aio


class Aborted(aio.AbortError):
    pass


class Context:
    """Remembers what a call was ended with."""

    def __init__(self) -> None:
        self.aborted: tuple[grpc.StatusCode, str] | None = None

    async def abort(self, code: grpc.StatusCode, details: str, trailers: object) -> None:
        assert self.aborted is None, "a call ends once"
        self.aborted = (code, details)
        raise Aborted


async def fail(_request: object, _context: object) -> object:
    raise NotFound("run", "r")


async def fail_in_stream(_request: object, _context: object) -> AsyncIterator[str]:
    yield "first"
    raise NotFound("run", "r")


async def bug(_request: object, _context: object) -> object:
    raise ZeroDivisionError


async def abort_itself(_request: object, context: Context) -> object:
    await context.abort(grpc.StatusCode.DATA_LOSS, "its own", ())
    return None


MAKERS: dict[str, Callable[..., Any]] = {
    "unary_unary": grpc.unary_unary_rpc_method_handler,
    "unary_stream": grpc.unary_stream_rpc_method_handler,
    "stream_unary": grpc.stream_unary_rpc_method_handler,
    "stream_stream": grpc.stream_stream_rpc_method_handler,
}


async def call(kind: str, behaviour: Callable[..., Any]) -> tuple[list[Any], Context]:
    async def continuation(_details: object) -> Any:
        return MAKERS[kind](behaviour, response_serializer=None)

    handler = await ErrorInterceptor().intercept_service(continuation, None)  # type: ignore[arg-type]
    context, answers = Context(), []
    wrapped = getattr(handler, kind)
    try:
        if kind.endswith("stream"):
            async for answer in wrapped(b"", context):
                answers.append(answer)
        else:
            answers.append(await wrapped(b"", context))
    except Aborted:
        pass
    return answers, context


@pytest.mark.parametrize("kind", MAKERS)
async def test_an_error_becomes_its_status(kind: str) -> None:
    answers, context = await call(kind, fail_in_stream if kind.endswith("stream") else fail)
    assert answers == (["first"] if kind.endswith("stream") else [])
    assert context.aborted == (grpc.StatusCode.NOT_FOUND, "there is no run 'r'")


@pytest.mark.parametrize("kind", MAKERS)
async def test_a_handler_may_be_a_coroutine_that_writes_by_itself(kind: str) -> None:
    _, context = await call(kind, fail)
    assert context.aborted is not None


@pytest.mark.parametrize("kind", MAKERS)
async def test_a_bug_is_internal(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    _, context = await call(kind, bug)
    assert context.aborted is not None
    assert context.aborted[0] is grpc.StatusCode.INTERNAL
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("kind", MAKERS)
async def test_what_a_handler_aborts_itself_is_left_alone(kind: str) -> None:
    _, context = await call(kind, abort_itself)
    assert context.aborted == (grpc.StatusCode.DATA_LOSS, "its own")


async def test_a_method_that_is_not_there_stays_so() -> None:
    async def continuation(_details: object) -> None:
        return None

    assert await ErrorInterceptor().intercept_service(continuation, None) is None  # type: ignore[arg-type]
