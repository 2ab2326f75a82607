"""Records for as long as it takes, and says how far it is."""

from athanor.experiment import RunContext, experiment
from pydantic import BaseModel, Field


class Config(BaseModel):
    count: int = Field(ge=1)


@experiment(name="endless")
def endless(ctx: RunContext[Config]) -> None:
    message = "loss and accuracy of this epoch, in sixty characters or so.."
    for number in range(1, ctx.config.count + 1):
        ctx.log("info", message, {"loss": 0.123456, "accuracy": 0.987654})
        if number % 1000 == 0:
            ctx.progress(number, ctx.config.count)
