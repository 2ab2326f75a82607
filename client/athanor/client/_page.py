"""A page of a listing."""

from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class Page(Generic[Item]):
    """One page of a listing; `next_page_token` is empty on the last one."""

    items: tuple[Item, ...]
    next_page_token: str = ""
