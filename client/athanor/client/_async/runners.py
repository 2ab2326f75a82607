"""`client.runners`: the fleet."""

from typing import TYPE_CHECKING

from athanor.client import _decode
from athanor.client._async.calls import Caller
from athanor.client._async.listing import AsyncListing
from athanor.client._async.runner import AsyncRunner
from athanor.client._bound import Part, RunnerRef, id_of
from athanor.client._page import Page
from athanor.client.resources import RunnerRecord
from athanor.v1 import runner_service_pb2 as pb

if TYPE_CHECKING:
    from athanor.client._async.client import AsyncClient
    from athanor.v1.runner_service_pb2_grpc import RunnerServiceAsyncStub


class AsyncRunners(Part):
    """The services that execute runs: shown, drained, given up. Where an id is asked for, the runner itself will do."""

    def __init__(self, client: "AsyncClient", caller: Caller, stub: "RunnerServiceAsyncStub") -> None:
        self._client = client
        self._caller = caller
        self._stub = stub

    async def get(self, id: RunnerRef, *, timeout: float | None = None) -> AsyncRunner:
        """Return one runner. Raises NotFoundError when there is none."""
        response = await self._caller.call(
            self._stub.GetRunner, pb.GetRunnerRequest(id=id_of(id, RunnerRecord)), timeout=timeout
        )
        return AsyncRunner.bind(_decode.runner(response.runner), self._client)

    def list(self, *, page_size: int = 0, timeout: float | None = None) -> AsyncListing[AsyncRunner]:
        """Iterate over the runners seen in the last day, by id."""

        async def fetch(token: str) -> Page[AsyncRunner]:
            request = pb.ListRunnersRequest(page_size=page_size, page_token=token)
            response = await self._caller.call(self._stub.ListRunners, request, timeout=timeout)
            items = (AsyncRunner.bind(_decode.runner(item), self._client) for item in response.runners)
            return Page(tuple(items), response.next_page_token)

        return AsyncListing(fetch)

    async def drain(self, id: RunnerRef, *, timeout: float | None = None) -> AsyncRunner:
        """Let a runner take no more runs, also after it restarts; those it holds finish. Raises NotFoundError."""
        response = await self._caller.call(
            self._stub.DrainRunner, pb.DrainRunnerRequest(id=id_of(id, RunnerRecord)), timeout=timeout
        )
        return AsyncRunner.bind(_decode.runner(response.runner), self._client)

    async def undrain(self, id: RunnerRef, *, timeout: float | None = None) -> AsyncRunner:
        """Take `drain` back. Raises NotFoundError."""
        request = pb.UndrainRunnerRequest(id=id_of(id, RunnerRecord))
        response = await self._caller.call(self._stub.UndrainRunner, request, timeout=timeout)
        return AsyncRunner.bind(_decode.runner(response.runner), self._client)

    async def forget(self, id: RunnerRef, *, timeout: float | None = None) -> tuple[str, ...]:
        """Give a silent runner up: the attempts that it holds end at once. Returns the ids of their runs.

        It is not made again when its answer is lost: that would answer with fewer runs. Raises NotFoundError, and
        RunnerConnectedError while the runner is connected.
        """
        request = pb.ForgetRunnerRequest(id=id_of(id, RunnerRecord))
        response = await self._caller.call(self._stub.ForgetRunner, request, timeout=timeout, repeatable=False)
        return tuple(response.run_ids)
