"""Names of instances, for what shows runs: a run has the id of its instance alone."""

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from athanor.client import AsyncClient

_AT_ONCE = 50  # calls


async def of_instances(client: "AsyncClient", ids: Collection[str]) -> dict[str, str]:
    """Return the names of instances by their ids, each asked for once; one that has just been deleted has none."""
    import asyncio

    from athanor.client import NotFoundError

    async def name(id: str) -> str:
        try:
            return (await client.instances.get(id)).name
        except NotFoundError:
            return ""

    names, wanted = dict[str, str](), list(dict.fromkeys(ids))
    for begin in range(0, len(wanted), _AT_ONCE):
        some = wanted[begin : begin + _AT_ONCE]
        names |= dict(zip(some, await asyncio.gather(*map(name, some)), strict=True))
    return names
