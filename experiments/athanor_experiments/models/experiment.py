"""What the experiments with language models have in common: how they begin, what they say of it, how they fail."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NoReturn

from athanor.experiment import RunContext

from athanor_experiments.models import ModelError, Models, ModelSetupError, NoAnswersError, open_models


@asynccontextmanager
async def models_of(ctx: RunContext[Any], names: Sequence[str]) -> AsyncGenerator[Models, None]:
    """Open the models of a run whose configuration has `provider`, `api` and `parallelism`; fail where that cannot be.

    Args:
        names: all that will be asked.
    """
    config = ctx.config
    try:
        async with open_models(config.provider, config.api, names, config.parallelism) as models:
            yield models
    except ModelSetupError as error:
        ctx.fail(str(error))  # without its traceback: it is the configuration that has to change


def made_by(ctx: RunContext[Any], models: Models) -> dict[str, Any]:
    """The part of the final result that says what it was made by."""
    provider = ctx.config.provider
    method = "perplexity" if provider == "local" else "verdict"
    return {"seed": ctx.seed, "provider": provider, "texts": models.texts, "method": method}


def end_without_answers(ctx: RunContext[Any], what: str, errors: Sequence[ModelError]) -> NoReturn:
    """Fail the run: for good, or, when one of the errors may pass, so that a later attempt is made if there may be one.

    Args:
        what: what failed, for people. errors: those of this attempt, in order.
    """
    message = f"{what}; the last one: {errors[-1]}" if errors else what
    if any(error.passing for error in errors):
        raise NoAnswersError(message)
    ctx.fail(message)
