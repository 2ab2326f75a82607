"""athanor.v1.RunnerService."""

from athanor.v1 import runner_service_pb2 as pb

from athanor_orchestrator.domain.errors import NotBuilt
from athanor_orchestrator.engine.fleet import Fleet
from athanor_orchestrator.rpc import convert, paging
from athanor_orchestrator.rpc.validate import Faults


class RunnerServicer:
    """Shows the fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def GetRunner(self, request: pb.GetRunnerRequest) -> pb.GetRunnerResponse:
        faults = Faults()
        faults.id("id", request.id)
        faults.settle()
        return pb.GetRunnerResponse(runner=convert.runner(await self._fleet.get(request.id)))

    async def ListRunners(self, request: pb.ListRunnersRequest) -> pb.ListRunnersResponse:
        faults = Faults()
        limit = paging.size(faults, request.page_size)
        faults.settle()
        start = paging.position(request, request.page_token, "")
        page = await self._fleet.page(start, limit)
        return pb.ListRunnersResponse(
            runners=[convert.runner(runner) for runner in page.items],
            next_page_token=paging.token(request, page.items[-1].id if page.more else None),
        )

    async def DrainRunner(self, request: pb.DrainRunnerRequest) -> pb.DrainRunnerResponse:
        raise NotBuilt("DrainRunner is not built yet; stop the runner (SIGTERM) to have it take no more runs")

    async def UndrainRunner(self, request: pb.UndrainRunnerRequest) -> pb.UndrainRunnerResponse:
        raise NotBuilt("UndrainRunner is not built yet; start the runner again to have it take runs")

    async def ForgetRunner(self, request: pb.ForgetRunnerRequest) -> pb.ForgetRunnerResponse:
        raise NotBuilt("ForgetRunner is not built yet; a silent runner is given up when its runs' policies say so")
