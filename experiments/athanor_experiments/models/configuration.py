"""Where the models are: the part of a configuration that experiments with language models share."""

from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

Provider = Literal["local", "openai_compatible"]

NAMES = (
    "As the provider calls it. Local: reference, docstrings, source, opcodes, characters or zen, and how many "
    "characters it learns together if wanted, 1 to 8: reference/3."
)
"""What a model may be called, for descriptions."""

STRICT = ConfigDict(hide_input_in_errors=True, extra="forbid")
"""For `Api`, and for each configuration that it is a part of: pydantic goes by the outermost model in this.

What is refused is not repeated in the message: it may be a key that was put into the wrong field.
"""

# So that the orchestrator, which checks a configuration first, does not repeat it either.
NOT_REPEATED: dict[str, JsonValue] = {"writeOnly": True}

# Without credentials and without a query, where keys are put, too: what is configured is stored and shown.
BASE_URL_PATTERN = r"^https?://([^/@?#\s:\[\]]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[^@?#\s]*)?$"
# The name of a variable as they are written mostly. A key that was put here by mistake has small letters, or a hyphen.
VARIABLE_PATTERN = r"^([A-Z_][A-Z0-9_]*)?$"


class Api(BaseModel):
    """A server that speaks the OpenAI-compatible chat API. It is used with `openai_compatible` alone."""

    model_config = STRICT

    base_url: str = Field(
        default="https://api.openai.com/v1",
        pattern=BASE_URL_PATTERN,
        max_length=500,
        title="Base URL",
        description="Requests go to <base URL>/chat/completions. Without credentials and query.",
        json_schema_extra=NOT_REPEATED,
    )
    api_key_env: str = Field(
        default="OPENAI_API_KEY",
        pattern=VARIABLE_PATTERN,
        max_length=100,
        title="Variable with the API key",
        description="Name, in capital letters, of the environment variable on the runner that holds the key, and not "
        "the key; empty for a server without.",
        json_schema_extra=NOT_REPEATED,
    )
    temperature: float = Field(default=1.0, ge=0, le=2, title="Temperature", json_schema_extra={"step": 0.1})
    logprobs: bool = Field(
        default=True,
        title="Log-probabilities",
        description="Ask for the log-probability of each token; not all servers tell.",
    )
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        default="max_tokens", title="Field for the longest reply", description="What the server calls it."
    )
    timeout_s: float = Field(
        default=60.0,
        ge=0.1,
        le=3600,
        title="Timeout (s)",
        description="Of one request, from the first byte to the last.",
    )
    max_tries: int = Field(
        default=5,
        ge=1,
        le=20,
        title="Tries",
        description="How often a request is sent in all when it fails in passing.",
    )
    max_backoff_s: float = Field(
        default=60.0,
        ge=0,
        le=3600,
        title="Longest pause (s)",
        description="Between two tries. A server that asks for a longer one has failed.",
    )
    requests_per_minute: int = Field(
        default=60, ge=1, le=100_000, title="Requests a minute", description="Of all conversations together."
    )
    tokens_per_minute: int = Field(
        default=100_000, ge=100, le=1_000_000_000, title="Tokens a minute", description="Of all conversations together."
    )

    @field_validator("base_url")
    @classmethod
    def _can_be_called(cls, value: str) -> str:
        try:
            port = urlsplit(value).port
        except ValueError:  # its text has the value, or a part of it
            raise ValueError("the host or the port of the base URL is none") from None
        if port == 0:
            raise ValueError("the port of the base URL is from 1 to 65535")
        return value
