"""`client.runners`: the fleet."""

from typing import TYPE_CHECKING

from athanor.client import _decode
from athanor.client._async.calls import Caller
from athanor.client._async.listing import Listing, Page
from athanor.client.resources import Runner
from athanor.v1 import runner_service_pb2 as pb

if TYPE_CHECKING:
    from athanor.v1.runner_service_pb2_grpc import RunnerServiceAsyncStub


class Runners:
    """The services that execute runs: shown, drained, given up."""

    def __init__(self, caller: Caller, stub: "RunnerServiceAsyncStub") -> None:
        self._caller = caller
        self._stub = stub

    async def get(self, id: str, *, timeout: float | None = None) -> Runner:
        """Return one runner. Raises NotFoundError when there is none."""
        response = await self._caller.call(self._stub.GetRunner, pb.GetRunnerRequest(id=id), timeout=timeout)
        return _decode.runner(response.runner)

    def list(self, *, page_size: int = 0, timeout: float | None = None) -> Listing[Runner]:
        """Iterate over the runners seen in the last day, by id."""

        async def fetch(token: str) -> Page[Runner]:
            request = pb.ListRunnersRequest(page_size=page_size, page_token=token)
            response = await self._caller.call(self._stub.ListRunners, request, timeout=timeout)
            return Page(tuple(map(_decode.runner, response.runners)), response.next_page_token)

        return Listing(fetch)

    async def drain(self, id: str, *, timeout: float | None = None) -> Runner:
        """Let a runner take no more runs, also after it restarts; those it holds finish. Raises NotFoundError."""
        response = await self._caller.call(self._stub.DrainRunner, pb.DrainRunnerRequest(id=id), timeout=timeout)
        return _decode.runner(response.runner)

    async def undrain(self, id: str, *, timeout: float | None = None) -> Runner:
        """Take `drain` back. Raises NotFoundError."""
        response = await self._caller.call(self._stub.UndrainRunner, pb.UndrainRunnerRequest(id=id), timeout=timeout)
        return _decode.runner(response.runner)

    async def forget(self, id: str, *, timeout: float | None = None) -> tuple[str, ...]:
        """Give a silent runner up: the attempts that it holds end at once. Returns the ids of their runs.

        It is not made again when its answer is lost: that would answer with fewer runs. Raises NotFoundError, and
        RunnerConnectedError while the runner is connected.
        """
        request = pb.ForgetRunnerRequest(id=id)
        response = await self._caller.call(self._stub.ForgetRunner, request, timeout=timeout, repeatable=False)
        return tuple(response.run_ids)
