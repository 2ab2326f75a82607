"""What the shell offers when Tab is pressed, from the orchestrator: names and ids.

Asked with a short deadline, and silent when there is no answer: whoever presses Tab wants no error in the line.
"""

import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import typer

from athanor.cli import ids

if TYPE_CHECKING:
    from athanor.client import AsyncClient

Offer: TypeAlias = tuple[str, str]  # what is offered, and what the shell says beside it

_PATIENCE = 1.0  # seconds
_MOST = 200  # ids


def experiments(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Names of experiments."""
    return _ask(ctx, incomplete, _experiments)


def runs(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Ids of the newest runs, and the word for the newest of all."""
    return _ask(ctx, incomplete, _runs)


def run_ids(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Ids of the newest runs alone."""
    return _ask(ctx, incomplete, _run_ids)


def instances(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Ids of the newest instances."""
    return _ask(ctx, incomplete, _instances)


def runs_and_instances(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Ids of the newest runs, and of the newest instances."""

    async def ask(client: "AsyncClient") -> list[Offer]:
        return [*await _runs(client), *await _instances(client)]

    return _ask(ctx, incomplete, ask)


def runs_and_experiments(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Ids of the newest runs, and names of experiments."""

    async def ask(client: "AsyncClient") -> list[Offer]:
        return [*await _runs(client), *await _experiments(client)]

    return _ask(ctx, incomplete, ask)


def runners(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Ids of runners."""

    async def ask(client: "AsyncClient") -> list[Offer]:
        return [(item.id, ids.about_runner(item)) for item in await client.runners.list().all()]

    return _ask(ctx, incomplete, ask)


def settings(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """The beginnings of `--set`, of the experiment that the line names already."""
    # A line that ends in `--set` cannot be read to its end: what it has beside options is left as it is.
    name = str(ctx.params.get("experiment") or (ctx.args[0] if ctx.args else ""))
    if not name or "=" in incomplete:
        return []

    async def ask(client: "AsyncClient") -> list[Offer]:
        from athanor.cli import schema

        item = await client.experiments.get(name)
        return [
            (f"{one.path}=", one.description or one.type)
            for one in schema.settings(item.configuration_schema)
            if "[]" not in one.path
        ]

    return _ask(ctx, incomplete, ask)


async def _experiments(client: "AsyncClient") -> list[Offer]:
    return [(item.name, item.title) for item in await client.experiments.list().all()]


async def _runs(client: "AsyncClient") -> list[Offer]:
    found = await _run_ids(client)
    return [*((ids.LAST, f"the newest run: {help}") for _, help in found[:1]), *found]


async def _run_ids(client: "AsyncClient") -> list[Offer]:
    return [(item.id, ids.about_run(item)) for item in await client.runs.list(limit=_MOST).all()]


async def _instances(client: "AsyncClient") -> list[Offer]:
    return [(item.id, ids.about_instance(item)) for item in await client.instances.list(limit=_MOST).all()]


def _ask(ctx: typer.Context, incomplete: str, ask: "Callable[[AsyncClient], Awaitable[list[Offer]]]") -> list[Offer]:
    """What `ask` finds that begins with what is there; nothing when there is no answer in time."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    import asyncio

    from athanor.client import AsyncClient, AthanorError

    async def main() -> list[Offer]:
        async with asyncio.timeout(_PATIENCE), AsyncClient(_target(ctx), retry_for=0) as client:
            return await ask(client)

    try:
        found = asyncio.run(main())
    except (AthanorError, TimeoutError, OSError):
        return []
    return [(text, help) for text, help in found if text.startswith(incomplete)]


def _target(ctx: Any) -> str | None:
    """The target that is named in the line, by this command or before it."""
    while ctx is not None:
        if target := ctx.params.get("target"):
            return str(target)
        ctx = ctx.parent
    return None
