"""`client.experiments`: the definitions that runners have reported."""

from typing import TYPE_CHECKING, Any

from athanor.client import _decode, _json
from athanor.client._async.calls import Caller
from athanor.client._async.listing import Listing, Page
from athanor.client.resources import DiscoveryError, Experiment, Validation
from athanor.v1 import experiment_service_pb2 as pb

if TYPE_CHECKING:
    from athanor.v1.experiment_service_pb2_grpc import ExperimentServiceAsyncStub


class Experiments:
    """Experiments are written in code; here they are looked at, never made."""

    def __init__(self, caller: Caller, stub: "ExperimentServiceAsyncStub") -> None:
        self._caller = caller
        self._stub = stub

    async def get(self, name: str, *, timeout: float | None = None) -> Experiment:
        """Return one experiment. Raises NotFoundError when no runner has ever reported it."""
        request = pb.GetExperimentRequest(name=name)
        response = await self._caller.call(self._stub.GetExperiment, request, timeout=timeout)
        return _decode.experiment(response.experiment)

    def list(self, *, page_size: int = 0, timeout: float | None = None) -> Listing[Experiment]:
        """Iterate over all experiments, by name."""

        async def fetch(token: str) -> Page[Experiment]:
            request = pb.ListExperimentsRequest(page_size=page_size, page_token=token)
            response = await self._caller.call(self._stub.ListExperiments, request, timeout=timeout)
            return Page(tuple(map(_decode.experiment, response.experiments)), response.next_page_token)

        return Listing(fetch)

    async def discovery_errors(self, *, timeout: float | None = None) -> tuple[DiscoveryError, ...]:
        """Return the modules that connected runners could not load."""
        request = pb.ListExperimentsRequest(page_size=1)
        response = await self._caller.call(self._stub.ListExperiments, request, timeout=timeout)
        return tuple(map(_decode.discovery_error, response.discovery_errors))

    async def validate(self, name: str, configuration: Any = None, *, timeout: float | None = None) -> Validation:
        """Check a configuration without storing anything; one that does not fit is an answer, not an error.

        Raises NotFoundError when there is no such experiment.
        """
        text = _json.encode({} if configuration is None else configuration, "configuration_json")
        request = pb.ValidateConfigurationRequest(experiment=name, configuration_json=text)
        response = await self._caller.call(self._stub.ValidateConfiguration, request, timeout=timeout)
        return _decode.validation(response)
