"""Whether an experiment is known by its name, and which one was meant when it is not."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from athanor.client import AsyncClient, AthanorError


async def check(client: "AsyncClient", experiment: str, found: "Sequence[object]") -> None:
    """Raise NotFoundError where nothing was `found` of an experiment that was named, because there is none."""
    if experiment and not found:
        await client.experiments.get(experiment)


async def meant(client: "AsyncClient", error: "AthanorError") -> str:
    """The known experiment whose name is nearest to the one that was not found; empty where `error` is another."""
    from difflib import get_close_matches

    from athanor.client import AthanorError, NotFoundError

    if not isinstance(error, NotFoundError) or error.resource != "experiment":
        return ""
    try:
        known = [item.name async for item in client.experiments.list()]
    except AthanorError:  # what was to be told is worth more than how it could be mended
        return ""
    return next(iter(get_close_matches(error.id, known, n=1)), "")
