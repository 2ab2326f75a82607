"""How a run ends of which nothing came, because no model answered."""

from collections.abc import Sequence
from typing import Any, NoReturn

from athanor.experiment import RunContext

from athanor_experiments.models import ModelError, NoAnswersError


def end_without_answers(ctx: RunContext[Any], what: str, errors: Sequence[ModelError]) -> NoReturn:
    """Fail the run: for good, or, when one of the errors may pass, so that a later attempt is made if there may be one.

    Args:
        what: what failed, for people. errors: those of this attempt, in order.
    """
    message = f"{what}; the last one: {errors[-1]}" if errors else what
    if any(error.passing for error in errors):
        raise NoAnswersError(message)
    ctx.fail(message)
