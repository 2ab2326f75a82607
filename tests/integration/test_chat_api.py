"""Experiments with language models over real HTTP: what a server may do to them, and where the key is not."""

import asyncio
import email.utils
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from athanor.experiment.testing import RecordedRun, run_experiment
from athanor_experiments.judge import judge
from athanor_experiments.judge.prompts import JUDGE_SYSTEM
from athanor_experiments.models import Message, ModelError, Models, ModelSetupError, open_models
from athanor_experiments.models.configuration import Api
from athanor_experiments.models.openai_compatible import HIDDEN, retry_after
from athanor_experiments.substrate_shift import substrate_shift
from athanor_experiments.substrate_shift.questions import VERDICT

from tests.support.chat_server import Answer, ChatServer, Request, completion

KEY = "sk-test/9d8f7a6b5c4e3d2f1a0b"
VARIABLE = "ATHANOR_TEST_CHAT_KEY"
ASKED = [Message("system", "Be brief."), Message("user", "What is the weather?")]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, KEY)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def the_key_is_nowhere(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], environment: None
) -> Iterator[None]:
    """Whatever a test does, at the level of all details: neither logged nor printed."""
    caplog.set_level(logging.DEBUG)
    yield
    printed = capfd.readouterr()
    assert KEY not in printed.out + printed.err
    assert KEY not in caplog.text


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


async def ask(server: ChatServer, **changes: Any) -> Any:
    async with models_of(server, **changes) as models:
        return await models.reply("m", ASKED, seed=5, max_tokens=20)


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
        Answer(200, '{"choices": [{"message": {"content": "x"}, "logprobs": {"content": [{"token": "x"}]}}]}'),
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
    answer = Answer(status, "no", {"Location": "http://127.0.0.1:9/"})
    says = f"the server answered {status}: no"
    with ChatServer(in_order(answer)) as server, pytest.raises(ModelError, match=says):
        await ask(server)
    assert len(server.requests) == 1


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


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (Answer(401, json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}"}})), HIDDEN),
        (Answer(400, f"headers: Authorization: Bearer {KEY}"), HIDDEN),
        (Answer(500, ("x" * 290) + KEY), "xxx"),  # cut off in the middle of it
    ],
)
async def test_a_server_that_repeats_the_key_in_an_error_does_not_get_it_into_ours(answer: Answer, shown: str) -> None:
    with ChatServer(in_order(answer)) as server, pytest.raises(ModelError) as caught:
        await ask(server, max_tries=1)
    assert KEY[:12] not in str(caught.value)
    assert shown in str(caught.value)
    assert caught.value.__cause__ is None


async def test_a_model_that_repeats_the_key_does_not_get_it_into_a_result() -> None:
    spelled = {KEY[:10]: -1.0, KEY[10:]: -1.0}
    with ChatServer(in_order(completion(f"It is {KEY}.", logprobs=spelled))) as server:
        reply = await ask(server)
    assert reply.text == f"It is {HIDDEN}."
    assert reply.logprobs is None, "its tokens would spell it"


async def test_a_placeholder_for_a_key_is_a_word_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "EMPTY")
    with ChatServer(in_order(completion("The EMPTY set."))) as server:
        assert (await ask(server)).text == "The EMPTY set."
    assert server.requests[0].headers["authorization"] == "Bearer EMPTY"


async def test_a_text_that_no_result_can_contain_is_made_one_that_can() -> None:
    with ChatServer(in_order(completion("a\0b"))) as server:
        assert (await ask(server)).text == "a\ufffdb"


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


# Whole experiments.


def configuration(server: ChatServer, **changes: Any) -> dict[str, Any]:
    return {"provider": "openai_compatible", "api": api(server, timeout_s=5, max_tries=4).model_dump()} | changes


def shift(server: ChatServer, runs: int = 1, **changes: Any) -> dict[str, Any]:
    pairs = [{"model_a": "one", "model_b": "two"}]
    return configuration(server, pairs=pairs, runs_per_pair=runs, parallelism=3, **changes)


def assert_the_key_is_in_none_of_it(run: RecordedRun) -> None:
    assert all(KEY.encode() not in event.data for event in run.events)
    assert run.failure is None or KEY not in run.failure.message + run.failure.detail


def notices(request: Request) -> Answer:
    """A model that notices every change: it knows, because all that it said before is signed."""
    model, last = request.body["model"], request.last
    if last != VERDICT:
        return completion(f"Signed, {model}.", logprobs={"Signed,": -0.1, f" {model}.": -0.2})
    authors = {message["content"] for message in request.body["messages"] if message["role"] == "assistant"}
    return completion("SAME" if authors == {f"Signed, {model}."} else "CHANGED\n3")


def test_conversations_over_http_in_spite_of_all_that_goes_wrong() -> None:
    """Every third request fails in another way, and none of it is in the numbers."""
    troubles = [
        Answer(429, "", {"Retry-After": "0"}),
        Answer(500, f"Bearer {KEY}"),
        Answer(200, "not JSON"),
        Answer(502, ""),
    ]

    def respond(request: Request) -> Answer:
        third, rest = divmod(request.number, 3)
        return troubles[third % 4] if rest == 0 else notices(request)

    with ChatServer(respond) as server:
        config = shift(server, runs=2)
        config["api"]["max_tries"] = 20
        run = run_experiment(substrate_shift, config, seed=7, capture=True)
    assert run.outcome == "completed"
    assert_the_key_is_in_none_of_it(run)
    assert server.most_at_once <= 3

    (summary,) = run.results["summary"]
    assert summary["method"] == "verdict"
    (pair,) = summary["pairs"]
    assert (pair["detection"]["count"], pair["detection"]["of"]) == (8, 8)
    assert (pair["false_alarm"]["count"], pair["false_alarm"]["of"]) == (0, 2)
    assert pair["threshold"] is None

    (result,) = run.results["pair_1/switch_3/run_2"]
    assert [turn["model"] for turn in result["turns"]] == ["one"] * 2 + ["two"] * 8
    assert result["turns"][0]["logprobs"] == {"tokens": ["Signed,", " one."], "logprobs": [-0.1, -0.2]}
    assert result["turns"][0]["usage"] == {"prompt_tokens": 12, "completion_tokens": 3}
    assert result["verdict"]["said_turn"] == 3


def test_as_many_conversations_go_on_at_once_as_are_allowed() -> None:
    with ChatServer(notices) as server:
        run_experiment(substrate_shift, shift(server, runs=2), seed=7)
    assert server.most_at_once == 3


def test_a_failed_conversation_is_a_result_and_does_not_end_the_run_and_is_not_repeated() -> None:
    def respond(request: Request) -> Answer:
        if request.body["model"] == "two":
            return Answer(404, f"no model two for {KEY}")
        return notices(request)

    with ChatServer(respond) as server:
        run = run_experiment(substrate_shift, shift(server), seed=7)
        assert run.outcome == "completed"
        assert_the_key_is_in_none_of_it(run)
        (result,) = run.results["pair_1/switch_7/run_1"]
        assert result["state"] == "failed"
        assert result["error"]["kind"] == "http_404"
        assert len(result["turns"]) == 6
        (pair,) = run.results["summary"][0]["pairs"]
        assert (pair["failed"], pair["detection"]["rate"], pair["false_alarm"]["of"]) == (4, None, 1)
        assert len([entry for entry in run.logs if entry.level == "warn"]) == 4

        asked = len(server.requests)
        again = run_experiment(substrate_shift, shift(server), seed=7, after=run)
        assert len(server.requests) == asked, "a later attempt repeats none, failed ones included"
        assert again.standing_results["summary"][-1] == run.results["summary"][0]


def test_killed_over_http_it_goes_on_where_it_was() -> None:
    with ChatServer(notices) as server:
        whole = run_experiment(substrate_shift, shift(server), seed=7)
        for events in (1, 4, 8):
            killed = run_experiment(substrate_shift, shift(server), seed=7, kill_after=events)
            # Another server: at this one, requests of the killed attempt may still arrive.
            with ChatServer(notices) as other:
                rest = run_experiment(substrate_shift, shift(other), seed=7, after=killed)
            assert rest.standing_results == whole.results
            assert len(other.requests) == 11 * (5 - len(killed.checkpoints))


def test_cancelled_in_the_middle_of_conversations_it_goes_no_further_than_their_next_turn() -> None:
    """All begin at once; half of them fail at their first turn, and with the first such result comes the request."""

    def respond(request: Request) -> Answer:
        return Answer(404, "gone") if request.body["model"] == "gone" else notices(request)

    with ChatServer(respond) as server:
        pairs = [{"model_a": "gone", "model_b": "gone"}, {"model_a": "one", "model_b": "one"}]
        config = configuration(server, pairs=pairs, runs_per_pair=1, parallelism=10)
        run = run_experiment(substrate_shift, config, seed=7, cancel_after=2)
    assert run.outcome == "cancelled"
    assert run.results
    assert all(result["state"] == "failed" for (result,) in run.results.values())
    assert 0 < len([request for request in server.requests if request.body["model"] == "one"]) < 5 * 11


def test_without_the_variable_the_run_fails_and_says_which() -> None:
    with ChatServer(notices) as server:
        config = shift(server)
        config["api"]["api_key_env"] = "ATHANOR_TEST_NO_SUCH_KEY"
        run = run_experiment(substrate_shift, config, seed=7)
    assert run.outcome == "failed"
    assert run.failure is not None
    assert run.failure.kind == "reported"
    assert "the environment variable ATHANOR_TEST_NO_SUCH_KEY is not set" in run.failure.message
    assert server.requests == []


def test_a_judge_over_http_sees_every_pair_in_both_orders_and_ranks() -> None:
    """The judge takes the longer answer, and what is shown first where they are as long."""
    lengths = {"long": 30, "short": 10, "brief": 10}

    def respond(request: Request) -> Answer:
        if request.body["messages"][0]["content"] != JUDGE_SYSTEM:
            return completion("x" * lengths[request.body["model"]])
        _, _, after = request.last.partition("=== Answer A ===\n")
        first, _, after = after.partition("\n=== End of answer A ===")
        _, _, after = after.partition("=== Answer B ===\n")
        second, _, _ = after.partition("\n=== End of answer B ===")
        return completion(f"I prefer length.\nVERDICT: {'B' if len(second) > len(first) else 'A'}")

    config = {
        "models": ["short", "long", "brief"],
        "judge_model": "judge",
        "prompts": ["Say x.", "Say it again."],
        "resamples": 50,
    }
    with ChatServer(respond) as server:
        run = run_experiment(judge, configuration(server, **config), seed=7, capture=True)
    assert run.outcome == "completed"
    assert_the_key_is_in_none_of_it(run)
    (ranking,) = run.results["ranking"]
    assert ranking["ranking"][0]["model"] == "long"
    won = {entry["model"]: (entry["won"], entry["tied"], entry["lost"]) for entry in ranking["ranking"]}
    assert won == {"long": (4, 0, 0), "short": (0, 2, 2), "brief": (0, 2, 2)}
    # Two of three pairs go by the answer, and one by the position, whoever stands there.
    assert ranking["first_position"]["count"] == 8
    assert ranking["first_position"]["of"] == 12
    (pair,) = run.results["comparison/1/1/1/3"]
    assert (pair["in_order"]["verdict"], pair["swapped"]["verdict"], pair["score"]) == ("A", "A", 0.5)


def test_a_model_that_does_not_answer_is_compared_with_nobody() -> None:
    def respond(request: Request) -> Answer:
        if request.body["model"] == "mute":
            return Answer(400, f"{KEY} may not")
        if request.body["messages"][0]["content"] == JUDGE_SYSTEM:
            return completion("VERDICT: TIE")
        return completion("An answer.")

    config = {"models": ["one", "two", "mute"], "judge_model": "judge", "prompts": ["Say x."], "resamples": 50}
    with ChatServer(respond) as server:
        run = run_experiment(judge, configuration(server, **config), seed=7)
    assert run.outcome == "completed"
    assert_the_key_is_in_none_of_it(run)
    assert run.results["answer/1/1/3"][0]["error"]["kind"] == "http_400"
    assert run.results["comparison/1/1/1/3"][0]["score"] is None
    (ranking,) = run.results["ranking"]
    assert ranking["groups"] == [["one", "two"], ["mute"]]
    assert ranking["verdicts_missing"] == 4


async def test_the_client_does_not_show_the_key_when_it_is_shown_itself() -> None:
    with ChatServer(in_order(completion("x"))) as server:
        async with models_of(server) as models:
            shown = repr(models) + repr(vars(models)) + repr(vars(models)["_client"].headers)
    assert KEY not in shown
    assert isinstance(vars(models)["_client"], httpx.AsyncClient)
