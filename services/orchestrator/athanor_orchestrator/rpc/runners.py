"""athanor.v1.RunnerService."""

from athanor.v1 import runner_service_pb2 as pb

from athanor_orchestrator.engine.fleet import Fleet
from athanor_orchestrator.rpc import convert, paging
from athanor_orchestrator.rpc.validate import Faults


class RunnerServicer:
    """Shows the fleet, and takes what operators want of it."""

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
        faults = Faults()
        faults.id("id", request.id)
        faults.settle()
        return pb.DrainRunnerResponse(runner=convert.runner(await self._fleet.drain(request.id)))

    async def UndrainRunner(self, request: pb.UndrainRunnerRequest) -> pb.UndrainRunnerResponse:
        faults = Faults()
        faults.id("id", request.id)
        faults.settle()
        return pb.UndrainRunnerResponse(runner=convert.runner(await self._fleet.undrain(request.id)))

    async def ForgetRunner(self, request: pb.ForgetRunnerRequest) -> pb.ForgetRunnerResponse:
        faults = Faults()
        faults.id("id", request.id)
        faults.settle()
        return pb.ForgetRunnerResponse(run_ids=await self._fleet.forget(request.id))
