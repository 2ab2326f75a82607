# Derived from _async/experiments.py by tools/derive_sync.py: change that one.

"""`client.experiments`: the definitions that runners have reported."""

from typing import TYPE_CHECKING, Any

from athanor.client import _decode, _json
from athanor.client._bound import ExperimentRef, Part, id_of
from athanor.client._page import Page
from athanor.client._sync.calls import Caller
from athanor.client._sync.experiment import Experiment
from athanor.client._sync.listing import Listing
from athanor.client.resources import DiscoveryError, ExperimentRecord, Validation
from athanor.v1 import experiment_service_pb2 as pb

if TYPE_CHECKING:
    from athanor.client._sync.client import Client
    from athanor.v1.experiment_service_pb2_grpc import ExperimentServiceStub


class Experiments(Part):
    """Experiments are written in code; here they are looked at, never made.

    Where a name is asked for, the experiment itself will do.
    """

    def __init__(self, client: "Client", caller: Caller, stub: "ExperimentServiceStub") -> None:
        self._client = client
        self._caller = caller
        self._stub = stub

    def get(self, name: ExperimentRef, *, timeout: float | None = None) -> Experiment:
        """Return one experiment. Raises NotFoundError when no runner has ever reported it."""
        request = pb.GetExperimentRequest(name=id_of(name, ExperimentRecord))
        response = self._caller.call(self._stub.GetExperiment, request, timeout=timeout)
        return Experiment.bind(_decode.experiment(response.experiment), self._client)

    def list(self, *, page_size: int = 0, timeout: float | None = None) -> Listing[Experiment]:
        """Iterate over all experiments, by name."""

        def fetch(token: str) -> Page[Experiment]:
            request = pb.ListExperimentsRequest(page_size=page_size, page_token=token)
            response = self._caller.call(self._stub.ListExperiments, request, timeout=timeout)
            items = (Experiment.bind(_decode.experiment(item), self._client) for item in response.experiments)
            return Page(tuple(items), response.next_page_token)

        return Listing(fetch)

    def discovery_errors(self, *, timeout: float | None = None) -> tuple[DiscoveryError, ...]:
        """Return the modules that connected runners could not load."""
        request = pb.ListExperimentsRequest(page_size=1)
        response = self._caller.call(self._stub.ListExperiments, request, timeout=timeout)
        return tuple(map(_decode.discovery_error, response.discovery_errors))

    def validate(self, name: ExperimentRef, configuration: Any = None, *, timeout: float | None = None) -> Validation:
        """Check a configuration without storing anything; one that does not fit is an answer, not an error.

        Raises NotFoundError when there is no such experiment.
        """
        text = _json.encode({} if configuration is None else configuration, "configuration_json")
        request = pb.ValidateConfigurationRequest(experiment=id_of(name, ExperimentRecord), configuration_json=text)
        response = self._caller.call(self._stub.ValidateConfiguration, request, timeout=timeout)
        return _decode.validation(response)
