"""Every method of the contract is there, and malformed requests do not reach it."""

import pytest
from athanor.v1 import (
    experiment_service_pb2,
    instance_service_pb2,
    orchestrator_service_pb2,
    run_service_pb2,
    runner_service_pb2,
)
from athanor_orchestrator.domain.errors import InvalidFields
from athanor_orchestrator.rpc.experiments import ExperimentServicer
from athanor_orchestrator.rpc.handlers import mount
from athanor_orchestrator.rpc.instances import InstanceServicer
from athanor_orchestrator.rpc.orchestrator import OrchestratorServicer
from athanor_orchestrator.rpc.runners import RunnerServicer
from athanor_orchestrator.rpc.runs import RunServicer

SERVICES = [
    (experiment_service_pb2, "ExperimentService", ExperimentServicer),
    (instance_service_pb2, "InstanceService", InstanceServicer),
    (run_service_pb2, "RunService", RunServicer),
    (runner_service_pb2, "RunnerService", RunnerServicer),
    (orchestrator_service_pb2, "OrchestratorService", OrchestratorServicer),
]


@pytest.mark.parametrize(("module", "name", "servicer"), SERVICES, ids=lambda value: str(value)[:20])
def test_a_servicer_has_exactly_the_methods_of_its_service(module: object, name: str, servicer: type) -> None:
    service = module.DESCRIPTOR.services_by_name[name]  # type: ignore[attr-defined]
    assert {each for each in vars(servicer) if each[0].isupper()} == {method.name for method in service.methods}


class Servicer:
    def __getattr__(self, name: str) -> object:
        async def behaviour(_request: object) -> bytes:
            raise AssertionError("it must not get here")

        return behaviour


@pytest.mark.parametrize(
    "request_", [b"\xff\xff", b"\x0a\x01\xff", b"\x0a\x01\x00"], ids=["no message", "not UTF-8", "NUL"]
)
async def test_a_malformed_request_is_the_caller_s_fault(request_: bytes) -> None:
    class Details:
        method = "/athanor.v1.ExperimentService/GetExperiment"
        invocation_metadata = ()

    service = experiment_service_pb2.DESCRIPTOR.services_by_name["ExperimentService"]
    handler = mount(service, Servicer()).service(Details())  # type: ignore[arg-type]
    assert handler is not None
    with pytest.raises(InvalidFields):
        await handler.unary_unary(request_, None)  # type: ignore[misc,arg-type]
