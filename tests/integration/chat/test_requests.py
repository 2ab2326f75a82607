"""One reply over real HTTP: what is sent, and what a server may do to it."""

import asyncio
import email.utils
import json
import time
from typing import Any

import pytest
from athanor_experiments.models import ModelError, Reply, open_models
from athanor_experiments.models.configuration import Api
from athanor_experiments.models.openai_compatible import retry_after

from tests.support.chat import ASKED, KEY, VARIABLE, api, ask, in_order, models_of
from tests.support.chat_server import Answer, ChatServer, Request, completion


async def test_a_request_is_what_the_api_says_and_the_key_is_in_its_header() -> None:
    with ChatServer(in_order(completion("Fine.", logprobs={"Fi": -0.25, "ne.": -1.5}))) as server:
        reply = await ask(server, temperature=0.5)
    (request,) = server.requests
    assert request.path == "/v1/chat/completions"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["content-type"] == "application/json"
    assert request.body == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What is the weather?"},
        ],
        "temperature": 0.5,
        "seed": 5,
        "max_tokens": 20,
        "logprobs": True,
    }
    assert reply.text == "Fine."
    assert reply.logprobs is not None
    assert reply.logprobs.to_result() == {"tokens": ["Fi", "ne."], "logprobs": [-0.25, -1.5]}
    assert reply.usage is not None
    assert reply.usage.to_result() == {"prompt_tokens": 12, "completion_tokens": 3}


async def test_a_reply_that_has_come_is_not_asked_for_again_for_what_is_odd_beside_it() -> None:
    choice: dict[str, Any] = {
        "message": {"content": "<think>Sun?</think>Rain."},
        "logprobs": [],
        "finish_reason": "length",
    }
    with ChatServer(in_order(Answer(200, json.dumps({"choices": [choice], "usage": {}})))) as server:
        reply = await ask(server)
    assert reply == Reply("Rain.", finish_reason="length")
    assert not reply.complete
    assert len(server.requests) == 1


async def test_what_a_server_does_not_tell_is_none() -> None:
    with ChatServer(in_order(completion("Fine.", usage=None))) as server:
        reply = await ask(server, api_key_env="", logprobs=False, max_tokens_field="max_completion_tokens")
    (request,) = server.requests
    assert "authorization" not in request.headers
    assert "logprobs" not in request.body
    assert request.body["max_completion_tokens"] == 20
    assert (reply.usage, reply.logprobs) == (None, None)


@pytest.mark.parametrize(
    "trouble",
    [
        Answer(429, '{"error": {"message": "slow down"}}'),
        Answer(429, "", {"Retry-After": "0"}),
        Answer(500, "<html>oh</html>"),
        Answer(503, "", {"Retry-After": "soon"}),
        Answer(200, "not JSON"),
        Answer(200, '{"choices": []}'),
        Answer(200, '{"choices": [{"message": {"content": 7}}]}'),
        Answer(silent=True),
        Answer(200, '{"choices"', trickle=True),
    ],
    ids=lambda answer: f"{answer.status} {answer.body[:12]}{answer.silent * 'silent'}{answer.trickle * 'trickle'}",
)
async def test_what_may_pass_is_tried_again(trouble: Answer) -> None:
    began = time.monotonic()
    with ChatServer(in_order(trouble, trouble, completion("At last."))) as server:
        reply = await ask(server, timeout_s=0.3)
    assert time.monotonic() - began < 5, "a server that sends a byte now and then is not waited for longer"
    assert reply.text == "At last."
    assert len(server.requests) == 3
    assert server.requests[0].body == server.requests[2].body


@pytest.mark.parametrize(
    ("trouble", "kind", "says"),
    [
        (Answer(429, '{"error": {"message": "slow\\n down"}}'), "http_429", "the server answered 429: slow down"),
        (Answer(500, "x" * 1000), "http_500", "xxx…"),
        (Answer(200, "not JSON"), "malformed", "the answer: Invalid JSON"),
        (Answer(200, "{}"), "malformed", "choices: Field required"),
        (Answer(silent=True), "timeout", "no answer within 0.1 s"),
    ],
)
async def test_what_does_not_pass_is_an_error_after_so_many_tries(trouble: Answer, kind: str, says: str) -> None:
    with ChatServer(in_order(trouble)) as server, pytest.raises(ModelError) as caught:
        await ask(server, timeout_s=0.1, max_tries=3)
    assert caught.value.kind == kind
    assert says in str(caught.value)
    assert len(str(caught.value)) < 400
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 422])
async def test_what_is_wrong_for_good_is_not_tried_again(status: int) -> None:
    answer = Answer(status, "no")
    says = f"the server answered {status}: no"
    with ChatServer(in_order(answer)) as server, pytest.raises(ModelError, match=says):
        await ask(server)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("location", "host"),
    [("https://login.example.org/start?a=b", "login.example.org"), ("/login", "127.0.0.1")],
)
async def test_where_a_redirect_leads_is_told_and_it_is_not_followed(location: str, host: str) -> None:
    answer = Answer(302, "", {"Location": location})
    says = f"the server answered 302: it sends to {host}, which is not followed$"
    with ChatServer(in_order(answer)) as server, pytest.raises(ModelError, match=says):
        await ask(server)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [401, 403])
async def test_who_is_refused_is_asked_no_more_and_the_others_are(status: int) -> None:
    def respond(request: Request) -> Answer:
        return completion("x") if request.body["model"] == "open" else Answer(status, "not with this key")

    with ChatServer(respond) as server:
        async with models_of(server) as models:
            for _ in range(3):
                with pytest.raises(ModelError, match=f"the server answered {status}: not with this key") as caught:
                    await models.reply("shut", ASKED, seed=1, max_tokens=5)
                assert (caught.value.kind, caught.value.passing) == (f"http_{status}", False)
            assert (await models.reply("open", ASKED, seed=1, max_tokens=5)).text == "x"
    assert [request.body["model"] for request in server.requests] == ["shut", "open"]


async def test_who_is_refused_is_not_asked_by_those_that_already_waited() -> None:
    with ChatServer(in_order(Answer(401, "no"))) as server:
        async with open_models("openai_compatible", api(server), ["m"], 1) as models:
            asking = [models.reply("m", ASKED, seed=seed, max_tokens=5) for seed in range(5)]
            refused = await asyncio.gather(*asking, return_exceptions=True)
    assert [str(error) for error in refused] == ["the server answered 401: no"] * 5
    assert len(server.requests) == 1


async def test_another_error_is_no_reason_not_to_ask_again() -> None:
    with ChatServer(in_order(Answer(400, "too long"), completion("x"))) as server:
        async with models_of(server) as models:
            with pytest.raises(ModelError):
                await models.reply("m", ASKED, seed=1, max_tokens=5)
            assert (await models.reply("m", ASKED, seed=1, max_tokens=5)).text == "x"


async def test_what_is_tried_again_is_told_without_the_key(caplog: pytest.LogCaptureFixture) -> None:
    """That the key is not in it is looked after by a fixture, for all of these tests."""
    trouble = Answer(429, f"slow down, {KEY}", {"Retry-After": "0"})
    with ChatServer(in_order(trouble, completion("x"))) as server:
        await ask(server)
    told = [record.message for record in caplog.records if record.name.startswith("athanor_experiments")]
    assert told == ["the server answered 429: slow down, [API key]; try 2 of 5 in 0.0 s"]


async def test_a_server_that_is_not_there_is_an_error_too() -> None:
    with ChatServer(in_order(completion("x"))) as server:
        gone = server.url
    async with open_models(
        "openai_compatible", Api(base_url=gone, api_key_env=VARIABLE, max_tries=2, max_backoff_s=0), ["m"], 1
    ) as models:
        with pytest.raises(ModelError) as caught:
            await models.reply("m", ASKED, seed=1, max_tokens=5)
    assert caught.value.kind == "connection"


async def test_a_pause_that_the_server_asks_for_is_kept_by_everybody() -> None:
    """The second request is another conversation's, which has done nothing wrong."""
    times: list[float] = []

    def respond(request: Request) -> Answer:
        times.append(time.monotonic())
        return Answer(429, "", {"Retry-After": "1"}) if request.number == 1 else completion("x")

    with ChatServer(respond) as server:
        async with models_of(server, max_backoff_s=5) as models:
            first = asyncio.create_task(models.reply("m", ASKED, seed=1, max_tokens=5))
            while not times:
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.2)  # the answer has arrived
            await models.reply("m", ASKED, seed=2, max_tokens=5)
            await first
    assert min(times[1:]) - times[0] >= 0.95


async def test_a_pause_that_is_too_long_is_a_failure_at_once() -> None:
    answer = Answer(429, "tomorrow", {"Retry-After": "86400"})
    with ChatServer(in_order(answer)) as server, pytest.raises(ModelError, match="429: tomorrow"):
        await ask(server)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7),
        (" 0 ", 0),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("9" * 30, None),
        (email.utils.formatdate(1_000_030, usegmt=True), 30),
        (email.utils.formatdate(999_000, usegmt=True), 0),
    ],
)
def test_a_retry_after_header_is_read(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, 1_000_000) == seconds


async def test_a_text_that_no_result_can_contain_is_made_one_that_can() -> None:
    with ChatServer(in_order(completion("a\0b"))) as server:
        assert (await ask(server)).text == "a\ufffdb"
