# Derived from _async/runners.py by tools/derive_sync.py: change that one.

"""`client.runners`: the fleet."""

from typing import TYPE_CHECKING

from athanor.client import _decode
from athanor.client._bound import Part, RunnerRef, id_of
from athanor.client._page import Page
from athanor.client._sync.calls import Caller
from athanor.client._sync.listing import Listing
from athanor.client._sync.runner import Runner
from athanor.client.resources import RunnerRecord
from athanor.v1 import runner_service_pb2 as pb

if TYPE_CHECKING:
    from athanor.client._sync.client import Client
    from athanor.v1.runner_service_pb2_grpc import RunnerServiceStub


class Runners(Part):
    """The services that execute runs: shown, drained, given up. Where an id is asked for, the runner itself will do."""

    def __init__(self, client: "Client", caller: Caller, stub: "RunnerServiceStub") -> None:
        self._client = client
        self._caller = caller
        self._stub = stub

    def get(self, id: RunnerRef, *, timeout: float | None = None) -> Runner:
        """Return one runner. Raises NotFoundError when there is none."""
        response = self._caller.call(
            self._stub.GetRunner, pb.GetRunnerRequest(id=id_of(id, RunnerRecord)), timeout=timeout
        )
        return Runner.bind(_decode.runner(response.runner), self._client)

    def list(self, *, page_size: int = 0, timeout: float | None = None) -> Listing[Runner]:
        """Iterate over the runners seen in the last day, by id."""

        def fetch(token: str) -> Page[Runner]:
            request = pb.ListRunnersRequest(page_size=page_size, page_token=token)
            response = self._caller.call(self._stub.ListRunners, request, timeout=timeout)
            items = (Runner.bind(_decode.runner(item), self._client) for item in response.runners)
            return Page(tuple(items), response.next_page_token)

        return Listing(fetch)

    def drain(self, id: RunnerRef, *, timeout: float | None = None) -> Runner:
        """Let a runner take no more runs, also after it restarts; those it holds finish. Raises NotFoundError."""
        response = self._caller.call(
            self._stub.DrainRunner, pb.DrainRunnerRequest(id=id_of(id, RunnerRecord)), timeout=timeout
        )
        return Runner.bind(_decode.runner(response.runner), self._client)

    def undrain(self, id: RunnerRef, *, timeout: float | None = None) -> Runner:
        """Take `drain` back. Raises NotFoundError."""
        request = pb.UndrainRunnerRequest(id=id_of(id, RunnerRecord))
        response = self._caller.call(self._stub.UndrainRunner, request, timeout=timeout)
        return Runner.bind(_decode.runner(response.runner), self._client)

    def forget(self, id: RunnerRef, *, timeout: float | None = None) -> tuple[str, ...]:
        """Give a silent runner up: the attempts that it holds end at once. Returns the ids of their runs.

        It is not made again when its answer is lost: that would answer with fewer runs. Raises NotFoundError, and
        RunnerConnectedError while the runner is connected.
        """
        request = pb.ForgetRunnerRequest(id=id_of(id, RunnerRecord))
        response = self._caller.call(self._stub.ForgetRunner, request, timeout=timeout, repeatable=False)
        return tuple(response.run_ids)
