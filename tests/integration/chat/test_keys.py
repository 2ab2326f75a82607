"""The key is in a header of the request, and nowhere else."""

import json
from base64 import b64encode
from urllib.parse import quote

import httpx
import pytest
from athanor_experiments.models import ModelError, ModelSetupError
from athanor_experiments.models.redaction import HIDDEN

from tests.support.chat import KEY, VARIABLE, ask, in_order, models_of
from tests.support.chat_server import Answer, ChatServer, completion


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (Answer(401, json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}"}})), HIDDEN),
        (Answer(400, f"headers: Authorization: Bearer {KEY}"), HIDDEN),
        (Answer(500, ("x" * 290) + KEY), "xxx"),  # cut off in the middle of it
        (Answer(400, "/v1?key=" + quote(KEY, safe="")), f"key={HIDDEN}"),
        (Answer(400, "no JSON: " + KEY.replace("/", r"\/")), HIDDEN),
        (Answer(400, json.dumps({"error": {"message": "Basic " + b64encode(f"u:{KEY}".encode()).decode()}})), HIDDEN),
    ],
)
async def test_a_server_that_repeats_the_key_in_an_error_does_not_get_it_into_ours(answer: Answer, shown: str) -> None:
    with ChatServer(in_order(answer)) as server, pytest.raises(ModelError) as caught:
        await ask(server, max_tries=1)
    assert not any(form in str(caught.value) for form in (KEY[:12], KEY[8:], b64encode(KEY.encode()).decode()[4:-4]))
    assert shown in str(caught.value)
    assert caught.value.__cause__ is None


async def test_a_model_that_repeats_the_key_does_not_get_it_into_a_result() -> None:
    spelled = {KEY[:10]: -1.0, KEY[10:]: -1.0}
    with ChatServer(in_order(completion(f"It is {KEY}.", logprobs=spelled))) as server:
        reply = await ask(server)
    assert reply.text == f"It is {HIDDEN}."
    assert reply.logprobs is None, "its tokens would spell it"


async def test_a_key_among_thoughts_is_not_spelled_by_their_tokens_and_other_fields_do_not_have_it() -> None:
    body = json.loads(completion(f"<think>{KEY}</think>Yes.", logprobs={KEY[:10]: -1.0, KEY[10:]: -1.0}).body)
    body["choices"][0]["finish_reason"] = f"stop {KEY}"
    with ChatServer(in_order(Answer(200, json.dumps(body)))) as server:
        reply = await ask(server)
    assert (reply.text, reply.logprobs, reply.finish_reason) == ("Yes.", None, f"stop {HIDDEN}")


async def test_a_placeholder_for_a_key_is_a_word_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "EMPTY")
    with ChatServer(in_order(completion("The EMPTY set."))) as server:
        assert (await ask(server)).text == "The EMPTY set."
    assert server.requests[0].headers["authorization"] == "Bearer EMPTY"


@pytest.mark.parametrize("value", [None, "", "  ", "two words", "caf\u00e9", "line\nbreak"])
async def test_without_a_usable_key_nothing_begins(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    if value is None:
        monkeypatch.delenv(VARIABLE)
    else:
        monkeypatch.setenv(VARIABLE, value)
    says = f"the environment variable {VARIABLE} "
    with ChatServer(in_order(completion("x"))) as server, pytest.raises(ModelSetupError, match=says) as caught:
        await ask(server)
    assert server.requests == []
    assert not value or not value.strip() or value not in str(caught.value)


async def test_the_client_does_not_show_the_key_when_it_is_shown_itself() -> None:
    with ChatServer(in_order(completion("x"))) as server:
        async with models_of(server) as models:
            shown = repr(models) + repr(vars(models)) + repr(vars(models)["_client"].headers)
    assert KEY not in shown
    assert isinstance(vars(models)["_client"], httpx.AsyncClient)
