"""A blocking client on gRPC's testing channel: the client works in a thread, and the test is the orchestrator."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import grpc
import grpc_testing
import pytest
from athanor.client import Client
from athanor.client._sync import transport
from athanor.v1 import experiment_service_pb2, instance_service_pb2, run_service_pb2, runner_service_pb2

T = TypeVar("T")

SERVICES = [
    service
    for module in (experiment_service_pb2, instance_service_pb2, run_service_pb2, runner_service_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
]
METHODS = {method.name: method for service in SERVICES for method in service.methods}


class Stage:
    """The client, and the handles that a test pulls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
        # This channel keeps no deadlines: a test says when one is over.
        self.channel = grpc_testing.channel(SERVICES, grpc_testing.strict_fake_time(0))
        monkeypatch.setattr(transport, "open_channel", lambda address: self.channel)
        self.client = Client("h:1", **{"retry_for": 0.0, **options})
        self._threads = ThreadPoolExecutor()

    def close(self) -> None:
        """Wait until nothing is under way any more."""
        self.client.close()
        self._threads.shutdown()

    def do(self, work: Callable[[], T]) -> "Future[T]":
        """Have the client do something."""
        return self._threads.submit(work)

    def call(self, method: str) -> tuple[Any, Any]:
        """Wait for a unary call; return its request, and what ends it."""
        _, request, rpc = self.channel.take_unary_unary(METHODS[method])
        return request, rpc

    def answer(self, method: str, response: Any) -> Any:
        """Wait for a call, answer it, and return what was asked."""
        request, rpc = self.call(method)
        rpc.terminate(response, (), grpc.StatusCode.OK, "")
        return request

    def refuse(self, method: str, code: grpc.StatusCode, details: str, trailing: Any = ()) -> Any:
        """Wait for a call, end it with an error, and return what was asked."""
        request, rpc = self.call(method)
        rpc.terminate(None, trailing, code, details)
        return request

    def stream(self, method: str, *responses: Any) -> tuple[Any, Any]:
        """Wait for a stream, and send on it; return its request, and what ends it."""
        _, request, rpc = self.channel.take_unary_stream(METHODS[method])
        for response in responses:
            # WatchRun is read as bytes; nothing serializes on this channel.
            rpc.send_response(response.SerializeToString() if method == "WatchRun" else response)
        return request, rpc


def ended(rpc: Any, code: grpc.StatusCode = grpc.StatusCode.OK, details: str = "") -> None:
    """End a stream."""
    rpc.terminate((), code, details)
