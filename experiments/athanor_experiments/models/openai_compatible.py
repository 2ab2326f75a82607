"""Models behind a server that speaks the OpenAI-compatible chat API, with retries, rate limits and timeouts.

The key comes from an environment variable and is in the request's header alone. Whatever else leaves this module, an
error or a reply, has gone through `_clean`: some servers repeat the key in what they answer.
"""

import asyncio
import email.utils
import json
import logging
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import httpx
from pydantic import SecretStr
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from athanor_experiments.models import Logprobs, Message, ModelError, ModelSetupError, Reply
from athanor_experiments.models.completion import read_completion, without_thoughts
from athanor_experiments.models.configuration import Api
from athanor_experiments.models.rate_limit import RateLimit
from athanor_experiments.models.redaction import HIDDEN, Redaction

_log = logging.getLogger(__name__)

# What may be otherwise the next time. A request to complete a text changes nothing, so it may be sent again.
PASSING_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
# Of the key and what it may: it stays so for the whole run.
REFUSED_KINDS = frozenset({"http_401", "http_403"})
SHOWN_CHARACTERS = 300  # of what a server says to an error
# As JSON. Not all servers keep to the longest reply that is asked for, and eleven replies must fit into one result.
MOST_ANSWER_BYTES = 32 << 10
MOST_LOGPROBS_BYTES = 56 << 10
CHARACTERS_PER_TOKEN = 4  # to guess the tokens of a request before the server counts them


class _Passing(ModelError):
    """It may be otherwise the next time."""

    passing = True

    def __init__(self, kind: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(kind, message)
        self.retry_after_s = retry_after_s  # what the server asked for


def read_key(api: Api) -> SecretStr | None:
    """The key of the variable that the configuration names; None when it names none.

    Raises ModelSetupError when the variable is not set, or holds what no header can carry. The text never has it.
    """
    if not api.api_key_env:
        return None
    key = os.environ.get(api.api_key_env, "").strip()
    if not key:
        raise ModelSetupError(
            f"the environment variable {api.api_key_env} is not set where this runs. Set it for the runner, or set "
            "api.api_key_env to the name of another one, or to nothing for a server without keys"
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ModelSetupError(f"the environment variable {api.api_key_env} holds characters that no API key has")
    return SecretStr(key)


class OpenAICompatible:
    """Models behind a chat API; see `Models`. One for all conversations of a run, as the limits are theirs together."""

    texts = None  # they are not made here

    def __init__(self, api: Api, key: SecretStr | None, parallelism: int) -> None:
        self._api = api
        self._redacted = Redaction(key)
        self._url = api.base_url.rstrip("/") + "/chat/completions"
        self._limit = RateLimit(api.requests_per_minute, api.tokens_per_minute)
        self._under_way = asyncio.Semaphore(parallelism)
        self._refused: dict[str, tuple[str, str]] = {}  # kind and message of the refusal, by the model's name
        self._backoff = wait_random_exponential(multiplier=0.5, max=api.max_backoff_s)
        headers = {} if key is None else {"Authorization": f"Bearer {key.get_secret_value()}"}
        # A redirect is not followed: it would take the key to another server.
        self._client = httpx.AsyncClient(headers=headers, timeout=api.timeout_s, follow_redirects=False)
        # They log every request, and at `debug` what came back, which the run's log would be full of.
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def reply(self, model: str, messages: Sequence[Message], *, seed: int, max_tokens: int) -> Reply:
        """Ask a model for the message that follows; see `Models.reply`. What fails in passing is tried again.

        A model that the server has refused to this key is asked no more: each further reply fails at once, as the first
        did.
        """
        self._check_refused(model)
        body = self._body(model, messages, seed, max_tokens)
        tokens = max_tokens + sum(len(message.content) for message in messages) // CHARACTERS_PER_TOKEN
        retrying = AsyncRetrying(
            retry=retry_if_exception(self._may_pass),
            wait=self._pause,
            stop=stop_after_attempt(self._api.max_tries),
            before_sleep=self._tell,
            reraise=True,
        )
        return await retrying(self._try, model, body, tokens)

    def log_perplexity(self, model: str, messages: Sequence[Message], text: str) -> float | None:
        """A chat API does not tell the probability of a given text."""
        return None

    def _body(self, model: str, messages: Sequence[Message], seed: int, max_tokens: int) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": model,
            "messages": [{"role": message.role, "content": message.content} for message in messages],
            "temperature": self._api.temperature,
            "seed": seed,
            self._api.max_tokens_field: max_tokens,
        }
        if self._api.logprobs:
            body["logprobs"] = True
        return body

    async def _try(self, model: str, body: dict[str, Any], tokens: int) -> Reply:
        async with self._under_way:
            self._check_refused(model)
            started = await self._limit.start(tokens)
            self._check_refused(model)
            try:
                reply = self._read(await self._post(body))
            except ModelError as error:
                if error.kind in REFUSED_KINDS:
                    self._refused[model] = (error.kind, str(error))
                raise
        if reply.usage is not None:
            self._limit.settle(started, reply.usage.prompt_tokens + reply.usage.completion_tokens)
        return reply

    def _check_refused(self, model: str) -> None:
        """Raise the refusal of this model, if there was one: an error of its own, as each is raised once."""
        if model in self._refused:
            raise ModelError(*self._refused[model])

    async def _post(self, body: dict[str, Any]) -> str:
        """Send a request and answer the body of what comes back. Raises ModelError."""
        try:
            # httpx limits each read; a server that sends a byte now and then would hold a conversation for ever.
            async with asyncio.timeout(self._api.timeout_s):
                response = await self._client.post(self._url, json=body)
        except (TimeoutError, httpx.TimeoutException):
            raise _Passing("timeout", f"no answer within {self._api.timeout_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # `from None`: what httpx raises refers to the request, and so to its headers.
            message = self._clean(f"{type(error).__name__}: {error}")
            raise _Passing("connection", message) from None

        if response.is_success:
            return response.text
        kind = f"http_{response.status_code}"
        message = f"the server answered {response.status_code}: {self._said(response.text)}"
        if response.has_redirect_location:
            there = self._clean(httpx.URL(self._url).join(response.headers["Location"]).host)
            message = f"the server answered {response.status_code}: it sends to {there}, which is not followed"
        if response.status_code not in PASSING_STATUS:
            raise ModelError(kind, message)
        pause = retry_after(response.headers.get("Retry-After"), time.time())
        if pause is not None and pause <= self._api.max_backoff_s:
            self._limit.hold(pause)  # what the others sent now would be refused, too
        raise _Passing(kind, message, pause)

    def _read(self, text: str) -> Reply:
        """Make a reply of the body of an answer. Raises ModelError."""
        try:
            said = read_completion(text)
        except ValueError as error:
            raise _Passing("malformed", self._clean(str(error))) from None

        answer = self._clean(without_thoughts(said.text))
        if (size := _json_bytes(answer)) > MOST_ANSWER_BYTES:
            raise ModelError("too_long", f"an answer of {size} bytes; at most {MOST_ANSWER_BYTES} are taken")
        # Where the key was taken out of what was written, its tokens would still spell it.
        spelled = HIDDEN in self._clean(said.text)
        return Reply(
            answer,
            said.usage,
            None if said.logprobs is None or spelled else self._fitting(said.logprobs),
            None if said.finish_reason is None else self._clean(said.finish_reason)[:SHOWN_CHARACTERS],
        )

    def _fitting(self, logprobs: Logprobs) -> Logprobs | None:
        """They as a result can contain them; None when they are too many."""
        cleaned = Logprobs(tuple(map(self._clean, logprobs.tokens)), logprobs.logprobs)
        return cleaned if _json_bytes(cleaned.to_result()) <= MOST_LOGPROBS_BYTES else None

    def _may_pass(self, error: BaseException) -> bool:
        longest = self._api.max_backoff_s
        return isinstance(error, _Passing) and (error.retry_after_s is None or error.retry_after_s <= longest)

    def _pause(self, state: RetryCallState) -> float:
        """How long to wait before the next try: what the server asked for, else longer each time."""
        error = None if state.outcome is None else state.outcome.exception()
        if isinstance(error, _Passing) and error.retry_after_s is not None:
            return error.retry_after_s
        return self._backoff(state)

    def _tell(self, state: RetryCallState) -> None:
        """Whoever watches a run that does not get on should see why."""
        if state.outcome is not None and state.next_action is not None:
            tries = f"try {state.attempt_number + 1} of {self._api.max_tries}"
            _log.info("%s; %s in %.1f s", state.outcome.exception(), tries, state.next_action.sleep)

    def _said(self, text: str) -> str:
        """What a server says to an error, on one line that is not too long."""
        said: Any = text
        with suppress(ValueError, RecursionError):
            said = json.dumps(json.loads(text), ensure_ascii=False)
            with suppress(KeyError, TypeError, IndexError):
                said = json.loads(text)["error"]["message"]
        line = " ".join(self._clean(str(said)).split())
        return line if len(line) <= SHOWN_CHARACTERS else line[: SHOWN_CHARACTERS - 1] + "…"

    def _clean(self, text: str) -> str:
        """Take the key out of what a server says, and what no result can contain."""
        return self._redacted(text.encode(errors="replace").decode().replace("\0", "\ufffd"))


def _json_bytes(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())


def retry_after(header: str | None, now: float) -> float | None:
    """Seconds to wait by a Retry-After header, which has a number of seconds or a date (RFC 9110, 10.2.3).

    Args:
        header: its value. now: seconds since the epoch.

    None when there is none, or none that can be read.
    """
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return None
