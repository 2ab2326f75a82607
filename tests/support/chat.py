"""Models behind the chat server of a test, and experiments that ask them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from athanor.experiment.testing import RecordedRun
from athanor_experiments.models import Message, Models, Reply, open_models
from athanor_experiments.models.configuration import Api

from tests.support.chat_server import Answer, ChatServer, Request

KEY = "sk-test/9d8f7a6b5c4e3d2f1a0b"
VARIABLE = "ATHANOR_TEST_CHAT_KEY"
ASKED = [Message("system", "Be brief."), Message("user", "What is the weather?")]


def api(server: ChatServer, **changes: Any) -> Api:
    return Api(
        **{"base_url": server.url, "api_key_env": VARIABLE, "max_backoff_s": 0.02, "requests_per_minute": 10_000}
        | {"tokens_per_minute": 100_000_000}
        | changes
    )


@asynccontextmanager
async def models_of(server: ChatServer, **changes: Any) -> AsyncIterator[Models]:
    async with open_models("openai_compatible", api(server, **changes), ["m"], 4) as models:
        yield models


def in_order(*answers: Answer) -> Callable[[Request], Answer]:
    """Answers one after the other; the last of them for all that follow."""
    return lambda request: answers[min(request.number, len(answers)) - 1]


async def ask(server: ChatServer, **changes: Any) -> Reply:
    async with models_of(server, **changes) as models:
        return await models.reply("m", ASKED, seed=5, max_tokens=20)


def configuration(server: ChatServer, **changes: Any) -> dict[str, Any]:
    return {"provider": "openai_compatible", "api": api(server, timeout_s=5, max_tries=4).model_dump()} | changes


def assert_the_key_is_in_none_of_it(run: RecordedRun) -> None:
    assert all(KEY.encode() not in event.data for event in run.events)
    assert run.failure is None or KEY not in run.failure.message + run.failure.detail
