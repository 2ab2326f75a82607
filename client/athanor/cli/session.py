"""Running one command: the client, its errors, Ctrl-C."""

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, TypeVar, cast

import typer

from athanor.cli import exits, output

if TYPE_CHECKING:
    from athanor.client import AsyncClient

T = TypeVar("T")

# A person who waits wants to know soon that nobody is there; a restart of the orchestrator takes less than this.
_RETRY_FOR = 3.0  # seconds


@dataclass
class Globals:
    """Options that come before the command."""

    target: str | None = None
    debug: bool = False


given = Globals()


def interrupted() -> NoReturn:
    """End after Ctrl-C."""
    print("athanor: interrupted", file=sys.stderr)
    raise typer.Exit(exits.INTERRUPTED)


def left() -> NoReturn:
    """End after Ctrl-C where nothing else ends it, and nothing is to be said about it."""
    raise typer.Exit(exits.INTERRUPTED)


def run(
    target: str | None,
    work: "Callable[[AsyncClient], Awaitable[T]]",
    *,
    on_interrupt: Callable[[], NoReturn] = interrupted,
) -> T:
    """Do `work` with a client of `target` and return what it returns.

    Raises typer.Exit with the right status, the reason on standard error, when that fails. After Ctrl-C, when the
    work has been cancelled and has cleaned up, `on_interrupt` says what that means.
    """
    import asyncio

    from athanor.cli import failures, known
    from athanor.client import AsyncClient, AthanorError

    meant = list[str]()

    async def main() -> T:
        async with AsyncClient(target or given.target, retry_for=_RETRY_FOR) as client:
            try:
                return await work(client)
            except BaseExceptionGroup as group:
                raise _first(group) from None
            except AthanorError as error:
                meant.append(await known.meant(client, error))
                raise

    try:
        return asyncio.run(main())
    except KeyboardInterrupt:
        on_interrupt()
    except AthanorError as error:
        if given.debug:
            raise
        text, status = failures.explain(error, *meant)
        fail(text, status)
    except UnicodeError:
        fail("an argument is not valid text (UTF-8)", exits.USAGE)


def _first(error: BaseException) -> BaseException:
    """What went wrong first in a group of tasks: the others were cancelled for it."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error


def fail(text: str, status: int) -> NoReturn:
    """Say why on standard error and end with `status`."""
    sys.stdout.flush()
    output.note(f"athanor: {text}")
    raise typer.Exit(status)
