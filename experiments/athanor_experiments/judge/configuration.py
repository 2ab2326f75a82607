"""What can be chosen."""

from typing import Annotated

from pydantic import BaseModel, Field, field_validator

from athanor_experiments.judge.prompts import PROMPTS
from athanor_experiments.models import Api, Provider
from athanor_experiments.models.configuration import NAMES, STRICT

ModelName = Annotated[str, Field(min_length=1, max_length=200)]


class Config(BaseModel):
    """Which models answer what, who judges, and where they are."""

    model_config = STRICT

    models: list[ModelName] = Field(
        ["reference", "docstrings", "source"],
        min_length=2,
        max_length=10,
        title="Models",
        description=f"Those that are compared. {NAMES}",
        json_schema_extra={"uniqueItems": True},
    )
    judge_model: ModelName = Field(
        "reference/4", title="Judge", description="Best a model that is none of those compared."
    )
    prompts: list[Annotated[str, Field(min_length=1, max_length=4000)]] = Field(
        list(PROMPTS), min_length=1, max_length=100, title="Prompts"
    )
    answers_per_prompt: int = Field(
        1, ge=1, le=10, title="Answers per prompt", description="Of each model. Answers of one number are compared."
    )
    parallelism: int = Field(4, ge=1, le=10, title="Parallel prompts", description="At most so many at a time.")
    max_tokens: int = Field(
        300, ge=10, le=2000, title="Longest answer", description="In tokens; characters for local models."
    )
    tie_margin: float = Field(
        0.02,
        ge=0,
        le=10,
        title="Margin of a tie",
        description="Nats a character by which two answers must differ for a local judge.",
        json_schema_extra={"step": 0.01},
    )
    prior_wins: float = Field(
        0.5,
        ge=0,
        le=5,
        title="Prior",
        description="Wins that are added in both directions to every pair that was compared. 0: the likelihood alone.",
        json_schema_extra={"step": 0.1},
    )
    resamples: int = Field(500, ge=50, le=5000, title="Resamples", description="Of the bootstrap.")
    confidence: float = Field(0.95, ge=0.5, le=0.999, title="Confidence level", description="Of the intervals.")
    provider: Provider = Field(
        "local",
        title="Provider",
        description="local: small models that are trained on the spot. openai_compatible: a server with the chat API.",
    )
    api: Api = Field(Api(), title="Server", description="Where the models are, if not local.")

    @field_validator("models")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        if len(set(value)) < len(value):
            raise ValueError("each model is compared once")
        return value
