# Derived from _async/experiment.py by tools/derive_sync.py: change that one.

"""An experiment that knows its client."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Self

from athanor.client._bound import Bound, renew
from athanor.client._period import When
from athanor.client._sync.listing import Listing
from athanor.client.enums import RunState
from athanor.client.resources import ExperimentRecord, Validation

if TYPE_CHECKING:
    from athanor.client._sync.client import Client
    from athanor.client._sync.instance import Instance
    from athanor.client._sync.run import Run


class Experiment(Bound["Client"], ExperimentRecord):
    """A definition written in code, as the runners that can execute it reported it when it was last asked for."""

    _record = ExperimentRecord
    _key = "name"
    _shown = ("title",)

    def refresh(self, *, timeout: float | None = None) -> Self:
        """Bring it up to date and return it."""
        renew(self, self._client.experiments.get(self, timeout=timeout))
        return self

    def create_instance(
        self,
        configuration: Any = None,
        *,
        name: str | None = None,
        description: str = "",
        labels: Mapping[str, str] | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> "Instance":
        """Create an instance of it; what `configuration` leaves out takes the schema's default.

        Raises ConfigurationInvalidError with every violation; see `client.instances.create`.
        """
        return self._client.instances.create(
            self,
            configuration,
            name=name,
            description=description,
            labels=labels,
            request_id=request_id,
            timeout=timeout,
        )

    def validate(self, configuration: Any = None, *, timeout: float | None = None) -> Validation:
        """Check a configuration without storing anything; one that does not fit is an answer, not an error."""
        return self._client.experiments.validate(self, configuration, timeout=timeout)

    def instances(self, *, labels: Mapping[str, str] | None = None, limit: int | None = None) -> "Listing[Instance]":
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
    ) -> "Listing[Run]":
        """Iterate over the runs of all its instances, newest first; see `client.runs.list`."""
        return self._client.runs.list(
            experiment=self, states=states, labels=labels, since=since, until=until, full=full, limit=limit
        )
