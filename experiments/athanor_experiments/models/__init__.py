"""Language models behind one small protocol, so that an experiment is written once for all of them.

`open_models` opens what the configuration asks for: `local` (models that are trained on the spot, no network) or
`openai_compatible` (a server that speaks the chat API). Nothing is imported before it is needed: describing an
experiment must not cost an HTTP library.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from athanor_experiments.models.configuration import Api, Provider

__all__ = [
    "open_models",
    "Models",
    "Message",
    "Reply",
    "Usage",
    "Logprobs",
    "ModelError",
    "ModelSetupError",
    "NoAnswersError",
    "Api",
    "Provider",
]

Role = Literal["system", "user", "assistant"]


class ModelError(Exception):
    """One reply was not to be had, however often it was tried. Its text is one line and never contains a key."""

    passing = False  # whether it may be otherwise at another time, as after an outage

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind  # `http_401`, `timeout`, `connection`, `malformed`, `too_long` or `unknown_model`

    def to_result(self) -> dict[str, Any]:
        """Say it as part of a result."""
        return {"kind": self.kind, "message": str(self)}


class NoAnswersError(Exception):
    """Nothing came of a run, or not all, for a reason that may pass: a later attempt may have more luck."""


class ModelSetupError(Exception):
    """No model can be reached like this: it is the configuration or the environment that has to change."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What a reply cost, in tokens; characters for a local model."""

    prompt_tokens: int
    completion_tokens: int

    def to_result(self) -> dict[str, int]:
        """Say it as part of a result."""
        return {"prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens}


@dataclass(frozen=True, slots=True)
class Logprobs:
    """The tokens of a reply, and the natural logarithm of the probability that its model gave to each.

    They are all that the model wrote: thoughts as well, that the text is without.
    """

    tokens: tuple[str, ...]
    logprobs: tuple[float, ...]

    def to_result(self) -> dict[str, Any]:
        """Say it as part of a result, to the fourth decimal."""
        return {"tokens": list(self.tokens), "logprobs": [round(value, 4) for value in self.logprobs]}


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered."""

    text: str  # without what it thought; empty where it came to no answer
    usage: Usage | None = None  # None: the server did not say
    logprobs: Logprobs | None = None  # None: the server does not tell
    # Why it ends there, in the server's words: `stop`, `length`, `content_filter`. None: the server did not say, or a
    # local model, which always writes as much as it may.
    finish_reason: str | None = None

    @property
    def complete(self) -> bool:
        """Whether the model came to an end by itself, as far as the server says."""
        return self.finish_reason in (None, "stop")


class Models(Protocol):
    """Some models by name. Conversations that go on at the same time share one of these, and its limits."""

    @property
    def texts(self) -> Mapping[str, str] | None:
        """The texts that they were trained on, each with its SHA-256 in hex; None when they are not made here.

        Local texts are those of the Python at hand: with another version of it a seed may give other numbers.
        """
        ...

    async def reply(self, model: str, messages: Sequence[Message], *, seed: int, max_tokens: int) -> Reply:
        """Ask a model for the message that follows.

        Args:
            model: its name. messages: the conversation so far. seed: of the sampling; from 0 to 2**31 - 1. max_tokens:
            the longest reply.

        Raises ModelError.
        """
        ...

    def log_perplexity(self, model: str, messages: Sequence[Message], text: str) -> float | None:
        """How much a text surprises a model as the next message, in nats a token; the logarithm of the perplexity.

        None when the text is empty, or when these models cannot be asked.
        """
        ...


@asynccontextmanager
async def open_models(
    provider: Provider, api: Api, names: Sequence[str], parallelism: int
) -> AsyncGenerator[Models, None]:
    """Open the models that are named, and close what they hold at the end.

    Args:
        provider: where they are. api: how to speak to them when they are behind a server. names: all that will be
        asked. parallelism: how many replies may be under way at once.

    Raises ModelSetupError when it cannot work at all.
    """
    if provider == "local":
        from athanor_experiments.models.local import LocalModels

        yield LocalModels(names)
        return

    from athanor_experiments.models.openai_compatible import OpenAICompatible, read_key

    async with OpenAICompatible(api, read_key(api), parallelism) as models:
        yield models
