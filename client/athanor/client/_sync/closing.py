# Derived from _async/closing.py by tools/derive_sync.py: change that one.

"""What is closed at the end of the block that it was made for."""

from types import TracebackType
from typing import Self


class Closing:
    """The part of a client, or of a watch, that makes it a context manager."""

    def close(self) -> None:
        """Close it."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
