"""athanor.v1.OrchestratorService."""

from athanor.v1 import orchestrator_pb2
from athanor.v1 import orchestrator_service_pb2 as pb


class OrchestratorServicer:
    """Says who answers."""

    def __init__(self, version: str, database: str) -> None:
        self._orchestrator = orchestrator_pb2.Orchestrator(version=version, database=database)

    async def GetOrchestrator(self, request: pb.GetOrchestratorRequest) -> pb.GetOrchestratorResponse:
        return pb.GetOrchestratorResponse(orchestrator=self._orchestrator)
