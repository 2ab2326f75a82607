"""What can be chosen."""

from pydantic import BaseModel, Field

from athanor_experiments.models import Api, Provider
from athanor_experiments.models.configuration import NAMES, STRICT


class ModelPair(BaseModel):
    """Two models: the one that begins, and the one that takes over."""

    model_config = STRICT

    model_a: str = Field(
        min_length=1, max_length=200, title="First model", description=f"Begins every conversation. {NAMES}"
    )
    model_b: str = Field(
        min_length=1, max_length=200, title="Second model", description="Takes over at the turn of the switch."
    )


class Config(BaseModel):
    """Which models, how often, and where they are."""

    model_config = STRICT

    pairs: list[ModelPair] = Field(
        [ModelPair(model_a="reference", model_b="source"), ModelPair(model_a="reference", model_b="reference")],
        min_length=1,
        max_length=10,
        title="Pairs of models",
        description="A pair of the same model twice shows how often it sees a change where there is none. Chat models "
        "are asked at the end: there, each second model needs such a pair.",
    )
    runs_per_pair: int = Field(
        10,
        ge=1,
        le=100,
        title="Runs per pair",
        description="Conversations of each pair with each turn of the switch, and as many controls. "
        "Multiples of 10 have each question at each turn equally often.",
    )
    parallelism: int = Field(
        4,
        ge=1,
        le=10,
        title="Parallel conversations",
        description="At most so many at a time. Local models share one processor, whatever this is.",
    )
    max_tokens: int = Field(
        200,
        ge=10,
        le=1000,
        title="Longest answer",
        description="In tokens; local models write so many characters each time.",
    )
    confidence: float = Field(
        0.95, ge=0.5, le=0.999, title="Confidence level", description="Of the intervals around the rates."
    )
    false_alarm_rate: float = Field(
        0.05,
        ge=0.01,
        le=0.5,
        title="False-alarm rate",
        description="For which the threshold of a change is set, on the controls. Local models only.",
        json_schema_extra={"step": 0.01},
    )
    provider: Provider = Field(
        "local",
        title="Provider",
        description="local: small models that are trained on the spot. openai_compatible: a server with the chat API.",
    )
    api: Api = Field(Api(), title="Server", description="Where the models are, if not local.")
