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
    """The services that execute runs."""

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
