"""athanor.v1.ExperimentService."""

from athanor.v1 import experiment_service_pb2 as pb

from athanor_orchestrator.engine.catalogue import Catalogue
from athanor_orchestrator.rpc import convert, paging
from athanor_orchestrator.rpc.validate import Faults


class ExperimentServicer:
    """Reads definitions and checks configurations."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def GetExperiment(self, request: pb.GetExperimentRequest) -> pb.GetExperimentResponse:
        faults = Faults()
        faults.name("name", request.name)
        faults.settle()
        experiment = await self._catalogue.get(request.name)
        return pb.GetExperimentResponse(experiment=convert.experiment(experiment))

    async def ListExperiments(self, request: pb.ListExperimentsRequest) -> pb.ListExperimentsResponse:
        faults = Faults()
        limit = paging.size(faults, request.page_size)
        faults.settle()
        start = paging.position(request, request.page_token, "")
        page, errors = await self._catalogue.page(start, limit)
        return pb.ListExperimentsResponse(
            experiments=[convert.experiment(experiment) for experiment in page.items],
            next_page_token=paging.token(request, page.items[-1].name if page.more else None),
            discovery_errors=[convert.discovery_error(error) for error in errors],
        )

    async def ValidateConfiguration(self, request: pb.ValidateConfigurationRequest) -> pb.ValidateConfigurationResponse:
        faults = Faults()
        faults.name("experiment", request.experiment)
        faults.settle()
        checked = await self._catalogue.check(request.experiment, request.configuration_json)
        return pb.ValidateConfigurationResponse(
            violations=[
                pb.ConfigurationViolation(path=violation.field, description=violation.description)
                for violation in checked.violations
            ],
            configuration_json=checked.configuration_json,
        )
