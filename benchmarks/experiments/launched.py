"""Runs that are over as soon as they have begun."""

from athanor.experiment import RunContext, experiment
from pydantic import BaseModel, Field


class Config(BaseModel):
    number: int = Field(1, ge=0)


@experiment(name="light")
def light(ctx: RunContext[Config]) -> None:
    ctx.log("info", "first line", {"number": ctx.config.number})


@experiment(name="no-op")
def no_op(ctx: RunContext[Config]) -> None:
    pass
