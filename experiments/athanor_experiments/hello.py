"""The ten-line experiment: greets somebody a few times."""

from athanor.experiment import RunContext, experiment
from pydantic import BaseModel, Field


class Config(BaseModel):
    name: str = Field("world", title="Whom to greet")
    times: int = Field(3, ge=1, le=1000, title="How often")


@experiment(name="hello", description="Greets somebody a few times.")
def hello(ctx: RunContext[Config]) -> None:
    for i in ctx.track(range(ctx.config.times)):
        ctx.log("info", f"Hello, {ctx.config.name}!", {"greeting": i + 1})
    ctx.result("greetings", ctx.config.times)
