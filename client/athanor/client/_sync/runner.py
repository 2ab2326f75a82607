# Derived from _async/runner.py by tools/derive_sync.py: change that one.

"""A runner that knows its client."""

from typing import TYPE_CHECKING, Self

from athanor.client._bound import Bound, renew
from athanor.client.resources import RunnerRecord

if TYPE_CHECKING:
    from athanor.client._sync.client import Client


class Runner(Bound["Client"], RunnerRecord):
    """A service that executes runs, as it stood when it was last asked for.

    `refresh`, `drain` and `undrain` bring this object itself up to date.
    """

    _record = RunnerRecord
    _shown = ("display_name", "connected")

    def refresh(self, *, timeout: float | None = None) -> Self:
        """Bring it up to date and return it. Raises NotFoundError when it has been forgotten."""
        renew(self, self._client.runners.get(self, timeout=timeout))
        return self

    def drain(self, *, timeout: float | None = None) -> Self:
        """Let it take no more runs, also after it restarts; those it holds finish. Returns it."""
        renew(self, self._client.runners.drain(self, timeout=timeout))
        return self

    def undrain(self, *, timeout: float | None = None) -> Self:
        """Take `drain` back. Returns it."""
        renew(self, self._client.runners.undrain(self, timeout=timeout))
        return self

    def forget(self, *, timeout: float | None = None) -> tuple[str, ...]:
        """Give it up while it is silent: the attempts that it holds end at once. Returns the ids of their runs.

        Raises RunnerConnectedError while it is connected; see `client.runners.forget`.
        """
        return self._client.runners.forget(self, timeout=timeout)
