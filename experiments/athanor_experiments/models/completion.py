"""Reads what a chat API answers. The text must be there; what is beside it and cannot be read is left out.

A reply that has come is paid for: it is not asked for again because its log-probabilities or its usage are odd.
"""

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, FiniteFloat, NonNegativeInt, ValidationError, ValidatorFunctionWrapHandler
from pydantic.functional_validators import WrapValidator

from athanor_experiments.models import Logprobs, Reply, Usage

ReadT = TypeVar("ReadT")


def _none_if_odd(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    try:
        return read(value)
    except ValidationError:
        return None


Beside = Annotated[ReadT | None, WrapValidator(_none_if_odd)]
"""What a reply can do without."""


class _TokenLogprob(BaseModel):
    token: str
    logprob: FiniteFloat


class _ChoiceLogprobs(BaseModel):
    content: list[_TokenLogprob]


class _Part(BaseModel):
    """Some servers answer in parts, of which those with a text are what is said."""

    text: Beside[str] = None


class _Message(BaseModel):
    content: str | list[_Part] | None = None
    refusal: Beside[str] = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: Beside[str] = None
    logprobs: Beside[_ChoiceLogprobs] = None


class _Usage(BaseModel):
    prompt_tokens: NonNegativeInt
    completion_tokens: NonNegativeInt = 0


class _Completion(BaseModel):
    choices: Annotated[list[_Choice], Field(min_length=1)]
    usage: Beside[_Usage] = None


def read_completion(body: str) -> Reply:
    """The reply that an answer of the chat API contains, with all that its model wrote.

    Raises ValueError, on one line, when there is none.
    """
    try:
        completion = _Completion.model_validate_json(body)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = "/".join(map(str, fault["loc"])) or "the answer"
        raise ValueError(f"{where}: {fault['msg']}") from None

    choice, usage = completion.choices[0], completion.usage
    tokens = [] if choice.logprobs is None else choice.logprobs.content
    logprobs = Logprobs(tuple(one.token for one in tokens), tuple(one.logprob for one in tokens))
    return Reply(
        _text(choice.message),
        None if usage is None else Usage(usage.prompt_tokens, usage.completion_tokens),
        logprobs if tokens else None,
        choice.finish_reason,
    )


def without_thoughts(text: str) -> str:
    """What a model says behind its thoughts, where the server leaves them in the answer."""
    # Some write no beginning, as it is in what they are shown.
    before, end, said = text.partition("</think>")
    if end and "<think>" not in before.lstrip().removeprefix("<think>"):
        return said.lstrip()
    return "" if not end and text.lstrip().startswith("<think>") else text


def _text(message: _Message) -> str:
    if isinstance(message.content, list):
        return "".join(part.text or "" for part in message.content)
    # Nothing but a refusal is what the model said, and nothing but thoughts that are not shown is nothing.
    return message.content or message.refusal or ""
