"""An experiment that knows its client."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Self

from athanor.client._async.listing import AsyncListing
from athanor.client._bound import Bound, renew
from athanor.client._period import When
from athanor.client.enums import RunState
from athanor.client.resources import ExperimentRecord, Validation

if TYPE_CHECKING:
    from athanor.client._async.client import AsyncClient
    from athanor.client._async.instance import AsyncInstance
    from athanor.client._async.run import AsyncRun


class AsyncExperiment(Bound["AsyncClient"], ExperimentRecord):
    """A definition written in code, as the runners that can execute it reported it when it was last asked for."""

    _record = ExperimentRecord
    _key = "name"
    _shown = ("title",)

    async def refresh(self, *, timeout: float | None = None) -> Self:
        """Bring it up to date and return it."""
        renew(self, await self._client.experiments.get(self, timeout=timeout))
        return self

    async def create_instance(
        self,
        configuration: Any = None,
        *,
        name: str | None = None,
        description: str = "",
        labels: Mapping[str, str] | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> "AsyncInstance":
        """Create an instance of it; what `configuration` leaves out takes the schema's default.

        Raises ConfigurationInvalidError with every violation; see `client.instances.create`.
        """
        return await self._client.instances.create(
            self,
            configuration,
            name=name,
            description=description,
            labels=labels,
            request_id=request_id,
            timeout=timeout,
        )

    async def validate(self, configuration: Any = None, *, timeout: float | None = None) -> Validation:
        """Check a configuration without storing anything; one that does not fit is an answer, not an error."""
        return await self._client.experiments.validate(self, configuration, timeout=timeout)

    def instances(
        self, *, labels: Mapping[str, str] | None = None, limit: int | None = None
    ) -> "AsyncListing[AsyncInstance]":
        """Iterate over its instances, newest first."""
        return self._client.instances.list(experiment=self, labels=labels, limit=limit)

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
        """Iterate over the runs of all its instances, newest first; see `client.runs.list`."""
        return self._client.runs.list(
            experiment=self, states=states, labels=labels, since=since, until=until, full=full, limit=limit
        )
