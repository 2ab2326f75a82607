"""An instance that knows its client."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Self

from athanor.client._async.listing import AsyncListing
from athanor.client._bound import Bound, renew
from athanor.client._period import When
from athanor.client.enums import RunState
from athanor.client.resources import InstanceRecord, RunPolicy

if TYPE_CHECKING:
    from athanor.client._async.client import AsyncClient
    from athanor.client._async.run import AsyncRun


class AsyncInstance(Bound["AsyncClient"], InstanceRecord):
    """An experiment with a name and a configuration, as it stood when it was last asked for.

    `refresh` and `update` bring this object itself up to date.
    """

    _record = InstanceRecord
    _shown = ("experiment", "name")

    async def refresh(self, *, timeout: float | None = None) -> Self:
        """Bring it up to date and return it. Raises NotFoundError when it has been deleted."""
        renew(self, await self._client.instances.get(self, timeout=timeout))
        return self

    async def start(
        self,
        *,
        policy: RunPolicy | None = None,
        seed: int | None = None,
        labels: Mapping[str, str] | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> "AsyncRun":
        """Start a run of it, and return that; see `client.runs.start`."""
        return await self._client.runs.start(
            self, policy=policy, seed=seed, labels=labels, request_id=request_id, timeout=timeout
        )

    def runs(
        self,
        *,
        states: Collection[RunState | str] | str | None = None,
        labels: Mapping[str, str] | None = None,
        since: When | None = None,
        until: When | None = None,
        full: bool = False,
        limit: int | None = None,
    ) -> "AsyncListing[AsyncRun]":
        """Iterate over its runs, newest first; `full` also brings their configurations and attempts.

        `since` and `until` are as in `client.runs.list`.
        """
        return self._client.runs.list(
            instance_id=self, states=states, labels=labels, since=since, until=until, full=full, limit=limit
        )

    async def update(
        self,
        *,
        name: str | None = None,
        description: str | None = None,
        configuration: Any = None,
        labels: Mapping[str, str] | None = None,
        etag: str = "",
        timeout: float | None = None,
    ) -> Self:
        """Change what is given, and return it; runs that exist keep what they started with.

        With `etag=instance.etag` the change is made only to what was read: ConflictError when somebody else has changed
        it since.
        """
        changed = await self._client.instances.update(
            self,
            name=name,
            description=description,
            configuration=configuration,
            labels=labels,
            etag=etag,
            timeout=timeout,
        )
        renew(self, changed)
        return self

    async def delete(self, *, etag: str = "", allow_missing: bool = False, timeout: float | None = None) -> None:
        """Delete it with its runs and their logs; see `client.instances.delete`.

        Raises RunLiveError while one of its runs is live.
        """
        await self._client.instances.delete(self, etag=etag, allow_missing=allow_missing, timeout=timeout)
