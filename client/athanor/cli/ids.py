"""Ids as people give them: whole, or as much of the beginning as is unique; of runs also a word for the newest."""

import re
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Protocol, TypeVar

import typer

from athanor.cli import words

if TYPE_CHECKING:
    from athanor.client import AsyncClient, AsyncListing, InstanceRecord, RunnerRecord, RunRecord

LAST = "last"  # the run that was created last; no id begins like that, they are hexadecimal

_FULL = 36  # characters of a UUID
_SHOWN = 5  # candidates in a message
_COUNTED = 1000  # candidates; there may be millions


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


_Item = TypeVar("_Item", bound=_HasId)


async def run(client: "AsyncClient", text: str) -> str:
    """Return the id of the run that `text` means."""
    if is_last(text):
        newest = await client.runs.list(limit=1).first()
        if newest is None:
            raise _no_run()
        return newest.id
    return await _resolve("run", client.runs.list(page_size=1000), text, about_run)


async def instance(client: "AsyncClient", text: str) -> str:
    """Return the id of the instance that `text` means."""
    return await _resolve("instance", client.instances.list(page_size=1000), text, about_instance)


async def runner(client: "AsyncClient", text: str) -> str:
    """Return the id of the runner that `text` means; a beginning is looked for among those seen in the last day."""
    return await _resolve("runner", client.runners.list(page_size=1000), text, about_runner, newest_first=False)


def is_last(text: str) -> bool:
    """Whether it is the word for the newest run."""
    return text.strip().lower() == LAST


def like_a_run(text: str) -> bool:
    """Whether it can be meant for a run: the word for the newest, or hexadecimal with a digit, which a word (`add`,
    `face`) that may as well be an experiment does not have.
    """
    return is_last(text) or re.fullmatch(r"(?=.*\d)[0-9a-f-]+", text.strip().lower()) is not None


def about_run(item: "RunRecord") -> str:
    """What tells a run from others."""
    return f"{item.experiment} seed {item.seed} {item.state.value} {words.ago(item.create_time)}".rstrip()


def about_instance(item: "InstanceRecord") -> str:
    """What tells an instance from others."""
    return f"{item.experiment} {item.name} {words.ago(item.create_time)}".rstrip()


def about_runner(item: "RunnerRecord") -> str:
    """What tells a runner from others."""
    return item.display_name


def shortened(ids: Collection[str]) -> dict[str, str]:
    """Return for each id the shortest beginning, of at least 13 characters, that no other of them shares."""
    from athanor.client import _words

    return _words.short_ids(ids)


async def _resolve(
    what: str,
    listing: "AsyncListing[_Item]",
    text: str,
    about: Callable[[_Item], str],
    *,
    newest_first: bool = True,
) -> str:
    """Find the one id that begins with `text`. Raises typer.BadParameter when there is none, or more than one."""
    prefix = text.strip().lower()
    if len(prefix) >= _FULL:
        return prefix
    if not prefix:
        raise typer.BadParameter(f"the id of the {what} is empty")
    found = list[_Item]()
    async for item in listing:
        if item.id.startswith(prefix):
            found.append(item)
            if len(found) > _COUNTED:
                break
        elif newest_first and item.id < prefix:  # ids grow with time: all others are smaller still
            break
    match found:
        case [item]:
            return item.id
        case []:
            raise _not_found(what, text)
        case _:
            lines = [f"  {item.id}  {about(item)}".rstrip() for item in found[:_SHOWN]]
            raise typer.BadParameter("\n".join([_several(what, text, len(found)), *lines, *_more(len(found))]))


def _several(what: str, text: str, count: int) -> str:
    many = f"more than {_COUNTED}" if count > _COUNTED else str(count)
    return f"{many} {what}s begin with {text!r}, give more of the id:"


def _more(count: int) -> list[str]:
    """The line below those that are shown."""
    if count <= _SHOWN:
        return []
    return ["  and many more" if count > _COUNTED else f"  and {count - _SHOWN} more"]


def _not_found(what: str, text: str) -> Exception:
    from athanor.client import NotFoundError

    metadata = {"resource": what, "id": text}
    return NotFoundError(f"there is no {what} whose id begins with {text!r}", code="NOT_FOUND", metadata=metadata)


def _no_run() -> Exception:
    from athanor.client import NotFoundError

    metadata = {"resource": "run", "id": LAST}
    return NotFoundError(
        "there is no run yet; `athanor run EXPERIMENT` starts one", code="NOT_FOUND", metadata=metadata
    )
