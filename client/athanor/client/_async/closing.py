"""What is closed at the end of the block that it was made for."""

from types import TracebackType
from typing import Self


class AsyncClosing:
    """The part of a client, or of a watch, that makes it a context manager."""

    async def aclose(self) -> None:
        """Close it."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
