"""athanor.v1.RunService."""

from collections.abc import AsyncGenerator

from athanor.v1 import run_service_pb2 as pb

from athanor_orchestrator.domain.records import ResourceFilter, Run, RunState
from athanor_orchestrator.engine import framing
from athanor_orchestrator.engine.run_log import RunLog
from athanor_orchestrator.engine.runs import Order, Runs
from athanor_orchestrator.engine.verification import Verification
from athanor_orchestrator.rpc import convert, convert_certificate, idempotency, paging
from athanor_orchestrator.rpc.paging import DEFAULT_EVENTS, LARGEST_EVENTS
from athanor_orchestrator.rpc.validate import REASON_CHARACTERS, Faults
from athanor_orchestrator.rpc.watch import Watches


class RunServicer:
    """Starts, observes and cancels runs."""

    def __init__(self, runs: Runs, log: RunLog, verification: Verification, watches: Watches) -> None:
        self._runs = runs
        self._log = log
        self._verification = verification
        self._watches = watches

    async def StartRun(self, request: pb.StartRunRequest) -> bytes:
        faults = Faults()
        faults.id("instance_id", request.instance_id)
        faults.labels("labels", request.labels)
        order = Order(
            instance_id=request.instance_id,
            policy=convert.policy_record(faults, "policy", request.policy),
            seed=request.seed if request.HasField("seed") else None,
            labels=dict(request.labels),
        )
        call = idempotency.call(faults, request, request.request_id)
        faults.settle()
        return await self._runs.start(order, call, _started)

    async def GetRun(self, request: pb.GetRunRequest) -> pb.GetRunResponse:
        faults = Faults()
        faults.id("id", request.id)
        faults.settle()
        return pb.GetRunResponse(run=convert.run(await self._runs.get(request.id)))

    async def ListRuns(self, request: pb.ListRunsRequest) -> pb.ListRunsResponse:
        faults = Faults()
        faults.id("instance_id", request.instance_id, optional=True)
        faults.name("experiment", request.experiment, optional=True)
        faults.specified("states", request.states)
        faults.labels("labels", request.labels)
        limit = paging.size(faults, request.page_size)
        faults.settle()
        start = paging.position(request, request.page_token, "")
        full = request.view == pb.RUN_VIEW_FULL
        page = await self._runs.page(
            instance_id=request.instance_id,
            experiment=request.experiment,
            states=frozenset(RunState(state) for state in request.states),
            labels=dict(request.labels),
            full=full,
            before_id=start or None,
            limit=limit,
        )
        return pb.ListRunsResponse(
            runs=[convert.run(run, full=full) for run in page.items],
            next_page_token=paging.token(request, page.items[-1].id if page.more else None),
        )

    async def CancelRun(self, request: pb.CancelRunRequest) -> pb.CancelRunResponse:
        faults = Faults()
        faults.id("id", request.id)
        faults.length("reason", request.reason, REASON_CHARACTERS)
        faults.settle()
        return pb.CancelRunResponse(run=convert.run(await self._runs.cancel(request.id, request.reason)))

    async def DeleteRun(self, request: pb.DeleteRunRequest) -> pb.DeleteRunResponse:
        faults = Faults()
        faults.id("id", request.id)
        faults.settle()
        await self._runs.delete(request.id, request.allow_missing)
        return pb.DeleteRunResponse()

    async def ListRunEvents(self, request: pb.ListRunEventsRequest) -> bytes:
        faults = Faults()
        faults.id("run_id", request.run_id)
        faults.not_negative("after_sequence", request.after_sequence)
        limit = paging.size(faults, request.page_size, DEFAULT_EVENTS, LARGEST_EVENTS)
        filter = convert.event_filter(faults, request.filter)
        faults.settle()
        page = await self._log.events(
            request.run_id,
            filter,
            after_sequence=request.after_sequence,
            descending=request.descending,
            position=paging.position(request, request.page_token, 0) or None,
            limit=limit,
        )
        rest = pb.ListRunEventsResponse(next_page_token=paging.token(request, page.position))
        return framing.event_list(page.payloads) + rest.SerializeToString()

    async def ListResults(self, request: pb.ListResultsRequest) -> pb.ListResultsResponse:
        faults = Faults()
        faults.id("run_id", request.run_id)
        faults.key("key", request.key)
        limit = paging.size(faults, request.page_size, DEFAULT_EVENTS, LARGEST_EVENTS)
        faults.settle()
        page = await self._log.results(
            request.run_id,
            key=request.key,
            include_superseded=request.include_superseded,
            after_sequence=paging.position(request, request.page_token, 0),
            limit=limit,
        )
        return pb.ListResultsResponse(
            results=[convert.result(row) for row in page.items],
            next_page_token=paging.token(request, page.items[-1].sequence if page.more else None),
        )

    async def VerifyRun(self, request: pb.VerifyRunRequest) -> pb.VerifyRunResponse:
        faults = Faults()
        faults.id("id", request.id)
        faults.settle()
        return convert_certificate.certificate(await self._verification.verify(request.id))

    async def WatchRun(self, request: pb.WatchRunRequest) -> AsyncGenerator[pb.WatchRunResponse | bytes, None]:
        faults = Faults()
        faults.id("id", request.id)
        faults.not_negative("after_sequence", request.after_sequence)
        filter = convert.event_filter(faults, request.filter)
        faults.settle()
        items = self._watches.follow(request.id, request.after_sequence, filter)
        try:
            async for item in items:
                yield item
        finally:
            await items.aclose()

    async def WatchRuns(self, request: pb.WatchRunsRequest) -> AsyncGenerator[pb.WatchRunsResponse, None]:
        faults = Faults()
        faults.id("instance_id", request.instance_id, optional=True)
        faults.name("experiment", request.experiment, optional=True)
        faults.labels("labels", request.labels)
        faults.settle()
        items = self._watches.runs(
            ResourceFilter(request.experiment, dict(request.labels), request.instance_id),
            active_only=request.active_only,
            full=request.view == pb.RUN_VIEW_FULL,
        )
        try:
            async for item in items:
                yield item
        finally:
            await items.aclose()


def _started(run: Run) -> bytes:
    return pb.StartRunResponse(run=convert.run(run)).SerializeToString()
